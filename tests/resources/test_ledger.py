"""The ledger: many processes of one allocation, none of which can be trusted to live."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.errors import DoesNotFit, JournalError
from psij_parsl.job_size import Resources
from psij_parsl.resources import Allocation, Assignment, Hardware, Node, NodeResources, ledger
from psij_parsl.resources.ledger import Holding, Ledger, LedgerState, Part, Ticket, unpacked
from psij_parsl.resources.ledger_books import LedgerBooks
from psij_parsl.system import files
from psij_parsl.system.id_ranges import format_ranges

ComesTrue = Callable[..., None]

ALLOCATION = Allocation("test", "7", tuple(Node(f"n{at}", tuple(range(4)), ("0", "1"), 1000) for at in range(3)))


def shared(allocation: Allocation = ALLOCATION, hardware: Hardware | None = None) -> NodeResources:
    """One process's view; another object is another view of the same ledger."""
    return NodeResources(allocation, hardware, books=LedgerBooks)


def got(assignment: Assignment | None) -> tuple[Node, ...]:
    assert assignment is not None
    return assignment.nodes


def content(nodes: NodeResources) -> Any:
    return json.loads(nodes.books.ledger.path.read_text())


def test_what_one_holds_no_other_gets() -> None:
    one, other = shared(), shared()
    first, second = one.assign(Resources(ranks_per_node=4)), other.assign(Resources(ranks_per_node=4))
    assert (got(first)[0].name, got(second)[0].name) == ("n0", "n1")
    assert other.idle() == one.idle()
    assert [len(node.cpus) for node in one.busy()] == [4, 4, 0]
    other.free(first)  # type: ignore[arg-type] # whoever has it may give it back
    assert got(one.assign(Resources(num_nodes=2, ranks_per_node=4)))[0].name == "n0"
    assert one.assign(Resources()) is None


def test_shares_memory_and_gpus_are_counted_among_all() -> None:
    one, other = shared(), shared()
    held = [each.assign(Resources(), share=2) for each in (one, other, one, other, one, other)]
    assert None not in held
    assert one.assign(Resources(), share=2) is None
    assert one.fit(Resources(), share=4) == other.fit(Resources(), share=4) == 0
    one.free(held[0])  # type: ignore[arg-type]
    assert other.fit(Resources(), share=4) == 2
    assert got(other.assign(Resources(gpus_per_rank=2, memory_per_node=900)))[0].gpus == ("0", "1")
    assert one.assign(Resources(gpus_per_rank=1)) is None
    assert one.assign(Resources(memory_per_node=200)) is None


def test_views_that_differ_understand_each_other() -> None:
    """One process may use fewer cores than another, or know more of the hardware."""
    narrow = shared(Allocation("test", "7", (Node("n0", (2, 3), ("1",)),)))
    siblings = ((0, 1), (2, 3))
    wide = shared(Allocation("test", "7", (Node("n0", (0, 1, 2, 3), ("0", "1")),), siblings=siblings))
    assert got(narrow.assign(Resources(gpus_per_rank=1)))[0].cpus == (2,)
    node = got(wide.assign(Resources(gpus_per_rank=1, threads_per_core=2)))[0]
    assert (node.cpus, node.gpus) == ((0, 1), ("0",))
    assert wide.assign(Resources()) is None  # the other core has one thread busy
    assert got(narrow.assign(Resources()))[0].cpus == (3,)


def test_ids_are_kept_in_the_order_of_the_ranks() -> None:
    assert format_ranges((24, 25, 26, 0, 1, 9)) == "24-26,0-1,9"
    assert unpacked("24-26,0-1,9") == (24, 25, 26, 0, 1, 9)
    nodes = shared(hardware=Hardware(gpu_cpus={"0": (2, 3), "1": (0, 1)}))
    assert got(nodes.assign(Resources(ranks_per_node=2, cpus_per_rank=2, gpus_per_rank=1)))[0].cpus == (2, 3, 0, 1)
    assert shared().fit(Resources(ranks_per_node=4)) == 2


