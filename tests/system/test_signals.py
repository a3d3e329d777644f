"""SIGINT, SIGTERM and SIGHUP, in real processes that get real signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from psij_parsl import signals
from psij_parsl.signals import received_signal, register_handlers, registered, should_exit

HEAD = """
import os, signal, subprocess, sys, threading, time
from psij_parsl.signals import fresh, received_signal, register_handlers, registered, should_exit
def ready(): print("ready", flush=True)
"""


class Child:
    """A process that runs code of ours and has said that it is ready."""

    def __init__(self, code: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HEAD + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()[1]

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def end(self) -> tuple[int, str]:
        out, errors = self.process.communicate(timeout=300)
        assert "Traceback" not in errors, errors
        return self.process.returncode, out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_wakes_a_sleeper_and_tells_its_number(number: int) -> None:
    child = Child("with registered():\n ready()\n print(should_exit(60), received_signal(), should_exit())")
    began = time.monotonic()
    child.send(number)
    assert child.end() == (0, f"True {int(number)} True\n")
    assert time.monotonic() - began < 50  # of 60


def test_a_signal_wakes_sleepers_in_all_threads() -> None:
    child = Child(
        "seen = []\nwith registered():\n"
        " threads = [threading.Thread(target=lambda: seen.append(should_exit(60))) for _ in range(3)]\n"
        " [thread.start() for thread in threads]\n ready()\n"
        " [thread.join() for thread in threads]\n print(*seen)"
    )
    child.send(signal.SIGTERM)
    assert child.end() == (0, "True True True\n")


def test_a_second_interrupt_ends_the_process_at_once_after_its_last_word() -> None:
    child = Child(
        "with registered(on_second=lambda: os.write(1, b'bye\\n')):\n ready()\n"
        " should_exit(60); print('asked', flush=True)\n"
        " while True: time.sleep(0.05)"
    )
    child.send(signal.SIGINT)
    assert child.line() == "asked\n"
    began = time.monotonic()
    child.send(signal.SIGINT)
    assert child.end() == (-signal.SIGINT, "bye\n")
    assert time.monotonic() - began < 50  # it would go on for good


def test_a_last_word_that_fails_does_not_keep_the_process() -> None:
    child = Child(
        "with registered(on_second=lambda: 1 / 0):\n ready()\n should_exit(60); print('asked', flush=True)\n"
        " while True: time.sleep(0.05)"
    )
    child.send(signal.SIGINT)
    assert child.line() == "asked\n"
    child.send(signal.SIGINT)
    child.process.communicate(timeout=300)
    assert child.process.returncode == -signal.SIGINT


def test_a_last_word_may_keep_the_process_until_the_third() -> None:
    child = Child(
        "with registered(on_second=lambda: os.write(1, b'soon\\n') > 0):\n ready()\n"
        " should_exit(60); print('asked', flush=True)\n"
        " while True: time.sleep(0.05)"
    )
    for said in ("asked\n", "soon\n"):
        child.send(signal.SIGINT)
        assert child.line() == said
    child.send(signal.SIGINT)
    assert child.end() == (-signal.SIGINT, "")


def test_a_second_termination_request_is_only_a_request() -> None:
    child = Child(
        "with registered():\n ready()\n should_exit(60); print('asked', flush=True)\n time.sleep(1); print('done')"
    )
    child.send(signal.SIGTERM)
    assert child.line() == "asked\n"
    child.send(signal.SIGTERM)
    assert child.end() == (0, "done\n")


def test_an_interrupt_after_a_termination_request_ends_at_once() -> None:
    child = Child(
        "with registered():\n ready()\n should_exit(60); print('asked', flush=True)\n while True: time.sleep(0.05)"
    )
    child.send(signal.SIGTERM)
    assert child.line() == "asked\n"
    child.send(signal.SIGINT)
    assert child.end() == (-signal.SIGINT, "")


def test_the_earlier_handlers_are_put_back() -> None:
    child = Child(
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started us may have it ignored\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('own handler'), sys.exit(5)))\n"
        "with registered(): pass\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "ready(); time.sleep(60)"
    )
    child.send(signal.SIGTERM)
    assert child.end() == (5, "own handler\n")


def test_a_default_or_ignored_signal_is_put_back_as_it_was() -> None:
    child = Child(
        "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "with registered(): pass\n"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN\n"
        "ready(); time.sleep(60)"
    )
    child.send(signal.SIGINT)
    child.send(signal.SIGTERM)
    assert child.end()[0] == -signal.SIGTERM


def test_handlers_are_put_back_when_the_block_fails() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError), registered():
        assert signal.getsignal(signal.SIGINT) is not before
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) is before


def test_importing_installs_nothing() -> None:
    code = (
        "import signal; before = [signal.getsignal(n) for n in signal.valid_signals() if n not in (9, 19)]\n"
        "import psij_parsl, psij_parsl.signals, psij_parsl.jobs.batch\n"
        "after = [signal.getsignal(n) for n in signal.valid_signals() if n not in (9, 19)]\n"
        "assert before == after; import threading; assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_registrations_can_be_nested_and_undone_in_reverse() -> None:
    with registered():
        outer = signals._flag
        inner = register_handlers()
        assert signals._flag is not outer
        inner()
        inner()  # twice is once
        assert signals._flag is outer
        assert not should_exit()
    assert signals._flag is None


def test_a_signal_that_came_to_an_inner_registration_reaches_the_outer_one() -> None:
    child = Child(
        "with registered():\n"
        " with registered():\n  ready()\n  assert should_exit(60)\n"
        " print(should_exit(), received_signal())"
    )
    child.send(signal.SIGTERM)
    assert child.end() == (0, f"True {int(signal.SIGTERM)}\n")


def test_many_registrations_leave_no_files_open() -> None:
    code = (
        "before = len(os.listdir('/proc/self/fd'))\n"
        "for _ in range(50):\n  with registered(): should_exit()\n"
        "assert len(os.listdir('/proc/self/fd')) == before\nready()"
    )
    assert Child(code).end()[0] == 0


def test_only_the_main_thread_may_register() -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            register_handlers()
        except ValueError as error:
            caught.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert "main thread" in str(caught[0])
    assert signals._flag is None


def test_without_a_registration_it_is_a_plain_sleep() -> None:
    began = time.monotonic()
    assert not should_exit(0.2)
    assert time.monotonic() - began >= 0.19
    assert received_signal() is None
    assert not should_exit(-1)


def test_asking_costs_nothing_and_waits_no_longer_than_said() -> None:
    with registered():
        began = time.monotonic()
        assert not any(should_exit() for _ in range(1000))
        assert not should_exit(0.1)
        assert 0.09 <= time.monotonic() - began < 60


def test_a_long_call_that_a_signal_interrupts_goes_on() -> None:
    """PEP 475: the code around us is not to see EINTR because of our handlers."""
    child = Child(
        "with registered():\n r, w = os.pipe()\n ready()\n"
        " threading.Timer(1, lambda: os.write(w, b'x')).start()\n"
        " print(os.read(r, 1), should_exit())"
    )
    child.send(signal.SIGTERM)
    assert child.end() == (0, "b'x' True\n")


# ---- what our parent did -----------------------------------------------------------------------------------------


def test_a_hangup_that_our_parent_has_us_ignore_stays_ignored() -> None:
    child = Child(
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with registered():\n ready(); print(should_exit(2), received_signal(), flush=True)\n"
        "assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN"
    )
    child.send(signal.SIGHUP)
    assert child.end() == (0, "False None\n")


def test_an_interrupt_that_our_parent_has_us_ignore_is_heard() -> None:
    """A shell has its background commands ignore it: but what we stand for is to hear of it."""
    child = Child(
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with registered():\n ready(); print(should_exit(60), received_signal(), flush=True)\n"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN"
    )
    child.send(signal.SIGINT)
    assert child.end() == (0, f"True {int(signal.SIGINT)}\n")


def test_the_first_signal_is_told_of_at_once() -> None:
    child = Child(
        "with registered(on_first=lambda: os.write(1, b'heard\\n')):\n ready()\n"
        " end = time.monotonic() + 60\n while not should_exit() and time.monotonic() < end: pass\n print('left')"
    )
    child.send(signal.SIGTERM)
    assert child.end() == (0, "heard\nleft\n")


def said(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", HEAD + code], check=True, stdout=subprocess.PIPE, text=True, timeout=60
    ).stdout


@pytest.mark.parametrize("where", ["", "threading.Thread(target=start).start()"])
def test_what_we_start_has_no_signal_ignored_or_blocked_but_an_ignored_hangup(where: str) -> None:
    code = (
        "for n in (1, 2, 3, 10, 13, 17): signal.signal(n, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [2, 15, 40])\n"
        "def start():\n subprocess.Popen(['grep', 'Sig[BI]', '/proc/self/status'], preexec_fn=fresh())\n"
        f"{where or 'start()'}"
    )
    assert said(code) == (f"SigBlk:\t{0:016x}\nSigIgn:\t{1:016x}\n")


def test_where_nothing_is_ignored_or_blocked_nothing_is_done() -> None:
    code = (
        "for n in (1, 3): signal.signal(n, signal.SIG_DFL)\n"  # a shell begins what it puts aside with 3 ignored
        "signal.signal(2, signal.default_int_handler); signal.pthread_sigmask(signal.SIG_SETMASK, [])\nprint(fresh())"
    )
    assert said(code) == "None\n"
