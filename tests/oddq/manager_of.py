"""A running oddq as a test sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

COMMANDS = ("sub", "stat", "hist", "del", "hold", "release", "clear")


class Oddq:
    """One manager with its state in a folder of its own. Switches are those of `manager.SWITCHES`."""

    def __init__(self, folder: Path) -> None:
        self.home, self.bin = folder / "home", folder / "bin"
        for path in (self.home, self.bin):
            path.mkdir()
        self.switch()
        for name in COMMANDS:
            command = self.bin / f"oddq-{name}"
            program = Path(__file__).with_name("manager.py")
            command.write_text(f"#!{sys.executable} -SE\n{program.read_text()}")
            command.chmod(0o755)

    def switch(self, **switches: Any) -> None:
        """Make it another kind of manager."""
        (self.home / "switches.json").write_text(json.dumps(switches))

    def misbehave(self, how: str, yes: bool = True) -> None:
        """`broken`: no job can be started; `undeletable`: none is deleted."""
        if yes:
            (self.home / how).touch()
        else:
            (self.home / how).unlink()

    def do(self, name: str, *words: str) -> str:
        """Run one of its commands, as somebody who knows nothing of us."""
        done = subprocess.run(
            [str(self.bin / f"oddq-{name}"), *words],
            env={**os.environ, "ODDQ_HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def calls(self, name: str) -> list[str]:
        """What was asked of one of its commands so far."""
        path = self.home / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.split(" ")[0] == f"oddq-{name}"]

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Its books, of jobs that are not over, by id."""
        path = self.home / "state.json"
        found: dict[str, dict[str, Any]] = json.loads(path.read_text())["jobs"] if path.exists() else {}
        return found

    def stop(self) -> None:
        """End the jobs that still run."""
        for job in self.jobs().values():
            if job.get("pid") and job["state"] == "R":
                with suppress(ProcessLookupError):
                    os.killpg(job["pid"], signal.SIGKILL)