def test_what_never_fits_is_refused_and_nothing_is_written() -> None:
    nodes = shared()
    nodes.idle()
    before = content(nodes)
    for ask in (nodes.assign, nodes.wait_for):
        with pytest.raises(DoesNotFit, match="9 nodes were asked for"):
            ask(Resources(num_nodes=9))  # type: ignore[operator]
    assert content(nodes) == before


# ---- whose ledger ------------------------------------------------------------------------------------------------


def test_two_allocations_never_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [
        Allocation("test", "8", ALLOCATION.nodes),
        Allocation("other", "7", ALLOCATION.nodes),
        Allocation("test", "7", ALLOCATION.nodes, cluster="elsewhere"),
        Allocation("test", "7", ALLOCATION.nodes, attempt="1"),
    ]
    everything = Resources(num_nodes=3, ranks_per_node=4)
    assert shared().assign(everything) is not None
    for allocation in others:
        assert shared(allocation).assign(everything) is not None
    assert shared().assign(Resources()) is None


def test_a_single_nodes_ledger_is_near_and_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = Allocation("test", f"only-{os.getpid()}", ALLOCATION.nodes[:1])
    place = ledger.folder(one, {})
    try:
        assert place.parent == Path(f"/tmp/psij-parsl-{os.getuid()}")
        assert place.parent.stat().st_mode & 0o077 == 0
        assert ledger.folder(one, {"TMPDIR": "/var/tmp", "XDG_STATE_HOME": str(tmp_path)}) == place
    finally:
        place.rmdir()
    assert ledger.folder(one, {"PSIJ_PARSL_HOME": str(tmp_path)}).parent == tmp_path / "allocations"
    assert ledger.folder(ALLOCATION, {"XDG_STATE_HOME": str(tmp_path)}).parent.parent == tmp_path / "psij_parsl"


def test_a_directory_of_somebody_else_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(JournalError, match="not a directory of yours alone"):
        ledger._must_be_ours(tmp_path)
    link = tmp_path / "link"
    link.symlink_to("/")
    with pytest.raises(JournalError):
        ledger._must_be_ours(link)


def test_forgotten_ledgers_are_removed(home: Path) -> None:
    old = shared()
    old.idle()
    path = old.books.ledger.path
    os.utime(path, (1, 1))
    left = path.parent / ".ledger.json.x7"  # by a writer that was killed
    left.touch()
    os.utime(left, (1, 1))
    shared()
    assert not left.exists()
    shared(Allocation("test", "9", ALLOCATION.nodes))
    assert not path.exists()
    held = shared()
    assert held.assign(Resources()) is not None
    os.utime(held.books.ledger.path, (1, 1))
    shared(Allocation("test", "10", ALLOCATION.nodes))
    assert held.books.ledger.path.exists()  # somebody who lives stands in it


# ---- the dead ----------------------------------------------------------------------------------------------------

PROLOGUE = """
import os, random, sys, time
from psij_parsl.job_size import Resources
from psij_parsl.resources import Allocation, Node, NodeResources
from psij_parsl.resources.ledger_books import LedgerBooks
allocation = Allocation("test", "7", tuple(Node(f"n{at}", tuple(range(4)), ("0", "1"), 1000) for at in range(3)))
nodes = NodeResources(allocation, books=LedgerBooks)
"""


@pytest.fixture
def processes() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python processes of the allocation; those left are killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(text: str, *argv: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROLOGUE + text, *argv]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


HOLD = "a = nodes.assign(Resources(num_nodes=3, ranks_per_node=4)); print(a.id, flush=True); sys.stdin.read()"


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None], ids=["killed", "ended", "left"])
def test_what_a_dead_process_held_comes_back(how: int | None, processes: Callable[..., Any]) -> None:
    holder = processes(HOLD)
    assert first_line(holder)
    nodes = shared()
    assert nodes.assign(Resources()) is None
    if how is None:
        holder.stdin.close()
    else:
        holder.send_signal(how)
    assert nodes.wait_for(Resources(num_nodes=3, ranks_per_node=4), timeout=300) is not None  # a zombie is dead too


