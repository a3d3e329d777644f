"""A simulated manager for a test: its commands first on PATH, and its faults."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .manager import Manager
from .state import locked

PROGRAM = Path(__file__).parent


class Simulated:
    """One server, whose state lies in `root`."""

    def __init__(self, name: str, root: Path) -> None:
        self.manager: Manager = importlib.import_module(f".{name}", __package__).manager
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir(parents=True)
        self.home = root / "home"
        self.home.mkdir()
        (root / "state.json").write_text(json.dumps({"next": self.manager.first_number, "jobs": {}}))
        for command in self.manager.commands:
            path = self.bin / command
            path.write_text(
                f"#!/bin/sh\nSIMULATED_ROOT={root} SIMULATED_HOME={self.home} exec {sys.executable} -S -E {PROGRAM}"
                f' {name} {command} "$@"\n'
            )
            path.chmod(0o755)

    def control(self, **settings: Any) -> None:
        """Make it fail, or heal it; see `state.CONTROL`, and the manager's `settings`."""
        path = self.root / "control.json"
        now = json.loads(path.read_text()) if path.exists() else {}
        path.with_suffix(".new").write_text(json.dumps(now | settings))
        path.with_suffix(".new").replace(path)

    def run(self, *words: str) -> str:
        """Run one of its commands as a person would."""
        return subprocess.run([self.bin / words[0], *words[1:]], capture_output=True, text=True, check=True).stdout

    def calls(self, command: str = "") -> list[list[str]]:
        """The command lines so far."""
        path = self.root / "calls"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [words for words in lines if command in ("", words[0])]

    def jobs(self) -> dict[str, Any]:
        """What the server knows of each job."""
        found: dict[str, Any] = json.loads((self.root / "state.json").read_text())["jobs"]
        return found

    def unread(self) -> int:
        """How many submissions wait in its socket while it hangs."""
        return len([path for path in (self.root / "requests").glob("*") if not path.name.startswith(".")])

    def taken(self) -> int:
        """How many submissions it has taken so far, forgotten ones included."""
        number: int = json.loads((self.root / "state.json").read_text())["next"]
        return number - self.manager.first_number

    def forget(self, *ids: str) -> None:
        """Take jobs out of its memory, history included."""
        with locked(self.root) as state:
            for job_id in ids:
                del state["jobs"][job_id]

    def lose_all(self) -> None:
        """As if its books were lost: no job is known, and the ids begin again."""
        with locked(self.root) as state:
            state.update(next=self.manager.first_number, jobs={})

    def change(self, *ids: str, **attributes: Any) -> None:
        """Change what it knows of jobs."""
        with locked(self.root) as state:
            for job_id in ids:
                state["jobs"][job_id].update(attributes)

    def stop(self) -> None:
        """End all that runs under it."""
        self.control(server="down")
        deadline = time.monotonic() + 10
        while (ours := self._processes()) and time.monotonic() < deadline:
            for pid in ours:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.02)

    def _processes(self) -> list[int]:
        mark = f"SIMULATED_ROOT={self.root}".encode()
        sessions = {job["session"] for job in self.jobs().values()} - {0}
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                running = (entry / "stat").read_text().rpartition(")")[2].split()
                if running[0] != "Z" and (
                    int(running[3]) in sessions or mark in (entry / "environ").read_bytes().split(b"\0")
                ):
                    found.append(int(entry.name))
            except (OSError, ValueError):
                continue
        return found


@contextmanager
def running(name: str, root: Path) -> Iterator[Simulated]:
    """A server for as long as the block lasts, first on PATH."""
    before = os.environ["PATH"]
    server = Simulated(name, root)
    os.environ["PATH"] = f"{server.bin}{os.pathsep}{before}"
    try:
        yield server
    finally:
        os.environ["PATH"] = before
        server.stop()
