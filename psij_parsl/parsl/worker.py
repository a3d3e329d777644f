"""A worker: a process that runs one task after the other, with cores and GPUs of its own, and its end.

One of Parsl's pool settles when it gets its first task; one of a pool of this host when it starts.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NamedTuple

from ..resources.node import Node
from ..runs.binding import OUR_THREADS, THREADS
from ..system.commands import matcher
from ..system.gpu_variables import GPU_VARIABLES
from ..system.id_ranges import format_ranges

POOL_FILE = "pool.json"
#: The variable by which a worker is told the places of its node's workers, as JSON.
PLACES = "PSIJ_WORKER_PLACES"
_OF_WORKER = matcher(("PARSL_*", PLACES))
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_WATCH_S = _END_S = 1.0
_command = 0  # the process id of the command that runs, which leads a group


class Place(NamedTuple):
    """The CPUs and GPUs of one worker; `all_cpus` are those of all workers of its node."""

    cpus: Sequence[int]
    gpus: Sequence[str]
    all_cpus: Sequence[int]
    real_ids: bool
    cores: int


def places(node: Node, workers: int, cores: int) -> list[Place]:
    """Those of the workers of a node of an assignment, of so many cores each."""
    if not node.cpus:
        return [Place((), (), (), False, cores)] * workers
    return [Place(part.cpus, part.gpus, node.cpus, node.real_ids, cores) for part in node.per_rank(workers)]


@cache
def environment() -> Mapping[str, str]:
    """What a worker's command is to have: the node's, with the GPUs and the number of cores that are the worker's.

    On the first call the worker settles: it binds itself to its cores, and will end with its pool, and its command
    with it.
    """
    _settle()
    return {name: value for name, value in os.environ.items() if not _OF_WORKER.fullmatch(name)}


@contextmanager
def starting() -> Iterator[Callable[[int], None]]:
    """A block in which a command is started; it is to call what this gives with the command's process id.

    The command leads a group of its own, which ends if this worker is told to end, however early that is.
    """

    def started(pid: int) -> None:
        global _command
        _command = pid

    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    try:
        yield started
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))


def ended() -> None:
    """The command has ended."""
    global _command
    _command = 0


def settle_here(cpus: Collection[int], told: Mapping[str, str]) -> None:
    """For a worker that a pool of this host's processes has started: its CPUs (none: any), and what it is told."""
    _handle_end()
    threading.Thread(target=_watch_parent, args=(os.getppid(),), name="watch-parent", daemon=True).start()
    os.environ.update(told)
    if cpus:
        with suppress(OSError):
            os.sched_setaffinity(0, cpus)


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Let the kernel send that signal to this process when its parent ends (Linux)."""
    _prctl(_PR_SET_PDEATHSIG, int(number))


def _prctl(option: int, value: int) -> None:
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def in_child() -> None:
    """For a command that was forked and is to be executed: no signal is blocked, and it ends with its worker."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    end_with_parent()


def _settle() -> None:
    import logging

    logging.getLogger("parsl").setLevel(logging.WARNING)  # else some lines for each task
    _handle_end()
    end_with_parent(signal.SIGTERM)
    if os.getppid() == 1:
        os._exit(1)  # it ended before
    known = [Place(*place) for place in json.loads(os.environ.get(PLACES, "[]"))]
    rank = int(os.environ.get("PARSL_WORKER_RANK", "0"))
    if rank < len(known):
        _take(known[rank])


def _handle_end() -> None:
    os.setpgid(0, 0)  # what reaches the pool's group is not for us
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what its parents leave, in a session of its own, is then a child of ours
    signal.signal(signal.SIGTERM, _end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))


def _watch_parent(parent: int) -> None:
    """As `end_with_parent`, which would end us with the thread that started us."""
    while os.getppid() == parent:
        time.sleep(_WATCH_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_WATCH_S)
    _end(signal.SIGTERM, None)  # our main thread calls something that takes no signals


def _end(number: int, frame: object) -> None:
    """End, with the command that runs, or with what the function that runs has started, in any session (Linux)."""
    if _command:
        with suppress(OSError):
            os.killpg(_command, signal.SIGKILL)
    until = time.monotonic() + _END_S
    while (children := _children()) and time.monotonic() < until:
        for child in children:
            with suppress(OSError):
                os.kill(child, signal.SIGKILL)
        reap()
        time.sleep(0.002)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(128 + number)


def reap() -> None:
    """Ask how children have ended, for a process that waits for none of them."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _children() -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir("/proc/self/task"):
            with suppress(OSError), open(f"/proc/self/task/{thread}/children") as file:
                found += map(int, file.read().split())
    return found


def _take(place: Place) -> None:
    cpus = _own_cpus(place, sorted(os.sched_getaffinity(0)))
    if cpus:
        with suppress(OSError):
            os.sched_setaffinity(0, cpus)
    if "PSIJ_CPUS" in os.environ:
        os.environ["PSIJ_CPUS"] = format_ranges(cpus or place.cpus)
    for name in THREADS:
        if os.environ.get(name) == os.environ.get(OUR_THREADS):  # not the user's own word
            os.environ[name] = str(place.cores)
    os.environ[OUR_THREADS] = str(place.cores)
    for name in ("PSIJ_GPUS", *GPU_VARIABLES):
        if os.environ.get(name):  # as the launch has masked them for the whole pool
            os.environ[name] = ",".join(place.gpus)


def _own_cpus(place: Place, allowed: Sequence[int]) -> Sequence[int]:
    """The CPUs to be bound to; none where they are not known by their numbers, and the node lets us use others."""
    if place.real_ids:
        return sorted({*place.cpus} & {*allowed})
    every = sorted(place.all_cpus)
    return [allowed[every.index(cpu)] for cpu in place.cpus] if len(every) == len(allowed) else ()


def packed(function: Callable[..., Any]) -> bytes:
    """A function as it travels to `called`: those of `__main__` with what they use of it. Raises what dill raises."""
    import dill

    data: bytes = dill.dumps(function, recurse=True)
    return data


def called(function: bytes, *args: Any) -> Any:
    """Call a function, which is packed, in a worker that has settled."""
    environment()
    return result_of(_loaded(function), *args)


def result_of(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function. What would end the worker, such as `sys.exit()`, is an exception like others."""
    try:
        return function(*args)
    except Exception:
        raise
    except BaseException as error:
        raise RuntimeError(f"{type(error).__qualname__}: {error}") from error


@cache
def _loaded(function: bytes) -> Callable[..., Any]:
    import dill

    loaded: Callable[..., Any] = dill.loads(function)
    return loaded