def test_a_launcher_that_outlives_its_starter_keeps_what_it_uses(processes: Callable[..., Any]) -> None:
    ranks = subprocess.Popen(["sleep", "60"])
    try:
        starter = processes(
            "a = nodes.assign(Resources(num_nodes=3, ranks_per_node=4)); nodes.hold_for(a, int(sys.argv[1]))\n"
            "print(1, flush=True); sys.stdin.read()",
            str(ranks.pid),
        )
        assert first_line(starter)
        starter.kill()
        starter.wait()
        nodes = shared()
        assert nodes.assign(Resources()) is None
    finally:
        ranks.kill()
        ranks.wait()
    assert nodes.assign(Resources()) is not None


def test_a_dead_waiter_does_not_stand_in_the_way(processes: Callable[..., Any], comes_true: ComesTrue) -> None:
    nodes = shared()
    held = nodes.assign(Resources(num_nodes=3, ranks_per_node=3))
    waiter = processes("nodes.wait_for(Resources(num_nodes=3, ranks_per_node=4))")
    comes_true(lambda: content(nodes)["waiting"])
    assert nodes.assign(Resources()) is None  # nobody overtakes
    waiter.kill()
    waiter.wait()
    assert nodes.assign(Resources()) is not None
    assert held is not None
    held.free()
    assert content(nodes)["waiting"] == []


def test_another_hosts_processes_are_left_alone() -> None:
    nodes = shared()
    with nodes.books.ledger.transaction() as book:
        owner = "elsewhere/boot/1/2"
        book.held[1] = Holding([owner], None, [Part("n0", "0-3", ["0"], 0), Part("gone", "0", [], 0)], 1.0)
        book.last, book.changed = 1, True
    assert got(nodes.assign(Resources(ranks_per_node=4)))[0].name == "n1"


# ---- waiting -----------------------------------------------------------------------------------------------------


def test_who_waits_is_served_in_order_by_whoever_gives_back(comes_true: ComesTrue) -> None:
    nodes = shared()
    held = nodes.assign(Resources(num_nodes=3, ranks_per_node=3))
    order: list[str] = []

    def wait(name: str, request: Resources) -> None:
        assignment = shared().wait_for(request, timeout=300)
        assert assignment is not None
        order.append(name)
        time.sleep(0.05)
        assignment.free()

    threads = []
    for at, (name, request) in enumerate(
        [("large", Resources(num_nodes=3, ranks_per_node=4)), ("small", Resources()), ("other", Resources())]
    ):
        threads.append(threading.Thread(target=wait, args=(name, request)))
        threads[-1].start()
        comes_true(lambda at=at: len(content(nodes)["waiting"]) == at + 1)
    assert held is not None
    held.free()
    for thread in threads:
        thread.join(30)
    assert order[0] == "large"
    assert sorted(order[1:]) == ["other", "small"]
    comes_true(lambda: not content(nodes)["held"])


def test_giving_up_leaves_no_trace() -> None:
    nodes = shared()
    assert nodes.assign(Resources(num_nodes=3, ranks_per_node=4)) is not None
    assert nodes.wait_for(Resources(), timeout=0.05) is None
    assert nodes.wait_for(Resources(), timeout=0) is None
    assert content(nodes)["waiting"] == []


def test_room_at_once_is_taken_even_without_time_to_wait() -> None:
    assert shared().wait_for(Resources(), timeout=0) is not None


# ---- a damaged file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["", "{", '{"format": 1, "held": {"1": 3}}', "\0" * 300, '{"format": 99}'])
def test_a_torn_ledger_goes_on_from_the_one_before(damage: str, caplog: pytest.LogCaptureFixture) -> None:
    one, other = shared(), shared()
    first = one.assign(Resources(ranks_per_node=4))
    second = other.assign(Resources(ranks_per_node=4))
    one.books.ledger.path.write_text(damage)
    assert got(one.assign(Resources(ranks_per_node=4)))[0].name in ("n1", "n2")  # the last step before is lost, but
    other.idle()  # everybody writes back what they hold
    assert "is damaged" in caplog.text
    assert {1, 2} <= set(map(int, content(one)["held"]))
    assert first is not None
    assert second is not None


