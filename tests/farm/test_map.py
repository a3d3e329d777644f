"""`map` on this host; that over two nodes is in test_on_slurm.py."""

from __future__ import annotations

import copyreg
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from psij_parsl import farm
from psij_parsl.errors import DoesNotFit, InvalidRequest, LaunchError
from psij_parsl.resources import NodeResources
from tests.cli.helpers import COMMAND
from tests.clusters.hosts import comes_true


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A job of four CPUs on this host, whatever it has; afterwards all of them are free."""
    for name, value in {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": os.uname().nodename,
        "SLURM_JOB_CPUS_PER_NODE": "4",
    }.items():
        monkeypatch.setenv(name, value)
    yield
    assert not NodeResources.discover().holders()


def square(number: int) -> int:
    return number * number


def slow_first(number: int) -> int:
    time.sleep(0 if number else 0.5)
    return number


def odd_fails(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def process(_: int) -> tuple[int, str | None]:
    time.sleep(0.05)
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(farm.map(square, range(20))) == [number * number for number in range(20)]
    assert list(farm.map(slow_first, range(9))) == [*range(9)]
    assert list(farm.map(lambda number: number + 1, iter([1, 2]))) == [2, 3]
    assert list(farm.map(square, [])) == []


def test_or_as_they_are_there() -> None:
    results = [*farm.map(slow_first, range(9), in_order=False)]
    assert sorted(results) == [*range(9)]
    assert results[0] != 0


def test_each_runs_in_one_of_as_many_workers_as_there_is_room_for() -> None:
    with farm.map(process, range(40), cores=2) as results:
        found = set(results)
    assert len({pid for pid, _ in found}) == 2
    assert {threads for _, threads in found} == {"2"}
    assert len({*farm.map(process, range(10), at_once=1)}) == 1


def test_items_are_taken_as_there_is_room_and_the_rest_ends_with_the_results() -> None:
    taken = []
    items = (taken.append(number) or number for number in itertools.count())
    # One at a time, for they then end in order: none runs on while an earlier one is slow.
    with farm.map(square, items, at_once=1) as results:
        assert [*itertools.islice(results, 10)] == [number * number for number in range(10)]
    assert len(taken) < 40
    assert [*results] == []


def test_the_first_exception_ends_it() -> None:
    results = farm.map(odd_fails, itertools.count())
    assert next(results) == 0
    with pytest.raises(ValueError, match="1 is odd"):
        next(results)
    assert not NodeResources.discover().holders()


def test_exceptions_are_results_where_that_is_asked() -> None:
    results = [*farm.map(odd_fails, range(4), return_exceptions=True)]
    assert [str(each) for each in results] == ["0", "1 is odd", "2", "3 is odd"]
    assert isinstance(results[1], ValueError)


class Odd(Exception):
    """Cannot be made anew from its pickle, as many that have arguments of their own."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(f"{name} {number}")


def raise_odd(number: int) -> None:
    raise Odd("odd", number)


@pytest.fixture(params=[True, False], ids=["Parsl imported", "not"])
def _ways_to_travel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsl's import gives all exceptions that there are a way through pickle, with their causes; not later ones."""
    import parsl.app.python  # noqa: F401

    for kind in [*copyreg.dispatch_table] if not request.param else [Odd]:
        if issubclass(kind, BaseException):
            monkeypatch.delitem(copyreg.dispatch_table, kind, raising=False)


@pytest.mark.usefixtures("_ways_to_travel")
def test_an_exception_that_cannot_travel_ends_no_worker() -> None:
    results = [*farm.map(raise_odd, range(3), return_exceptions=True)]
    assert [str(each) for each in results] == [f"Odd: odd {number}" for number in range(3)]


def leaves(number: int) -> int:
    if number == 1:
        sys.exit(3)
    if number == 2:
        raise KeyboardInterrupt
    return number


def test_what_would_end_a_program_is_the_exception_of_its_item() -> None:
    results = [*farm.map(leaves, range(4), return_exceptions=True)]
    assert [repr(each) for each in results] == [
        "0",
        "RuntimeError('SystemExit: 3')",
        "RuntimeError('KeyboardInterrupt: ')",
        "3",
    ]
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        list(farm.map(leaves, [1]))


def return_odd(number: int) -> object:
    return Odd("odd", number) if number else number


@pytest.mark.usefixtures("_ways_to_travel")
def test_a_result_that_cannot_travel_is_the_exception_of_its_item() -> None:
    results = [*farm.map(return_odd, range(3), return_exceptions=True)]
    assert results[0] == 0
    for result in results[1:]:
        assert isinstance(result, RuntimeError)
        assert "cannot be made anew from its pickle: Odd.__init__() missing" in str(result)


def test_what_is_no_items_holds_nothing() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        farm.map(square, 5)  # type: ignore[call-overload]


def inner(_: int) -> list[int]:
    return [*farm.map(square, range(3))]


def test_a_map_within_a_task_of_one_does_not_wait_for_ever() -> None:
    with pytest.raises(LaunchError, match="the farm whose task it is called in holds the nodes"):
        list(farm.map(inner, range(1)))
    assert [*farm.map(inner, range(1), at_once=1)] == [[0, 1, 4]]


