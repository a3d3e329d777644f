"""The read-only commands of the local manager: list, show, info."""

from __future__ import annotations

import json
import time

from .dispatch import cycle_is_due, is_here, scheduling_cycle, waiting_reasons
from .options import UsageError, parse
from .processes import MachineIdentity
from .records import HELD, QUEUED, RUNNING, STARTING, LocalError, parse_row
from .settings import Settings
from .store import LockWait, Store, ended_at

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .records import State

_LOCK_PATIENCE = 2.0  # seconds that a read-only command waits for the lock


class QueryCommand:
    """One command's output and return code, and the verbs that change nothing."""

    def __init__(self, environ: Mapping[str, str], cwd: str, stdin: str, lock_wait: LockWait | None) -> None:
        self.environ, self.cwd, self.stdin = environ, cwd, stdin
        self.settings = Settings(environ)
        self.store = Store(self.settings, lock_wait)
        self.out = self.errors = ""
        self.failed = False
        self._indexed = (0, 0, 0)
        self._index: dict[str, list[str]] = {}

    def add_error(self, text: str) -> None:
        self.errors += f"{text}\n"
        self.failed = True

    def list_all(self, args: Sequence[str]) -> None:
        options, ids = parse(args, ("json",))
        if ids:
            raise UsageError("list takes no ids; see show")
        state, history = self.current_state()
        since = time.time() - self.settings.retention
        rows = [row for row in history.splitlines() if ended_at(row) >= since]
        why = waiting_reasons(state, self.settings.total)
        rows += [
            job.row(why.get(job.id, "")) for job in state.jobs.values() if job.ended is None or job.ended >= since
        ]
        self._set_output(rows, "json" in options)

    def show(self, args: Sequence[str]) -> None:
        options, ids = parse(args, ("json",))
        state, _ = self.current_state()
        rows, why = [], waiting_reasons(state, self.settings.total)
        for job_id in ids:
            job_rows = [job.row(why.get(job.id, "")) for job in state.find(job_id)] or self.ended_rows(state, job_id)
            if not job_rows:
                self.add_error(f"no such job: {job_id}")
            rows += job_rows
        if "json" in options:
            self._set_output(rows, True)
        else:
            self.out = "\n".join(map(_as_lines, self._parsed(rows)))

    def current_state(self) -> tuple[State, str]:
        """The state and the rows of older ended jobs, after a scheduling cycle if one is due.

        A read-only command works even if that cycle fails: the disk may be full, or a stopped process may hold the
        lock. Then the failure is printed.
        """
        if not self.store.exists():
            return self.store.load(), ""
        if cycle_is_due(self.store, self.store.load()):
            try:
                with scheduling_cycle(self.store, patience=_LOCK_PATIENCE):
                    pass
            except LocalError as error:
                self.errors += f"{error}\n"
        while True:
            state = self.store.load()
            history = self.store.history(state)
            if history is not None:
                return state, history

    def ended_rows(self, state: State, job_id: str) -> list[str]:
        """The rows of a job, or of an array's elements, that were moved out of the journal."""
        if self._indexed != state.history:
            self._indexed, self._index = state.history, {}
            for row in (self.store.history(state) or "").splitlines():
                row_id = row.partition("|")[0]
                for key in {row_id, row_id.partition("_")[0]}:
                    self._index.setdefault(key, []).append(row)
        return self._index.get(job_id, [])

    def _set_output(self, rows: Sequence[str], as_json: bool) -> None:
        if as_json:
            self.out = json.dumps(self._parsed(rows)) + "\n"
        else:
            self.out = "".join(f"{row}\n" for row in rows)

    def _parsed(self, rows: Sequence[str]) -> list[dict[str, Any]]:
        """The rows as dictionaries. A damaged row is reported and left out."""
        parsed_rows = []
        for row in rows:
            try:
                parsed_rows.append(parse_row(row))
            except ValueError:
                self.errors += f"a damaged record is passed over: {row[:80]}\n"
        return parsed_rows

    def info(self, args: Sequence[str]) -> None:
        if args:
            raise UsageError("info takes no arguments")
        state, _ = self.current_state()
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


def _as_lines(fields: Mapping[str, Any]) -> str:
    return "".join(f"{name}: {'' if value is None else value}\n" for name, value in fields.items())
