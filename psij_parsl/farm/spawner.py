"""Starts the tasks of a farm on this host and tells how they ended: a small process of its own, run by its path.

A program that farms may be large and have threads; this one is small and has none, so it forks fast and safely. It
reads requests on stdin and writes answers on stdout, each a length and a marshalled tuple. When stdin ends, whoever
had it has left or been killed: then nothing that was started here stays, not even what its parents left to init.
Nothing of ours is imported, nor anything that takes long.
"""

from __future__ import annotations

import errno
import marshal
import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

SLOTS, SIGNAL = -1, -2  # in place of a task's number
LEFT_S = 1.0  # what a task leaves behind is asked to end, and killed after this
LOOK_S = 0.02
_PATIENCE_S = 10.0  # where no further process may be started now
_PDEATHSIG, _SUBREAPER = 1, 36  # prctl(2)
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
CODES = {errno.ENOENT: 127, errno.EACCES: 126}  # as shells have them
_AGAIN_DEFAULT = (*_IGNORED, signal.SIGPIPE, signal.SIGXFSZ)


class Running(NamedTuple):
    """A task that runs, or of which something is left."""

    number: int
    began: float


class Left(NamedTuple):
    """A task that has ended while others of its processes have not. `until`: when they are killed."""

    task: Running
    code: int
    ended: float
    until: float


@cache
def _libc() -> Any:
    """The C library; None where it cannot be had. Made when it is needed: it takes an open file."""
    try:
        import ctypes

        return ctypes.CDLL(None)
    except (ImportError, OSError):
        return None


def _prctl(option: int, value: int) -> None:
    try:
        _libc().prctl(option, value, 0, 0, 0)
    except AttributeError:  # another system
        return