def test_with_both_copies_lost_the_living_write_back_what_they_hold() -> None:
    one, other = shared(), shared()
    held = one.assign(Resources(num_nodes=2, ranks_per_node=4))
    for path in one.books.ledger.path.parent.glob("ledger*"):
        path.write_bytes(b"")
    one.idle()
    assert [len(node.cpus) for node in other.busy()] == [4, 4, 0]
    assert held is not None
    held.free()
    assert other.fit(Resources(ranks_per_node=4)) == 3


def test_a_full_disk_is_told_and_nothing_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = shared()
    nodes.idle()

    def full(path: Path, text: str, **_: object) -> None:
        with files.translate_os_errors(path):
            raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_whole", full)
        with pytest.raises(JournalError, match="No space left"):
            nodes.assign(Resources(num_nodes=3, ranks_per_node=4))
    assert nodes.fit(Resources(num_nodes=3, ranks_per_node=4)) == 1


def test_a_book_reads_as_it_was_written() -> None:
    book = LedgerState(last=4, released=["n2"])
    book.held[3] = Holding(["h/b/1/2"], 2, [Part("n0", "0-1", ["GPU-5"], 7)], 12.5)
    assert LedgerState.loaded(book.dumped().encode()) == book


def test_a_place_is_told_without_the_lock_and_without_reading_it_all(tmp_path: Path) -> None:
    """Also where names look like what is looked for; None for who does not wait."""
    book = LedgerState(last=20, changed=True)
    book.held[3] = Holding(["h/b/1/2"], None, [Part('{"id":12,', "0", ['{"id":11,'], 0)], 0.0)
    book.waiting = [Ticket(number, ["h/b/1/2"], [1, 1, 1, 1, 0, None, None], False, "v") for number in (1, 12, 2)]
    nodes = Ledger(tmp_path, durable=False)
    assert nodes.place(12, None) is None  # nothing was written yet
    nodes.write(book)
    found = [nodes.place(ticket.id, None) for ticket in book.waiting]
    assert [place.before for place in found if place] == [0, 1, 2]
    assert nodes.place(12, found[1]) is found[1]  # nothing has changed
    assert nodes.place(11, None) is nodes.place(3, None) is None


def test_one_of_a_host_looks_for_the_dead_at_a_time(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path, durable=False), Ledger(tmp_path, durable=False)
    assert one.reap_due(60)
    assert not other.reap_due(60)
    assert other.reap_due(0)


# ---- a crowd -----------------------------------------------------------------------------------------------------

FORK = """
import traceback

def start(*argv):
    "Do the work in a process of its own, which has imported everything already."
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work(*argv)
        code = 0
    except BaseException:
        traceback.print_exc()
    os._exit(code)
"""

CROWD = """
def work(seed, path, turns):
    random.seed(seed)
    nodes = NodeResources(allocation, books=LedgerBooks)
    log = open(path, "a", buffering=1)
    for turn in range(turns):
        ranks = random.randint(1, 4)
        request = Resources(num_nodes=random.choice([1, 1, 1, 2, 3]), ranks_per_node=ranks,
                            gpus_per_rank=int(ranks < 3 and random.random() < 0.5))
        found = nodes.wait_for(request, timeout=120, share=random.choice([None, None, None, 2, 1]))
        kinds = [(n.name, kind, ids) for n in found.nodes for kind, ids in (("cpu", n.cpus), ("gpu", n.gpus))]
        things = [(name, kind, id) for name, kind, ids in kinds for id in ids]
        log.write(repr((time.monotonic(), os.getpid(), "+", things)) + "\\n")
        time.sleep(random.random() * 0.02)
        log.write(repr((time.monotonic(), os.getpid(), "-", things)) + "\\n")
        found.free()

pids = [start(seed, f"{sys.argv[1]}/{seed}", 4) for seed in range(50)]
print(*pids, flush=True)
for _ in pids:
    print(*os.wait(), flush=True)
"""


