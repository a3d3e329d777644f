"""What ends a run that its owner cannot end: the guard beside it, and a command for its ranks on other hosts.

The guard is a small shell, `guard.sh`, that holds a pipe from us: when we die without a word, however that happens,
it ends what is left of the run on this host, and runs the command.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from ..signals import fresh
from .run_processes import MARK
from .shell_files import shell_file

_KILL_COMMAND_S = 20.0


class Guard:
    """The guard of one run, from before its start to after its end. `pid` is its process id.

    `kill_command` ends the ranks on other hosts; () if there is nothing to do there.
    """

    def __init__(self, mark: str, environment: Mapping[str, str], kill_command: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", shell_file("guard.sh"), "psij-guard", mark, *kill_command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={name: value for name, value in environment.items() if name != MARK},
            start_new_session=True,
            preexec_fn=fresh(),
        )
        self.pid = self._process.pid

    def watch(self, session: int) -> None:
        """From now on it knows the processes of that session, too."""
        self._say(f"session {session}\n")

    def dismiss(self) -> None:
        """Nothing is left to guard."""
        self._say("done\n")
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        if self._process.stdin is not None:
            with suppress(OSError):  # it may have been killed: then we are the only guard
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()


@contextmanager
def killing_elsewhere(kill_command: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Run that command beside what the block does on this host, and wait for it a while."""
    process: subprocess.Popen[bytes] | None = None
    if kill_command:
        with suppress(OSError):
            process = subprocess.Popen(
                kill_command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
                preexec_fn=fresh(),
            )
    yield
    if process is not None:
        try:
            process.wait(_KILL_COMMAND_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
