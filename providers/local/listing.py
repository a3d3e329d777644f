"""The commands of the local manager that only look: list, show, info."""

from __future__ import annotations

import json
import time

from .dispatch import is_here, needs_work, session
from .options import UsageError, parse
from .processes import MachineIdentity
from .records import HELD, QUEUED, RUNNING, STARTING, LocalError, parse_row
from .settings import Settings
from .store import Store, Waits, ended_at

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .records import State

_BRIEFLY = 2.0  # seconds that who only looks waits for the lock


class Listing:
    """One command: what it prints, and the verbs that change nothing."""

    def __init__(self, environ: Mapping[str, str], cwd: str, stdin: str, waits: Waits | None) -> None:
        self.environ, self.cwd, self.stdin = environ, cwd, stdin
        self.settings = Settings(environ)
        self.store = Store(self.settings, waits)
        self.out = self.errors = ""
        self.failed = False
        self._indexed = (0, 0, 0)
        self._index: dict[str, list[str]] = {}

    def complain(self, text: str) -> None:
        self.errors += f"{text}\n"
        self.failed = True

    def list_all(self, words: Sequence[str]) -> None:
        options, rest = parse(words, ("json",))
        if rest:
            raise UsageError("list takes no ids; see show")
        state, history = self.look()
        since = time.time() - self.settings.retention
        past = [row for row in history.splitlines() if ended_at(row) >= since]
        now = [job.row() for job in state.jobs.values() if job.ended is None or job.ended >= since]
        self._print(past + now, "json" in options)

    def show(self, words: Sequence[str]) -> None:
        options, rest = parse(words, ("json",))
        state, _ = self.look()
        rows = []
        for name in rest:
            found = [job.row() for job in state.find(name)] or self.past(state, name)
            if not found:
                self.complain(f"no such job: {name}")
            rows += found
        if "json" in options:
            self._print(rows, True)
        else:
            self.out = "\n".join(map(_record, self._read(rows)))

    def look(self) -> tuple[State, str]:
        """The state, mended first if that is due. A full disk, or a stopped process that has the lock, does not keep
        anybody from looking."""
        if not self.store.exists():
            return self.store.load(), ""
        if needs_work(self.store, self.store.load()):
            try:
                with session(self.store, patience=_BRIEFLY):
                    pass
            except LocalError as error:
                self.errors += f"{error}\n"
        while True:
            state = self.store.load()
            history = self.store.history(state)
            if history is not None:
                return state, history

    def past(self, state: State, name: str) -> list[str]:
        """The rows of a job, or of an array, among those that have left the journal."""
        if self._indexed != state.history:
            self._indexed, self._index = state.history, {}
            for row in (self.store.history(state) or "").splitlines():
                one = row.partition("|")[0]
                for key in {one, one.partition("_")[0]}:
                    self._index.setdefault(key, []).append(row)
        return self._index.get(name, [])

    def _print(self, rows: Sequence[str], as_json: bool) -> None:
        if as_json:
            self.out = json.dumps(self._read(rows)) + "\n"
        else:
            self.out = "".join(f"{row}\n" for row in rows)

    def _read(self, rows: Sequence[str]) -> list[dict[str, Any]]:
        """The rows as dictionaries; one that is damaged costs itself only."""
        found = []
        for row in rows:
            try:
                found.append(parse_row(row))
            except ValueError:
                self.errors += f"a damaged record is passed over: {row[:80]}\n"
        return found

    def info(self, words: Sequence[str]) -> None:
        if words:
            raise UsageError("info takes no arguments")
        state, _ = self.look()
        machine = MachineIdentity()
        here = [job for job in state.jobs.values() if is_here(job.spec, machine)]
        running = [job for job in here if job.state in (RUNNING, STARTING)]
        facts = {
            "host": machine.host,
            "home": self.settings.home,
            "cores_total": self.settings.total,
            "cores_busy": sum(job.spec.cores for job in running),
            "running": len(running),
            "queued": sum(1 for job in here if job.state == QUEUED),
            "held": sum(1 for job in here if job.state == HELD),
        }
        self.out = "".join(f"{name}={value}\n" for name, value in facts.items())


def _record(fields: Mapping[str, Any]) -> str:
    return "".join(f"{name}: {'' if value is None else value}\n" for name, value in fields.items())