def twice(lines: list[str], deaths: dict[int, float]) -> list[object]:
    """What was held by two at once. A killed process has what it last took until it died."""
    events: list[tuple[float, int, int, object]] = []
    open_: dict[int, Any] = {}
    for line in lines:
        if not line.endswith(")\n"):
            continue
        when, pid, sign, things = eval(line)
        events += [(when, 1 if sign == "+" else 0, pid, thing) for thing in things]
        open_[pid] = things if sign == "+" else []
    for pid, things in open_.items():
        events += [(deaths.get(pid, float("inf")), 0, pid, thing) for thing in things]
    holder: dict[object, int] = {}
    faults: list[object] = []
    for _, taken, pid, thing in sorted(events, key=lambda each: each[:2]):
        if not taken:
            if holder.get(thing) == pid:
                del holder[thing]
        elif thing in holder:
            faults.append((thing, holder[thing], pid))
        else:
            holder[thing] = pid
    return faults


@pytest.mark.slow
@pytest.mark.parametrize("kills", [0, 15], ids=["all live", "some are killed"])
def test_fifty_processes_never_hold_one_thing_twice(
    kills: int, processes: Callable[..., Any], tmp_path: Path
) -> None:
    crowd = processes(FORK + CROWD, str(tmp_path))
    pids = list(map(int, first_line(crowd).split()))
    chance = random.Random(kills)
    deaths: dict[int, float] = {}
    for victim in chance.sample(pids, kills):
        time.sleep(chance.random() * 0.1)  # at any moment: while starting, waiting, holding or writing
        with suppress(ProcessLookupError):  # it may be done
            os.kill(victim, signal.SIGKILL)
            deaths[victim] = time.monotonic()
    ends = dict(tuple(map(int, first_line(crowd).split())) for _ in pids)
    killed = {pid for pid, status in ends.items() if status == signal.SIGKILL}
    assert killed <= set(deaths)
    assert set(ends.values()) <= {0, signal.SIGKILL}
    lines = [line for path in tmp_path.iterdir() for line in path.read_text().splitlines(keepends=True)]
    assert not twice(lines, deaths)
    assert sum(", '-', " in line for line in lines) >= 4 * (50 - len(killed))  # all the others have finished
    nodes = shared()
    assert [len(node.cpus) for node in nodes.idle()] == [4, 4, 4]
    book = content(nodes)
    assert (book["held"], book["waiting"]) == ({}, [])
    left = sorted(path.name for path in nodes.books.ledger.path.parent.iterdir() if not path.name.startswith("."))
    assert left == ["ledger.before.json", "ledger.json", "lock", f"reaped.{os.uname().nodename}"]


STEPS = """
count = stop = 0

def step():
    global count
    count += 1
    if count == stop:
        os.kill(os.getpid(), 9)

for name in ("replace", "link", "unlink", "open", "fdopen", "fsync", "close"):
    def stepping(*a, _real=getattr(os, name), **k):
        step()
        found = _real(*a, **k)
        step()
        return found
    setattr(os, name, stepping)

def work(number):
    global stop, count
    count, stop = 0, number
    nodes = NodeResources(allocation, books=LedgerBooks)
    a = nodes.assign(Resources(num_nodes=2, ranks_per_node=4))
    b = nodes.wait_for(Resources(ranks_per_node=2))
    a.free()
    b.free()

killed = 0
status = 9
while status == 9 and killed < 400:
    start(killed + 1)
    _, status = os.wait()
    killed += status == 9
print(killed, status)
"""


def test_a_kill_at_any_step_leaves_the_ledger_whole(processes: Callable[..., Any]) -> None:
    """Killed before and after each call that touches the file system, one after the other."""
    survivor = shared()
    mine = survivor.assign(Resources(cpus_per_rank=2))
    killed, status = map(int, first_line(processes(FORK + STEPS)).split())
    assert killed > 40
    assert status == 0
    assert survivor.fit(Resources(ranks_per_node=2)) == 5
    assert mine is not None
    mine.free()
    assert survivor.idle() == ALLOCATION.nodes
    assert LedgerState.loaded(survivor.books.ledger.path.read_bytes()).held == {}