class Spawner:
    """The tasks of one farm on this host."""

    def __init__(self) -> None:
        self.slots: Sequence[tuple[Sequence[int], dict[bytes, bytes]]] = ()
        self.own_pid = os.getpid()
        self.environment = dict(os.environb)
        self.running: dict[int, Running] = {}
        self.left: dict[int, Left] = {}
        self.directory = b""
        self.programs: dict[tuple[bytes, bytes], bytes] = {}

    # ---- starting --------------------------------------------------------------------------------------------

    def start(self, request: Sequence[Any]) -> None:
        """Start one task, or answer why that is impossible."""
        number, slot, argv, added, directory, names = request
        cpus, own = self.slots[slot]
        environment = {**self.environment, **own, **added}
        began = time.time()
        handles: list[int] = []
        try:
            if directory and directory != self.directory:
                os.chdir(directory)
                self.directory = directory
            handles = opened(*names)
            program = self._program(argv[0], environment.get(b"PATH", os.fsencode(os.defpath)))
            pid = self._fork()
            if not pid:
                self._become(program, argv, environment, cpus, handles)
            self.running[pid] = Running(number, began)
        except OSError as error:
            of_program = error.filename is None
            code = CODES.get(error.errno or 0, 125) if of_program else 125
            where = "" if of_program else f"{os.fsdecode(error.filename)}: "
            _answer((number, code, began, time.time(), f"{where}{error.strerror}"))
        finally:
            for handle in handles:
                os.close(handle)

    def _fork(self) -> int:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return os.fork()
            except BlockingIOError:  # so many processes are allowed: some of ours may end
                if time.monotonic() > until:
                    raise
                time.sleep(LOOK_S)

    def _program(self, name: bytes, path: bytes) -> bytes:
        found = self.programs.get((name, path))
        if found is None:
            found = self.programs[name, path] = program(name, path)
        return found

    def _become(
        self,
        program: bytes,
        argv: list[bytes],
        environment: dict[bytes, bytes],
        cpus: Sequence[int],
        handles: list[int],
    ) -> None:
        """In the new process: become the task. Never returns."""
        code = 125
        try:
            os.setsid()
            _prctl(_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self.own_pid:
                os._exit(137)
            for stream, handle in enumerate(handles):
                os.dup2(handle, stream)
            if cpus:
                try:
                    os.sched_setaffinity(0, cpus)
                except OSError as error:
                    os.write(2, f"psij: cannot be bound to cores {cpus} and runs where it may: {error}\n".encode())
            for number in _AGAIN_DEFAULT:
                signal.signal(number, signal.SIG_DFL)
            try:
                os.execve(program, argv, environment)
            except OSError as error:
                if error.errno != errno.ENOEXEC:
                    raise
                os.execve(
                    b"/bin/sh", [b"sh", program, *argv[1:]], environment
                )  # a script without #!, as shells have it
        except OSError as error:
            code = CODES.get(error.errno or 0, 125)
            os.write(2, b"psij: " + argv[0] + f" cannot be started: {error.strerror}\n".encode())
        finally:
            os._exit(code)

    # ---- ends ------------------------------------------------------------------------------------------------

    def reap(self) -> None:
        """Ask how what has ended did so, and answer for tasks of which nothing is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            task = self.running.pop(pid, None)
            if task is None:  # an orphan of a task, which we have adopted
                continue
            code, ended = os.waitstatus_to_exitcode(status), time.time()
            until = time.monotonic() + LEFT_S
            self.left[pid] = Left(task, 128 - code if code < 0 else code, ended, until)
            self._look(pid, signal.SIGTERM)

    def _look(self, group: int, number: int) -> None:
        """Signal what is left of a task; if that is nothing, answer."""
        task, code, ended, _ = self.left[group]
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):  # nothing, or no longer ours
            del self.left[group]
            _answer((task.number, code, task.began, ended, ""))

    def look_at_left(self) -> None:
        """Kill what stays too long."""
        for group, left in list(self.left.items()):
            self._look(group, signal.SIGKILL if time.monotonic() > left.until else 0)

    def signal(self, number: int) -> None:
        """To all processes of all tasks."""
        for group in (*self.running, *self.left):
            try:
                os.killpg(group, number)
            except (ProcessLookupError, PermissionError):
                continue

    def end(self) -> None:
        """Kill all, until nothing is left."""
        while True:
            self.signal(signal.SIGKILL)
            for pid in _children(self.own_pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return
            time.sleep(0.002)

    # ---- the loop --------------------------------------------------------------------------------------------

    def serve(self, wake: int) -> None:
        """Do what is asked for until stdin ends."""
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(wake, select.POLLIN)
        requests = Requests()
        while True:
            ready = dict(poll.poll(LOOK_S * 1000 if self.left else None))
            if wake in ready:
                os.read(wake, 4096)
                self.reap()
            self.look_at_left()
            if 0 in ready:
                for request in requests.read():
                    if request[0] == SLOTS:
                        self.slots = request[1]
                    elif request[0] == SIGNAL:
                        self.signal(request[1])
                    else:
                        self.start(request)
                if requests.ended:
                    return


class Requests:
    """What comes on stdin."""

    def __init__(self) -> None:
        self.ended = False
        self._buffer = bytearray()

    def read(self) -> Iterator[Any]:
        data = os.read(0, 1 << 16)
        self.ended = not data
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 4 and len(buffer) >= (end := 4 + int.from_bytes(buffer[:4], "little")):
            request = marshal.loads(buffer[4:end])
            del buffer[:end]
            yield request


def program(name: bytes, path: bytes) -> bytes:
    """The file of that program. Raises `OSError`, without a file's name, if there is none that may be executed."""
    if b"/" in name:
        return name
    places = [os.path.join(folder or b".", name) for folder in path.split(b":")]
    there = [place for place in places if os.path.isfile(place)]
    able = [place for place in there if os.access(place, os.X_OK)]
    if not able:
        shown = os.fsdecode(name)
        if there:
            raise OSError(errno.EACCES, f"{shown} is not executable")
        raise OSError(errno.ENOENT, f"there is no program {shown}")
    return able[0]


def opened(stdin: bytes, stdout: bytes, stderr: bytes) -> list[int]:
    """The task's three streams; stdout that is '' goes nowhere, stderr that is '' where stdout goes."""
    handles: list[int] = []
    made = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    try:
        handles.append(os.open(stdin or b"/dev/null", os.O_RDONLY))
        handles.append(os.open(stdout, made, 0o666) if stdout else os.open(b"/dev/null", os.O_WRONLY))
        handles.append(os.open(stderr, made, 0o666) if stderr else os.dup(handles[1]))
    except OSError:
        for handle in handles:
            os.close(handle)
        raise
    return handles


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def _answer(answer: tuple[Any, ...]) -> None:
    data = marshal.dumps(answer)
    data = len(data).to_bytes(4, "little") + data
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        return  # stdin will end, too


def main() -> None:
    """Serve until stdin ends, then kill what is left."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    wake, waker = os.pipe()
    for end in (wake, waker):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    _prctl(_SUBREAPER, 1)
    spawner = Spawner()
    try:
        spawner.serve(wake)
    finally:
        spawner.end()


if __name__ == "__main__":
    main()
