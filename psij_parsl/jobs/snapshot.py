"""The queue snapshot: the last statuses of a user's jobs, shared by all processes of the user on one host.

However many processes ask, the manager gets on average at most one query per interval. The first process that sees
that the snapshot is too old takes the lock and refreshes it. Meanwhile the others read the old one, without a lock.

A refresh may come early when a file in a job's folder shows that the job has started or ended. Early refreshes have a
small budget of tokens, which gets one token per interval. After tokens were spent, the regular refreshes come a
little later, until the budget is full again.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import JournalError, NotWaitedFor, Unavailable
from ..signals import time_left
from ..states import EndReason, JobState, JobStatus, sound
from ..system.files import private_folder, read_json, write_whole
from ..system.fingerprint import fingerprint
from ..system.locks import hold_lock, holder, holder_stopped, lock, try_lock
from ..system.processes import host_name

log = logging.getLogger(__name__)

_ANSWERS_AGAIN = "the resource manager answers again"
CAPACITY = 10.0  # tokens in a full budget: so many early refreshes can follow each other
_STRETCH = 1.25  # factor of the interval between regular refreshes while the budget is not full
_LONGEST_PAUSE_S = 300.0


#: Of a view that has none.
_NONE: Mapping[str, Any] = {}


class View(NamedTuple):
    """The content of the snapshot at one time. Times are seconds since the epoch.

    * `asked`: when the query began; it is taken before the query is sent.
    * `rows`: the statuses by our ids of jobs and elements, in the form that `pack` gives.
    * `missing`: since when the manager's record of a job, or its exit file, has been missing, by our ids.
    * `unproved`: the jobs of which the last answer had no record that is proved to be ours, by our ids, with the time
      of the last answer that had one (0: none had).
    * `strangers`: our ids of jobs whose manager's id belongs to another job now.
    * `queries`: how many commands the last answer took.
    * `clock`: by how many seconds the manager's clock is ahead of ours.
    * `tagged`: whether the manager's records contain our tags.
    * `tokens`, `tokens_at`: the tokens in the budget, and when they were counted.
    * `failures`, `failing_until`, `failure`: how many queries in a row failed, until when the manager is not asked
      again, and why there is no answer.
    """

    asked: float = 0.0
    rows: Mapping[str, Any] = _NONE
    missing: Mapping[str, float] = _NONE
    unproved: Mapping[str, float] = _NONE
    strangers: Sequence[str] = ()
    queries: int = 1
    clock: float = 0.0
    tagged: bool = False
    tokens: float = CAPACITY
    tokens_at: float = 0.0
    failures: int = 0
    failing_until: float = 0.0
    failure: str = ""

    def status(self, job_id: str) -> JobStatus | None:
        """The status of that job as of `asked`; None if the snapshot has no such job."""
        row = self.rows.get(job_id)
        try:
            return unpack(row) if row is not None else None
        except (KeyError, TypeError, ValueError):  # damaged, or of a later version: the row is ignored
            return None

    def age(self) -> str:
        """A sentence for the user that tells how old the statuses are."""
        if not self.asked:
            return "nothing is known yet, it is asked again later"
        since = time.strftime("%H:%M:%S", time.localtime(self.asked))
        ago = max(0.0, time.time() - self.asked)
        return f"states stay as they were at {since}, {ago:.0f} s ago; it is asked again later"

    def proved(self, job_id: str) -> float:
        """When an answer of the manager last had a record of that job that is proved to be ours; 0.0 for never."""
        if job_id in self.unproved:
            return self.unproved[job_id]
        return self.asked if job_id in self.rows else 0.0


def pack(status: JobStatus) -> list[Any]:
    """A status as a short list for JSON."""
    return [
        int(status.state),
        status.native,
        status.exit_code,
        status.signal,
        status.reason.name if status.reason else None,
        status.message,
        status.nodes,
        status.attempt,
        status.started,
        status.ended,
        status.held,
        status.expected,
    ]


def unpack(row: list[Any]) -> JobStatus:
    """The inverse of `pack`."""
    state, native, exit_code, signal, reason, message, nodes, attempt, started, ended, held, *more = row
    status = JobStatus(
        JobState(state),
        native,
        exit_code,
        signal,
        EndReason[reason] if reason else None,
        message,
        nodes,
        attempt,
        started,
        ended,
        held,
        more[0] if more else None,  # a snapshot of an earlier version has no such time
    )
    if not sound(status):
        raise ValueError("a status of wrong kinds")
    return status


class QueueSnapshot:
    """Reads and refreshes the snapshot of one user, host, manager and cluster."""

    def __init__(self, home: Path, platform: str, cluster: str, interval_s: float) -> None:
        self.path = (
            home / "snapshots" / f"{platform}-{host_name()}-{fingerprint(cluster) if cluster else 'default'}.json"
        )
        self.interval_s = interval_s
        self._file_stamp: tuple[int, int, int] = (0, 0, 0)
        self._view = View()
        self._unwritten = View()  # the last view that could not be written: only this process has it
        self._mutex = threading.Lock()
        self._lock: Any = None
        self._second_lock: Any = None  # used while the process that holds the first lock is stopped
        self._last_failure = ""  # that this process has logged
        self._warned: set[str] = set()  # texts of warnings that this process has logged

    def view(self) -> View:
        """The snapshot on disk; or a newer answer that this process got and could not write."""
        on_disk = self._on_disk()
        return (
            on_disk
            if on_disk.asked >= self._unwritten.asked and on_disk.tokens_at >= self._unwritten.tokens_at
            else self._unwritten
        )

    def _on_disk(self) -> View:
        try:
            stat = os.stat(self.path)
        except OSError:
            return View()
        stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        with self._mutex:
            if stamp != self._file_stamp:
                self._view = _view(read_json(self.path))
                self._file_stamp = stamp
            return self._view

    def read(self, refresh: Callable[[View], View], *, urgent: float = 0.0) -> View:
        """The snapshot; it is refreshed first if that is due and no other process is refreshing it.

        `refresh(old)` asks the manager. If it raises `Unavailable`, the snapshot records that: the rows stay, and all
        processes pause before the next query. If `urgent` is not 0, and at least `urgent` tokens are left, a token is
        spent to refresh before the interval is over.
        """
        view = self.view()
        if not self._due(view, urgent):
            return view
        with ExitStack() as stack:
            try:
                self._make_locks()
                locked = stack.enter_context(try_lock(self._lock, named=True))
            except JournalError as error:  # a read-only file system: this process asks for itself alone
                self._warn_once(f"{error.message}; what the manager says is not kept")
                locked = True
            if locked:
                return self._refreshed(refresh, urgent)
        stopped = holder_stopped(self._lock)
        if stopped:  # it may stay stopped for hours: the process with the second lock asks in its place
            self._warn_once(f"the process that should ask the manager is stopped: {holder(self._lock)}")
            with try_lock(self._second_lock, named=True) as locked:
                if locked:
                    return self._refreshed(refresh, urgent)
        if not view.asked and not view.failures:  # another process waits for the very first answer: wait, too
            with (
                suppress(JournalError),
                hold_lock(self._second_lock if stopped else self._lock, timeout_s=time_left(60.0)),
            ):
                return self.view()  # else the process that asks got no answer within a minute
        return self.view()

    def _refreshed(self, refresh: Callable[[View], View], urgent: float) -> View:
        """Refresh, unless another process has just done so. The caller has the lock."""
        view = self.view()
        return self._refresh(view, refresh) if self._due(view, urgent) else view

    def ask(self, refresh: Callable[[View], View], *, since: float) -> View:
        """The snapshot as of `since` or later. It is refreshed if necessary, even if no token is left.

        Tokens are spent for it all the same, so the regular refreshes come later.

        Raises `Unavailable` when the manager does not answer, and then leaves the snapshot as it was.
        """
        with self._locked():
            view = self.view()
            now = time.time()
            if since <= view.asked <= now:  # another process has asked meanwhile
                return view
            fresh = refresh(view)
            if view.failures:
                log.warning(_ANSWERS_AGAIN)
            self._last_failure = fresh.failure
            spent = self._tokens(view, now) - max(1, fresh.queries)
            return self._write(fresh._replace(tokens=spent, tokens_at=now))

    def put(self, job_id: str, status: JobStatus) -> None:
        """Set the status of one job, which the manager has just shown."""
        with self._locked():
            view = self.view()
            unproved = {name: at for name, at in view.unproved.items() if name != job_id}
            self._write(view._replace(rows={**view.rows, job_id: pack(status)}, unproved=unproved))

    def answered(self) -> None:
        """End the pause after failed queries: the manager has just answered another command."""
        if self.view().failing_until > time.time():
            with self._locked():
                self._write(self.view()._replace(failing_until=0.0))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock; or the second lock, if the process that holds the first is stopped."""
        self._make_locks()
        with try_lock(self._lock, named=True) as locked:
            if locked:
                yield
                return
        with hold_lock(self._second_lock if holder_stopped(self._lock) else self._lock, named=True):
            yield

    def _make_locks(self) -> None:
        if self._lock is None:
            self._lock = lock(self.path.with_suffix(".lock"))
            self._second_lock = lock(self.path.with_suffix(".lock2"))

    def _tokens(self, view: View, now: float) -> float:
        if view.tokens_at > now + 1:  # the clock was set back
            return CAPACITY
        return min(CAPACITY, view.tokens + max(0.0, now - view.tokens_at) / self.interval_s)

    def _due(self, view: View, urgent: float) -> bool:
        now = time.time()
        tokens = self._tokens(view, now)
        if now < view.failing_until <= now + _LONGEST_PAUSE_S * 1.25 or tokens < 1:  # later: the clock was set back
            return False
        age = now - view.asked
        return 0 < urgent <= tokens or age < -1 or age >= self.interval_s * (1.0 if tokens >= CAPACITY else _STRETCH)

    def _refresh(self, view: View, refresh: Callable[[View], View]) -> View:
        now = time.time()
        paid = view._replace(tokens=self._tokens(view, now) - 1, tokens_at=now)
        try:
            fresh = refresh(view)
            fresh = fresh._replace(tokens=paid.tokens - max(0, fresh.queries - 1), tokens_at=now)
            if view.failures:
                log.warning(_ANSWERS_AGAIN)
        except NotWaitedFor:  # the manager did not fail, we did not wait: the next query comes at its usual time
            fresh = paid._replace(asked=min(view.asked, now), failing_until=time.time() + self.interval_s)
        except Unavailable as error:
            import random

            pause = min(_LONGEST_PAUSE_S, self.interval_s * 2 ** min(view.failures, 10)) * random.uniform(0.75, 1.25)
            fresh = paid._replace(
                asked=min(view.asked, now),
                failures=view.failures + 1,
                failing_until=time.time() + pause,
                failure=error.message,
            )
        self.complain(fresh)
        other = self.view()
        if other.asked not in (view.asked, fresh.asked) and other.asked > fresh.asked:
            return other  # this process was stopped meanwhile, and another has asked since
        return self._write(fresh)

    def complain(self, view: View) -> None:
        """Log once why there is no answer, and how old the statuses are, whichever process has asked."""
        if view.failure == self._last_failure:
            return
        self._last_failure = view.failure
        if view.failure and view.failures:
            log.warning("%s; %s", view.failure, view.age())
        elif view.failure:
            log.error("%s; only their exit files show how jobs ended", view.failure)

    def _write(self, view: View) -> View:
        try:
            private_folder(self.path.parent)
            text = json.dumps({name: getattr(view, name) for name in _FIELDS}, separators=(",", ":"))
            write_whole(self.path, text)
        except JournalError as error:  # a full disk: this process uses the answer all the same
            self._warn_once(f"{error.message}; what the manager says is not kept")
            self._unwritten = view
        return view

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            log.warning("%s", text)


def _view(data: Any) -> View:
    """The view in the data of a snapshot file; an empty one if the data are damaged or of another version."""
    if not isinstance(data, dict) or not data.keys() <= _FIELDS:
        return View()
    for name, value in data.items():
        if not isinstance(value, _KINDS.get(name, float | int)) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            return View()
    times = [data.get(name, 0) for name in ("asked", "tokens_at", "failing_until")]
    times += [since for name in ("missing", "unproved") for since in data.get(name, {}).values()]
    if not all(isinstance(since, float | int) and 0 <= since < 1e11 for since in times):
        return View()
    if not (-1e6 < data.get("tokens", 0) < 1e6 and 0 <= data.get("failures", 0) < 1e6):
        return View()
    return View(**data)


_KINDS: Mapping[str, Any] = {"rows": dict, "missing": dict, "unproved": dict, "strangers": list, "failure": str}
_FIELDS = frozenset(View._fields)
