"""The queue snapshot: what the manager last said of a user's jobs, shared by all of the user's processes on a host.

However many ask, the manager is asked at most once per interval on average. Whoever finds the snapshot stale takes
the lock and refreshes it, while the others read the old one; reading takes no lock. A small budget of tokens, filled
at the rate of one an interval, lets a refresh come early when there is a sign that a job has started or ended; when
some have been spent, the regular refreshes come a little later until the budget is whole again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import JournalError, NotWaitedFor, Unavailable
from ..signals import time_left
from ..states import EndReason, JobState, JobStatus, sound
from ..system.files import private_folder, read_json, write_whole
from ..system.locks import hold_lock, holder, holder_stopped, lock, try_lock

log = logging.getLogger(__name__)

_AGAIN = "the resource manager answers again"
CAPACITY = 10.0  # early refreshes in a row
_STRETCH = 1.25  # how much later regular ones come while the budget is not whole
_LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True)
class View:
    """One state of the snapshot. Times are seconds since the epoch; `asked` is before the question was sent.

    `rows` are statuses by our ids of jobs and elements, in the form of `pack`.
    `missing` tells since when a job, or its exit file, has been missed; `unproved` when those jobs whose records the
    last answer did not show were last proved to be there, `strangers` which of them have an id that another job has. `queries` is how many commands the answer took, `clock` by
    how many seconds the manager's clock is ahead of ours, `tagged` whether it gives our tags back. `failure` is why there was no answer.
    """

    asked: float = 0.0
    rows: Mapping[str, Any] = field(default_factory=dict)
    missing: Mapping[str, float] = field(default_factory=dict)
    unproved: Mapping[str, float] = field(default_factory=dict)
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
        """The status of that job as of `asked`; None if it was not among those known then."""
        row = self.rows.get(job_id)
        try:
            return unpack(row) if row is not None else None
        except (KeyError, TypeError, ValueError):  # damaged, or of a later version: that row tells nothing
            return None

    def age(self) -> str:
        """How old what is known is, in words."""
        if not self.asked:
            return "nothing is known yet, it is asked again later"
        since = time.strftime("%H:%M:%S", time.localtime(self.asked))
        return f"states stay as they were at {since}, {time.time() - self.asked:.0f} s ago; it is asked again later"

    def proved(self, job_id: str) -> float:
        """When the manager last showed that job, as a record that is ours; 0.0 for never."""
        if job_id in self.unproved:
            return self.unproved[job_id]
        return self.asked if job_id in self.rows else 0.0


def pack(status: JobStatus) -> list[Any]:
    """A status as a short JSON list."""
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
    ]


def unpack(row: list[Any]) -> JobStatus:
    """The inverse of `pack`."""
    state, native, exit_code, signal, reason, message, nodes, attempt, started, ended, held = row
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
    )
    if not sound(status):
        raise ValueError("a status of wrong kinds")
    return status


class QueueSnapshot:
    """The snapshot of one user, host, manager and cluster."""

    def __init__(self, home: Path, platform: str, cluster: str, interval_s: float) -> None:
        key = hashlib.sha256(cluster.encode()).hexdigest()[:8] if cluster else "default"
        self.path = home / "snapshots" / f"{platform}-{socket.gethostname()}-{key}.json"
        self.interval_s = interval_s
        self._seen: tuple[int, int, int] = (0, 0, 0)
        self._view = View()
        self._unkept = View()  # what could not be written: for this process alone
        self._mutex = threading.Lock()
        self._lock: Any = None
        self._second: Any = None  # for whoever asks while the first one's holder is stopped
        self._said = ""
        self._remarks: set[str] = set()

    def view(self) -> View:
        """The snapshot as it is on disk; what we have heard since and could not write there, if there is such."""
        kept = self._on_disk()
        return kept if kept.asked >= self._unkept.asked and kept.tokens_at >= self._unkept.tokens_at else self._unkept

    def _on_disk(self) -> View:
        try:
            stat = os.stat(self.path)
        except OSError:
            return View()
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        with self._mutex:
            if seen != self._seen:
                self._view = _view(read_json(self.path))
                self._seen = seen
            return self._view

    def read(self, refresh: Callable[[View], View], *, urgent: float = 0.0) -> View:
        """The snapshot, refreshed first if that is due and nobody else is at it.

        `refresh(old)` asks the manager; what it raises as `Unavailable` is kept as "no answer": the rows stay and
        everybody backs off. `urgent` spends a token to refresh before the interval is over, if so many are left.
        """
        view = self.view()
        if not self._due(view, urgent):
            return view
        with ExitStack() as held:
            try:
                self._make_locks()
                ours = held.enter_context(try_lock(self._lock, named=True))
            except JournalError as error:  # a file system that cannot be written: we ask for ourselves alone
                self._say(f"{error.message}; what the manager says is not kept")
                ours = True
            if ours:
                return self._refreshed(refresh, urgent)
        stopped = holder_stopped(self._lock)
        if stopped:  # it may stay so for hours: the next in row asks in its place
            self._say(f"the process that was to ask does not go on: {holder(self._lock)}")
            with try_lock(self._second, named=True) as ours:
                if ours:
                    return self._refreshed(refresh, urgent)
        if not view.asked and not view.failures:  # the very first answer is on its way: wait for it
            with (
                suppress(JournalError),
                hold_lock(self._second if stopped else self._lock, timeout_s=time_left(60.0)),
            ):
                return self.view()  # else whoever asks has not been answered for a minute
        return self.view()

    def _refreshed(self, refresh: Callable[[View], View], urgent: float) -> View:
        """With the lock in our hands: the answer of who had it just now, or a new one."""
        view = self.view()
        return self._refresh(view, refresh) if self._due(view, urgent) else view

    def ask(self, refresh: Callable[[View], View], *, since: float) -> View:
        """The snapshot as of `since` or later, refreshed whatever that costs: the regular refreshes come the later.

        Raises `Unavailable` when the manager does not answer, and then leaves the snapshot as it was.
        """
        with self._held():
            view = self.view()
            now = time.time()
            if since <= view.asked <= now:  # another process has asked meanwhile
                return view
            fresh = refresh(view)
            if view.failures:
                log.warning(_AGAIN)
            self._said = fresh.failure
            spent = self._tokens(view, now) - max(1, fresh.queries)
            return self._write(replace(fresh, tokens=spent, tokens_at=now))

    def put(self, job_id: str, status: JobStatus) -> None:
        """Add what was just heard of a job."""
        with self._held():
            view = self.view()
            unproved = {name: at for name, at in view.unproved.items() if name != job_id}
            self._write(replace(view, rows={**view.rows, job_id: pack(status)}, unproved=unproved))

    def answered(self) -> None:
        """The manager has answered some other command: it is asked again in time, not after the pause."""
        if self.view().failing_until > time.time():
            with self._held():
                self._write(replace(self.view(), failing_until=0.0))

    @contextmanager
    def _held(self) -> Iterator[None]:
        """The lock, or the next one in row while its holder is stopped."""
        self._make_locks()
        with try_lock(self._lock, named=True) as ours:
            if ours:
                yield
                return
        with hold_lock(self._second if holder_stopped(self._lock) else self._lock, named=True):
            yield

    def _make_locks(self) -> None:
        if self._lock is None:
            self._lock = lock(self.path.with_suffix(".lock"))
            self._second = lock(self.path.with_suffix(".lock2"))

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
        paid = replace(view, tokens=self._tokens(view, now) - 1, tokens_at=now)
        try:
            fresh = refresh(view)
            fresh = replace(fresh, tokens=paid.tokens - max(0, fresh.queries - 1), tokens_at=now)
            if view.failures:
                log.warning(_AGAIN)
        except NotWaitedFor:  # no word against the manager: it is asked again when it would have been
            fresh = replace(paid, asked=min(view.asked, now), failing_until=time.time() + self.interval_s)
        except Unavailable as error:
            pause = min(_LONGEST_PAUSE_S, self.interval_s * 2 ** min(view.failures, 10)) * random.uniform(0.75, 1.25)
            fresh = replace(
                paid,
                asked=min(view.asked, now),
                failures=view.failures + 1,
                failing_until=time.time() + pause,
                failure=error.message,
            )
        self.complain(fresh)
        other = self.view()
        if other.asked not in (view.asked, fresh.asked) and other.asked > fresh.asked:
            return other  # we were stopped meanwhile, and somebody else has asked since
        return self._write(fresh)

    def complain(self, view: View) -> None:
        """Say once why there is no answer, whichever process it was that asked, and how old the news is."""
        if view.failure == self._said:
            return
        self._said = view.failure
        if view.failure and view.failures:
            log.warning("%s; %s", view.failure, view.age())
        elif view.failure:
            log.error("%s; how jobs ended is told by their exit files alone", view.failure)

    def _write(self, view: View) -> View:
        try:
            private_folder(self.path.parent)
            text = json.dumps({name: getattr(view, name) for name in _FIELDS}, separators=(",", ":"))
            write_whole(self.path, text)
        except JournalError as error:  # a full disk: the answer is known all the same
            self._say(f"{error.message}; what the manager says is not kept")
            self._unkept = view
        return view

    def _say(self, text: str) -> None:
        if text not in self._remarks:
            self._remarks.add(text)
            log.warning("%s", text)


def _view(data: Any) -> View:
    """The view in a file's data; an empty one for what is damaged or of another version."""
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
_FIELDS = frozenset(View.__dataclass_fields__)
