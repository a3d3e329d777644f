"""The engine of a farm on this host: plain processes, each bound to cores and GPUs of its own."""

from __future__ import annotations

import marshal
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from ..errors import LaunchError
from ..runs.run_processes import MARK, ProcessSweep
from ..system.processes import host_name
from . import spawner
from .output import SPOOL
from .slots import Slot
from .task import EngineEnded, Task, TaskEnd

_KILLED_S = 5.0


class HostEngine:
    """Starts each task on the first free slot, by a small process beside us (`spawner.py`); see `Engine`.

    `environment` is that of the tasks, to which slot and task add; they are known by `mark`. `pid` is the small
    process's: it outlives us until nothing is left of any task.
    """

    def __init__(self, slots: Sequence[Slot], *, mark: str, environment: Mapping[str, str]) -> None:
        self.at_once = len(slots)
        self.mark = mark
        self._closed_at = 0.0
        self._host = host_name()
        self._free = deque(range(len(slots)))
        self._tasks: dict[int, tuple[Future[TaskEnd], int]] = {}
        self._mutex = threading.Lock()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(spawner.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",
                env={**environment, MARK: mark},
                start_new_session=True,
            )
        except OSError as error:
            raise LaunchError(
                f"no process can be started: {error.strerror}", hint="`ulimit -a` shows how many you may have"
            ) from error
        self.pid = self._process.pid
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        self._say((spawner.SLOTS, [(slot.cpus, _encoded(slot.environment)) for slot in slots]))
        self._reader = threading.Thread(target=self._read, name="farm", daemon=True)
        self._reader.start()

    def start(self, task: Task) -> Future[TaskEnd]:
        """Start a task on a free slot; there must be one."""
        future: Future[TaskEnd] = Future()
        with self._mutex:
            slot = self._free.popleft()
            self._tasks[task.number] = future, slot
        names = tuple(os.fsencode(name) for name in (task.stdin, task.stdout, task.stderr))
        argv = [os.fsencode(word) for word in task.argv]
        self._say((task.number, slot, argv, _encoded(task.environment), os.fsencode(task.directory), names))
        return future

    def signal(self, number: int) -> None:
        """Send it to all processes of all tasks."""
        self._say((spawner.SIGNAL, int(number)))

    def close(self, *, kill: bool) -> None:
        """Wait for what runs, or kill it; nothing of it is left then."""
        if not kill:
            for future, _ in list(self._tasks.values()):
                with suppress(Exception):
                    future.result()
        with self._mutex, suppress(OSError):
            self._closed_at = time.time()
            self._requests.close()
        self._process.wait()
        self._reader.join()
        self._answers.close()

    def _say(self, request: tuple[Any, ...]) -> None:
        data = marshal.dumps(request)
        with self._mutex, suppress(OSError, ValueError):  # it has been killed: the reader sees that
            self._requests.write(len(data).to_bytes(4, "little") + data)
            self._requests.flush()

    def _read(self) -> None:
        """Resolve futures as answers come; at their end nothing runs any more."""
        read = self._answers.read
        while len(head := read(4)) == 4 and len(data := read(int.from_bytes(head, "little"))) > 0:
            number, code, began, ended, error = marshal.loads(data)
            with self._mutex:
                future, slot = self._tasks.pop(number)
                self._free.append(slot)
            future.set_result(TaskEnd(number, code, self._host, began, ended, error))
        closed_at = self._closed_at
        if not closed_at:
            ProcessSweep(self.mark, -1, 0).end(signal.SIGKILL, _KILLED_S)
        with self._mutex:
            lost, self._tasks = self._tasks, {}
        for number, (future, _) in lost.items():
            if closed_at:
                future.set_result(TaskEnd(number, 128 + signal.SIGKILL, self._host, closed_at, time.time(), "killed"))
                continue
            future.set_exception(
                EngineEnded("the process that starts the tasks was killed, and they with it", began=True)
            )


def _encoded(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}


def end_what_is_left(farm: Mapping[str, Any]) -> None:
    """What a farm that was killed has left, as its line in the state file tells: tasks on this host, and their output."""
    here = str(farm.get("process", "")).split("/")[0] == host_name()
    if here and farm.get("mark"):
        ProcessSweep(str(farm["mark"]), -1, 0).end(signal.SIGKILL, _KILLED_S)
    spool = str(farm.get("spool", ""))
    if os.path.basename(spool).startswith(SPOOL):
        shutil.rmtree(spool, ignore_errors=True)