def test_a_map_within_a_run_that_holds_all_does_not_wait_for_ever() -> None:
    program = "from psij_parsl import farm; print(*farm.map(str, [1]))"
    for cores, said in (("4", "beside the run that it is called in"), ("3", "")):
        words = [*COMMAND, "launch", "--launcher", "fork", "-c", cores, "--", sys.executable, "-c", program]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (done.stdout, said in done.stderr) == ("" if said else "1\n", True), done


def test_a_command_for_each_item() -> None:
    command = ["sh", "-c", "echo got $0; echo bad >&2; exit $1", "<{}>", "{}"]
    failed = farm.map(command, range(3), return_exceptions=True)
    well, bad, worse = failed
    assert well == "got <0>\n"
    assert isinstance(bad, farm.TaskFailed)
    assert isinstance(worse, farm.TaskFailed)
    assert (bad.item, bad.exit_code, bad.stdout, bad.stderr) == (1, 1, "got <1>\n", "bad\n")
    assert str(worse) == f"the command for 2 failed on {os.uname().nodename}: exit code 2: bad"
    with pytest.raises(farm.TaskFailed, match="there is no program no-such-program-here"):
        list(farm.map(["no-such-program-{}"], ["here"]))


def test_the_time_may_be_limited_and_what_runs_then_ends(tmp_path: Path) -> None:
    results = farm.map(["sh", "-c", "echo $$ >$0; sleep 600 & sleep 600", f"{tmp_path}/{{}}"], range(9), timeout=1.0)
    assert comes_true(lambda: bool(_written(tmp_path)), 60)
    with pytest.raises(TimeoutError):
        list(results)
    pids = _written(tmp_path)
    assert 0 < len(pids) <= 4
    assert comes_true(lambda: not any(map(_group_lives, pids)), 10)


def test_what_a_function_has_started_ends_with_it(tmp_path: Path) -> None:
    def starts(name: int) -> None:
        (tmp_path / str(name)).write_text(str(os.getpid()))
        subprocess.run(["sleep", "600"], check=True)

    results = farm.map(starts, range(4), timeout=1.0)
    assert comes_true(lambda: bool(_written(tmp_path)), 60)
    with pytest.raises(TimeoutError):
        list(results)
    pids = _written(tmp_path)
    assert comes_true(lambda: not any(map(_group_lives, pids)), 10)


SESSION = "setsid sh -c 'echo $$ >$0; exec sleep 600' $0 & "


@pytest.mark.parametrize("runs_on", [True, False])
def test_what_has_a_session_of_its_own_ends_too(runs_on: bool, tmp_path: Path) -> None:
    """Of a command that is stopped, and of one that has ended."""
    waits = "sleep 600" if runs_on else "while [ ! -s $0 ]; do sleep 0.01; done"
    results = farm.map(["sh", "-c", SESSION + waits, f"{tmp_path}/{{}}"], range(2))
    assert comes_true(lambda: len([path for path in tmp_path.iterdir() if path.read_text()]) == 2, 60)
    if not runs_on:
        assert [*results] == ["", ""]
    results.close()
    assert not any(_group_lives(int(path.read_text())) for path in tmp_path.iterdir())


def _written(folder: Path) -> list[int]:
    """The process ids that tasks have written so far."""
    return [int(text) for path in folder.iterdir() if (text := path.read_text())]


def _group_lives(group: int) -> bool:
    lines = subprocess.run(["ps", "-eo", "pgid,stat"], capture_output=True, text=True, check=True).stdout.splitlines()
    return any(line.split()[0] == str(group) and "Z" not in line for line in lines)


def test_a_worker_that_is_killed_is_an_error() -> None:
    with pytest.raises(LaunchError, match="a worker was killed"):
        list(farm.map(lambda _: os.kill(os.getpid(), signal.SIGKILL), range(3)))


PROGRAM = """
import sys
from psij_parsl import farm
next(farm.map(["sh", "-c", "echo $$ >$0; setsid sh -c 'echo $$ >$0.own; exec sleep 600' $0 & sleep 600", f"{sys.argv[1]}/{{}}"], range(4)))
"""


def test_nothing_outlives_a_program_that_is_killed(tmp_path: Path) -> None:
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)])
    assert comes_true(lambda: len([path for path in tmp_path.iterdir() if path.read_text()]) == 8, 60)
    pids = [int(path.read_text()) for path in tmp_path.iterdir()]
    program.kill()
    program.wait()
    assert comes_true(lambda: not any(map(_group_lives, pids)), 30)


def test_what_cannot_work_is_refused_before_anything_runs() -> None:
    for work, message in (
        ("gzip {}", "neither a function nor the words of a command"),
        (["gzip"], "the same for all items"),
        ([], "the same for all items"),
        (7, "neither a function"),
    ):
        with pytest.raises(InvalidRequest, match=message):
            farm.map(work, [1])  # type: ignore[call-overload]  # as it may be called
    for name, value in (("cores", 0), ("gpus", -1), ("at_once", 0), ("cores", "many")):
        with pytest.raises(InvalidRequest, match=f"^{name}="):
            farm.map(square, [1], **{name: value})  # type: ignore[call-overload]
    with pytest.raises(InvalidRequest, match="timeout='5' is no number"):
        farm.map(square, [1], timeout="5")  # type: ignore[call-overload]
    with pytest.raises(DoesNotFit):
        farm.map(square, [1], cores=5)
    generator = (each for each in ())
    with pytest.raises(InvalidRequest, match="cannot be sent to a worker"):
        farm.map(partial(max, generator), [1])
