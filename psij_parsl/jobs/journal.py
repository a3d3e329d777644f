"""The record of every job: one log and the segments beside it for all processes of a user, one folder per job.

The log `journal.jsonl` holds one event a line; what a job is, is what its lines add up to. Writers append under
a file lock; readers take none, for a line is there whole or is passed over. A line that a killed writer left torn
harms nothing but itself. Now and then, when that at least halves the log, a writer moves the records of jobs that have
ended into segments (see `segments`), which are never changed, and swaps in a log of what is left. All of that is made
ready before the lock is taken; under it only what others have written meanwhile is copied, and the new log renamed.
Its first line names the segments that count, so the rename is the commit: what a killed writer had prepared is not
looked at, and removed by a later one.

Order of a submission, so that `kill -9` at any instruction loses no job and doubles none: the folder, the script,
`intend` (on disk before anything is sent), the manager, `commit`. An intent without a commit is looked for by its
tag in the manager's own answers, or given up by taking the claim that its script would need to start.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import threading
import time
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from ..errors import InvalidRequest, JournalError, UnknownJob
from ..job import Job
from ..states import JobStatus
from ..system.files import guard, guard_spool, private_folder, read_json, translate_os_errors, write_new
from ..system.files import home as default_home
from ..system.locks import hold_lock, lock, try_lock
from ..system.processes import process_identity
from .record import JobRecord, Records, apply, is_open, line_of, made, plain, plain_status, valid
from .segments import Segment, Shelf, found_in, may_hold, sweep, without
from .segments import write as write_segments

log = logging.getLogger(__name__)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_EPOCH = 1_577_836_800  # 2020-01-01
_GROWN = 256 * 1024  # bytes of events before the log is worth rewriting
_OLD = 4 * _GROWN  # bytes of ended jobs that were never moved: an earlier version's log
_OWNER = "owner"  # the link in a job's folder that says which state directory's it is
_HEAD = 64  # bytes at the beginning of a log that tell it from the one before it was rewritten
_CHUNK = 1 << 20  # bytes of the log that are read at once
_SHORTEST = 4  # letters of an id that may stand for it
_PATIENCE_S = 60.0  # how long who acts waits for the lock
_BRIEFLY_S = 2.0  # how long who only looks waits for the lock, to write down what it has learnt
_DAMAGE = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


class Journal:
    """The journal under one state directory. Safe for threads, processes and hosts that share the directory."""

    def __init__(self, home: Path | None = None) -> None:
        self.home = home or default_home()
        self.path = self.home / "journal.jsonl"
        self.damaged = 0  # lines of the log that could not be read
        self._mutex = threading.Lock()
        self._lock: Any = None
        self._local = threading.local()
        self._guarded = False
        self._spools: set[Path] = set()
        self._identity = ""
        self._undone = 0  # the size of the log when this process last could not rewrite it
        self._said = ""
        self._listeners: list[set[str]] = []
        self._forget(0)

    def _forget(self, inode: int) -> None:
        self._entries: Records = {}  # those in the log, in the order of their submission
        self._gone: set[str] = set()
        self._named: list[str] | None = None  # the segments that count; None: the log does not say
        self._latest = ""  # the last one submitted
        self._packed = 0  # bytes of ended records in the log
        self._offset, self._inode, self._head, self.damaged = 0, inode, b"", 0

    # ---- reading -------------------------------------------------------------------------------------------

    def entries(self) -> Recorded:
        """All records by id, oldest first, as of now. They are read as they are looked at, not kept."""
        with self._current():
            return Recorded(dict(self._entries), self._shelf())

    def open_entries(self) -> dict[str, JobRecord]:
        """Those of `entries` that have not ended, without the cost of looking at the others."""
        with self._current():
            ids = [job_id for job_id, record in self._entries.items() if is_open(record)]
            return {job_id: made(self._entries, job_id) for job_id in ids}

    def some(self, ids: Iterable[str]) -> dict[str, JobRecord]:
        """The records of these ids, as far as there are any."""
        wanted = list(dict.fromkeys(ids))
        with self._current():
            found = {job_id: made(self._entries, job_id) for job_id in wanted if job_id in self._entries}
            if len(found) == len(wanted):
                return found
            shelf = self._shelf()
        found |= shelf.some(job_id for job_id in wanted if job_id not in found)
        return {job_id: found[job_id] for job_id in wanted if job_id in found}

    def recent(self, *, after: float = 0.0, count: int = 0) -> dict[str, JobRecord]:
        """The records submitted since then (seconds since the epoch), the newest so many of them; oldest first."""
        with self._current():
            live = [made(self._entries, job_id) for job_id in self._entries]
            shelf = self._shelf()
        found = [entry for entry in live if entry.intended >= after]
        both = sorted([*shelf.recent(after, count), *found], key=attrgetter("intended"))
        return {entry.id: entry for entry in both[-count if count else 0 :]}

    def aged(self, before: float) -> Iterator[JobRecord]:
        """The records submitted before then, in no order."""
        with self._current():
            live = [made(self._entries, job_id) for job_id in self._entries]
            shelf = self._shelf()
        yield from (entry for entry in live if entry.intended <= before)
        yield from shelf.aged(before)

    def places(self) -> tuple[set[str], set[str]]:
        """All ids, and all folders in which jobs' folders lie."""
        with self._current():
            live = {job_id: made(self._entries, job_id).place for job_id in self._entries}
            shelf = self._shelf()
        ids, roots = shelf.places()
        return ids | live.keys(), roots | set(map(os.path.dirname, live.values()))

    def damage(self) -> int:
        """How many lines of the log and its segments cannot be read."""
        with self._current():
            bad, shelf = self.damaged, self._shelf()
        return bad + shelf.damage()

    def listen(self) -> set[str]:
        """A set to which the ids of jobs are added as their last end is read in the log, from now on: see `heard`."""
        ended: set[str] = set()
        with self._current():
            self._listeners.append(ended)
        return ended

    def heard(self, ended: set[str]) -> set[str]:
        """What is in that set by now, which is emptied. It costs no look at segments."""
        with self._current():
            taken = set(ended)
            ended.clear()
        return taken

    def unlisten(self, ended: set[str]) -> None:
        """No more is added to that set."""
        with self._mutex:
            self._listeners = [each for each in self._listeners if each is not ended]

    def get(self, job_id: str) -> JobRecord:
        """The record of that id. Raises `UnknownJob`."""
        entry = self.some([job_id]).get(job_id)
        if entry is None:
            raise UnknownJob(f"there is no job {job_id!r} in the journal", hint="`psij-run list --all` shows all")
        return entry

    def job(self, entry: JobRecord, key: str = "") -> Job | None:
        """The specification that was submitted; None for a job that was attached, or whose folder is gone."""
        data = read_json(entry.folder / "job.json")
        if not isinstance(data, dict):
            return None
        try:
            elements = data.get("elements")
            return Job.from_dict(elements[int(key)] if key and elements else data["job"])
        except (*_DAMAGE, IndexError, InvalidRequest):  # damaged
            return None

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Up to date with the log, and no other thread at it; a log of an earlier version is moved over at the end."""
        with self._mutex:
            self._catch_up()
            yield
            old = self._packed > max(_OLD, self._offset // 2) and self._offset > self._undone * 1.25
        if old:
            self._tidy()

    def _catch_up(self) -> None:
        self._guard()
        try:
            with open(self.path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as log:
                stat, head = os.fstat(log.fileno()), os.pread(log.fileno(), _HEAD, 0)
                # A log that was rewritten twice may have got its first inode number back: hence the head.
                if stat.st_ino != self._inode or stat.st_size < self._offset or not head.startswith(self._head):
                    self._forget(stat.st_ino)
                self._head = head
                log.seek(self._offset)
                text = b""
                while chunk := log.read(_CHUNK):
                    text += chunk
                    end = text.rfind(b"\n") + 1  # a line without its end is still being written, or torn
                    self._offset += end
                    self._take(text[:end])
                    text = text[end:]
        except FileNotFoundError:
            self._forget(0)
        except OSError as error:
            raise JournalError(
                f"cannot read {self.path}: {error.strerror}", hint="set PSIJ_PARSL_HOME to a directory of your own"
            ) from error

    def _guard(self) -> None:
        if not self._guarded:
            self._guarded = guard(self.home)

    def _take(self, text: bytes) -> None:
        """Take in whole lines. A damaged one costs that line only."""
        lines = text.splitlines()
        for line, event in zip(lines, _events(lines), strict=True):
            try:
                self._take_one(line, event)
            except _DAMAGE:
                self.damaged += bool(line)

    def _take_one(self, line: bytes, event: Any) -> None:
        if not isinstance(event, dict):
            raise TypeError("no event")
        kind, job_id = event.get("e"), event.get("id")
        if kind == "log":
            named = event.get("segments")
            self._named = [name for name in named if isinstance(name, str)] if isinstance(named, list) else None
            latest = event.get("last")
            self._latest = latest if isinstance(latest, str) else ""
            return
        if not isinstance(job_id, str):
            raise TypeError("no id")
        before = self._entries.get(job_id)
        if kind == "again":
            self._gone.add(job_id)  # the one in a segment
            event = {**event, "e": "job"}
        if kind == "gone":
            self._gone.add(job_id)
            if self._entries.pop(job_id, None) is not None and isinstance(before, bytes):
                self._packed -= len(before)
            return
        apply(self._entries, event)
        after = self._entries.get(job_id)
        if after is None:
            return
        if isinstance(after, JobRecord) and after is not before and not valid(after):
            if before is None:
                del self._entries[job_id]
            else:
                self._entries[job_id] = before
            raise ValueError("of a wrong kind")
        if kind == "job":
            self._latest = job_id
        if after is not before:
            if isinstance(before, bytes):
                self._packed -= len(before)
            if not is_open(after):
                if kind == "end":
                    for ended in self._listeners:
                        ended.add(job_id)
                whole = kind == "job" and after is event and may_hold(job_id, line)
                packed = self._entries[job_id] = line if whole else line_of(after)
                self._packed += len(packed)

    def _shelf(self) -> Shelf:
        """What the segments hold. The caller has just caught up."""
        folder = self.home / "closed"
        named = self._named
        if named is None:  # no rewriting yet; or the line is damaged that names them, and then all count
            return Shelf(found_in(folder), frozenset(self._gone), dict(self._entries), exact=False)
        known = [found for name in named if (found := Segment.named(folder / name)) is not None]
        return Shelf(known, frozenset(self._gone), dict(self._entries))

    # ---- writing -------------------------------------------------------------------------------------------

    def prepare(self, spool: Path | None = None) -> tuple[str, Path]:
        """A new id, and where its folder is to be made. Nothing is written yet."""
        job_id = _new_id()
        return job_id, (spool or self.home / "jobs") / job_id

    @property
    def identity(self) -> str:
        """What this state directory is known by in the folders of its jobs. A copy of it is another one."""
        if not self._identity:
            place = private_folder(self.home) / "identity"
            with translate_os_errors(place):
                inode = f".{self.home.stat().st_ino}"
                known = os.readlink(place) if os.path.islink(place) else ""
                if not known.endswith(inode):
                    fresh = f"{random.SystemRandom().getrandbits(64):016x}"
                    if known:  # of the directory that this one is a copy of
                        os.symlink(fresh + inode, self.home / f".{fresh}")
                        os.replace(self.home / f".{fresh}", place)
                    else:
                        with suppress(FileExistsError):  # another process has just done it
                            os.symlink(fresh + inode, place)
                self._identity = os.readlink(place)
        return self._identity

    @property
    def new(self) -> bool:
        """Whether nothing was ever recorded here."""
        return not self.path.exists()

    def new_folder(self, spool: Path | None = None) -> tuple[str, Path]:
        """A new id and its folder, made: no other process has either."""
        while True:  # two ids of one second may meet
            job_id, folder = self.prepare(spool)
            if self.make_folder(folder):
                return job_id, folder

    def make_folder(self, folder: Path) -> bool:
        """Make a job's folder; False if another process has just taken that id."""
        identity = self.identity
        try:
            if folder.parent not in self._spools:
                guard_spool(folder.parent)
                self._spools.add(folder.parent)
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return False
        except FileNotFoundError:
            private_folder(folder.parent)
            return self.make_folder(folder)
        except OSError:
            with translate_os_errors(folder):
                raise
        try:
            os.symlink(identity, folder / _OWNER)  # in one step: it is there whole or not at all
        except OSError:
            folder.rmdir()
            with translate_os_errors(folder):
                raise
        reach("folder")
        return True

    def intend(self, entry: JobRecord, job: Job | None = None, elements: Sequence[Job] = ()) -> JobRecord:
        """Record, durably, that a submission is about to be sent."""
        if job is not None:
            data = {"job": job.to_dict(), **({"elements": [each.to_dict() for each in elements]} if elements else {})}
            write_new(entry.folder / "job.json", json.dumps(data))
        reach("written")
        entry = replace(entry, intended=time.time(), owner=process_identity())
        self._append([{"e": "job", **plain(entry)}], durable=True)
        reach("intended")
        return entry

    def commit(
        self, entry: JobRecord, native: str, *, sure: bool = False, elements: Sequence[str] = (), cluster: str = ""
    ) -> JobRecord:
        """Record the id that the manager gave, and what else of an `JobRecord` is known with it."""
        reach("submitted")
        now = time.time()
        known = {"sure": sure, "elements": list(elements), "cluster": cluster}
        told = {name: value for name, value in known.items() if value}
        try:
            self._append([{"e": "native", "id": entry.id, "native": native, "t": now, **told}])
        except JournalError as error:
            raise JournalError(
                f"{entry.platform} has taken job {entry.id} as {native}, but that could not be written down:"
                f" {error.message}",
                hint=f"do not submit it again: `psij-run status {entry.id}` finds it by its tag. {error.hint}",
            ) from error
        reach("committed")
        return replace(
            entry, native=native, committed=now, sure=sure, elements=tuple(elements), cluster=cluster or entry.cluster
        )

    def born(self, times: Mapping[str, float]) -> None:
        """Record the manager's own time of submission of these jobs, by our ids; as `end` where that cannot be."""
        self._learnt([{"e": "born", "id": job_id, "t": born} for job_id, born in times.items()])

    def dropping(self, entry: JobRecord, key: str, status: JobStatus) -> None:
        """Record that the manager is about to be told to forget a failed job, which ended with that status."""
        self._append([{"e": "drop", "id": entry.id, "k": key, "s": plain_status(status)}], durable=True)

    def forget(self, ids: Iterable[str]) -> None:
        """Take records away: a submission that the manager refused, or one that is cleaned up."""
        self._append([{"e": "gone", "id": job_id} for job_id in ids])

    @contextmanager
    def briefly(self) -> Iterator[None]:
        """For who only looks: what it learns is written down if the lock is to be had soon, else by a later look."""
        before = self._patience_s
        self._local.patience_s = _BRIEFLY_S
        try:
            yield
        finally:
            self._local.patience_s = before

    @property
    def _patience_s(self) -> float:
        return float(getattr(self._local, "patience_s", _PATIENCE_S))

    def cancel_asked(self, keys: Iterable[tuple[str, str]], *, sent: bool = True) -> None:
        """Record that these (id, element key) were asked to be cancelled; '*' means every element.

        With `sent` False the manager will be told once it shows the job.
        """
        unsent = {} if sent else {"unsent": True}
        self._append([{"e": "cancel", "id": job_id, "k": key, "t": time.time(), **unsent} for job_id, key in keys])

    def cancel_failed(self, keys: Iterable[tuple[str, str]]) -> None:
        """Take back `cancel_asked`: the manager was not told, and how they end has another reason."""
        self._append([{"e": "uncancel", "id": job_id, "k": key} for job_id, key in keys])

    def twins(self, entry: JobRecord, natives: Sequence[str]) -> None:
        """Record second copies of a submission, which were ended."""
        if entry.open:
            self._append([{"e": "twin", "id": entry.id, "natives": list(natives)}])
        else:  # its record may be in a segment, which is never changed: a new one takes its place
            self._append([{"e": "again", **plain(replace(entry, twins=(*entry.twins, *natives)))}])

    def end(self, ends: Mapping[tuple[str, str], JobStatus]) -> None:
        """Record final statuses by (id, element key). One that is recorded already stays.

        Where they cannot be written down (a full disk, a lock that is not to be had), that is said and no error: the
        next look learns them again.
        """
        known = self.some({job_id for job_id, _ in ends})
        events = [
            {"e": "end", "id": job_id, "k": key, "s": plain_status(status)}
            for (job_id, key), status in ends.items()
            if job_id in known and key not in known[job_id].ended
        ]
        self._learnt(events)

    def _learnt(self, events: Sequence[Mapping[str, Any]]) -> None:
        try:
            self._append(events)
            self._said = ""
        except JournalError as error:
            if self._said != error.message:
                self._said = error.message
                log.warning("what was learnt could not be written down, a later look will do that: %s", error)

    def _append(self, events: Sequence[Mapping[str, Any]], *, durable: bool = False) -> None:
        if not events:
            return
        text = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events).encode()
        self._guard()
        with self._locked(), translate_os_errors(self.path):
            log = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                size = os.fstat(log).st_size
                if size and os.pread(log, 1, size - 1) != b"\n":
                    text = b"\n" + text  # a writer was killed in the middle of its line
                _write_all(log, text, size)
                if durable:
                    os.fdatasync(log)
            finally:
                os.close(log)
        step = _step(size)
        if size // step != (size + len(text)) // step:
            self._tidy()

    def _locked(self) -> AbstractContextManager[None]:
        if self._lock is None:
            self._lock = lock(self.home / "journal.lock")
        return hold_lock(self._lock, timeout_s=self._patience_s, named=True)

    def _tidy(self) -> None:
        """Rewrite the log without what was overtaken and what has ended, if that halves it. One process at a time.

        Should that fail (no room, a disk that is read-only), all stays as it is, and what was to be told has been.
        """
        undone, self._undone = self._offset, 0
        try:
            with try_lock(lock(self.home / "journal.tidy.lock")) as ours:
                if ours:
                    self._halve()
                else:
                    self._undone = undone
        except (JournalError, OSError) as error:
            self._undone = undone
            log.debug("the journal was not rewritten: %s", error)

    def _halve(self) -> None:
        folder, fresh = self.home / "closed", self.path.with_suffix(".new")
        with self._mutex:
            self._catch_up()
            offset, inode, head, latest = self._offset, self._inode, self._head, self._latest
            records, shelf, gone = dict(self._entries), self._shelf(), set(self._gone)
        moved = {
            job_id: record
            for job_id, record in records.items()
            if isinstance(record, bytes) and job_id != latest and may_hold(job_id, record)
        }
        stay, rewritten, marks = without(shelf, gone, moved.keys())
        kept = [json.dumps({"e": "gone", "id": job_id}, separators=(",", ":")).encode() for job_id in sorted(marks)]
        kept += [line_of(record) for job_id, record in records.items() if job_id not in moved]
        if 2 * sum(len(line) + 1 for line in kept) > offset:
            return
        made_now: list[Segment] = []
        try:
            made_now = write_segments(folder, rewritten | moved)
            segments = [*stay, *made_now]
            names = [segment.path.name for segment in segments]
            first = {"e": "log", "rewritten": random.random(), "last": latest, "segments": names}
            text = b"\n".join([json.dumps(first, separators=(",", ":")).encode(), *kept, b""])
            with open(fresh, "wb", buffering=0, opener=_private) as file:
                _write_all(file.fileno(), text, 0)
                os.fsync(file.fileno())
        except (JournalError, OSError):
            _remove(fresh, *(segment.path for segment in made_now))
            raise
        if not self._swap(fresh, offset, inode, head):
            _remove(fresh, *(segment.path for segment in made_now))
            raise JournalError("the log was replaced meanwhile, or there is no room")
        # Whatever stops us in the swap, it may have been made: then what was written stays, for a later sweep.
        for segment in shelf.segments:
            if segment not in stay:
                os.utime(segment.path)  # from now on nobody begins to read it
        sweep(folder, segments)

    def _swap(self, fresh: Path, offset: int, inode: int, head: bytes) -> bool:
        """Put the new log in the place of the old one, with what was written to that beyond `offset`."""
        with self._locked():
            with open(self.path, "rb", buffering=0) as old, open(fresh, "ab", buffering=0) as file:
                stat = os.fstat(old.fileno())
                if stat.st_ino != inode or stat.st_size < offset or not old.read(_HEAD).startswith(head):
                    return False
                old.seek(offset)
                if rest := old.readall():
                    try:
                        _write_all(file.fileno(), rest, os.fstat(file.fileno()).st_size)
                        os.fdatasync(file.fileno())
                    except OSError:
                        return False
            os.replace(fresh, self.path)
        return True

    # ---- choosing ------------------------------------------------------------------------------------------

    def find(
        self, selectors: Sequence[str], *, elements: bool = True, of: tuple[str, str] | None = None
    ) -> list[tuple[JobRecord, str]]:
        """The (entry, element key) that selectors name: ids of ours or the manager's, `last`, `all`, ID_3, last_3.

        A whole array is given as each of its elements, or with `elements=False` once, with the key '*'.
        `all` means those not ended. A manager's id is looked for among all jobs, or among those `of` one (platform,
        cluster); an open one goes before those that have ended, and a later one before an earlier. Raises
        `UnknownJob` with the selector that names nothing, `InvalidRequest` for one that could mean several.
        """
        look = _Look(self, of)
        found: dict[tuple[str, str], tuple[JobRecord, str]] = {}
        for selector in selectors:
            for entry, keys in look.select(selector):
                for key in keys if keys is not None else (entry.keys if elements or not entry.array else ["*"]):
                    found[entry.id, key] = (entry, key)
        return list(found.values())

    def look(self) -> tuple[Records, Shelf, str]:
        """What `find` looks in: the records in the log, those in segments, and the id of the last one submitted."""
        with self._current():
            return dict(self._entries), self._shelf(), self._latest


class _Look:
    """One look for jobs by what people call them, without loading those that have ended."""

    def __init__(self, journal: Journal, of: tuple[str, str] | None) -> None:
        self._live, self._shelf, self._last = journal.look()
        self._of = of
        self._by_native: dict[str, list[JobRecord]] | None = None

    def select(self, selector: str) -> list[tuple[JobRecord, Sequence[str] | None]]:
        if selector == "all":
            return [(made(self._live, job_id), None) for job_id in self._live if is_open(self._live[job_id])]
        if selector == "last":
            latest = self._latest()
            if latest is None:
                raise UnknownJob("there is no last job: none was submitted yet", hint="psij-run submit -- hostname")
            return [(latest, None)]
        entry = self._known(selector) or self._native(selector)
        if entry is not None:
            lone = selector != entry.native and selector in entry.elements
            return [(entry, [entry.keys[entry.elements.index(selector)]] if lone else None)]
        base, _, index = selector.rpartition("_")
        entry = None
        if base:
            entry = self._latest() if base == "last" else self._known(base) or self._native(base)
        if entry is not None and entry.array:
            if index not in entry.keys:
                what = f"no element {index}" if index else "no element without an index"
                raise UnknownJob(f"the array {base} has {what}", hint=f"it has {_span(entry.array)}")
            return [(entry, [index])]
        started = self._started(selector) if selector else []
        if started and len(selector) < _SHORTEST:
            raise UnknownJob(
                f"there is no job {selector!r}; the beginning of an id must have at least {_SHORTEST} letters",
                hint="`psij-run list --all` shows those that were submitted",
            )
        if len(started) == 1 and (entry := self._known(started[0])) is not None:
            return [(entry, None)]
        if started:
            raise InvalidRequest(f"{selector!r} could mean {len(started)} jobs", hint="give more of the id")
        raise UnknownJob(
            f"there is no job {selector!r}", hint="`psij-run list --all` shows those that were submitted"
        )

    def _known(self, job_id: str) -> JobRecord | None:
        return made(self._live, job_id) if job_id in self._live else self._shelf.some([job_id]).get(job_id)

    def _latest(self) -> JobRecord | None:
        if self._last in self._live:
            return made(self._live, self._last)
        known = [made(self._live, job_id) for job_id in self._live] + self._shelf.recent(count=1)
        return max(known, key=attrgetter("intended"), default=None)

    def _native(self, native: str) -> JobRecord | None:
        """The job that a manager's id means: the only open one, else the latest."""
        if self._by_native is None:
            self._by_native = {}
            for job_id in self._live:
                entry = made(self._live, job_id)
                for known in filter(None, dict.fromkeys((entry.native, *entry.elements))):
                    self._by_native.setdefault(known, []).append(entry)
        entries = list(filter(self._asked, self._by_native.get(native, ())))
        going = any(entry.open for entry in entries)
        if not going:
            entries += filter(None, [self._shelf.native(native, self._asked)])
        if not entries:
            return None
        chosen = _the_one(native, sorted(entries, key=attrgetter("intended")))
        if self._of is None:
            if not going:
                entries += filter(None, [self._shelf.native(native, partial(_elsewhere, chosen))])
            _tell_of_others(native, chosen, entries)
        return chosen

    def _asked(self, entry: JobRecord) -> bool:
        return self._of is None or self._of == (entry.platform, entry.cluster)

    def _started(self, beginning: str) -> list[str]:
        return [job_id for job_id in self._live if job_id.startswith(beginning)] + self._shelf.started(beginning)


class _Values(ValuesView[JobRecord]):
    def __init__(self, records: Recorded) -> None:
        super().__init__(records)
        self._records = records

    def __iter__(self) -> Iterator[JobRecord]:
        return self._records.walk()


class _Items(ItemsView[str, JobRecord]):
    def __init__(self, records: Recorded) -> None:
        super().__init__(records)
        self._records = records

    def __iter__(self) -> Iterator[tuple[str, JobRecord]]:
        return ((entry.id, entry) for entry in self._records.walk())


class Recorded(Mapping[str, JobRecord]):
    """All records by id, oldest first, as they were at one moment. Those that have ended are read when looked at."""

    def __init__(self, live: Records, shelf: Shelf) -> None:
        self._live, self._shelf = live, shelf

    def __repr__(self) -> str:
        return f"Recorded({len(self)} jobs)"

    def __getitem__(self, job_id: str) -> JobRecord:
        return made(self._live, job_id) if job_id in self._live else self._shelf.some([job_id])[job_id]

    def __len__(self) -> int:
        return len(self._live) + self._shelf.count

    def __iter__(self) -> Iterator[str]:
        return (entry.id for entry in self.walk())

    def values(self) -> ValuesView[JobRecord]:
        return _Values(self)

    def items(self) -> ItemsView[str, JobRecord]:
        return _Items(self)

    def walk(self) -> Iterator[JobRecord]:
        """Each record, made when its turn comes."""
        if not self._shelf.segments:
            return (made(self._live, job_id) for job_id in self._live)
        return self._shelf.merged([made(self._live, job_id) for job_id in self._live])


# ---- a seam for fault injection ------------------------------------------------------------------------------


def reach(step: str) -> None:
    """Mark a step of a submission. With $PSIJ_PARSL_FAULT set to its name the process is killed right there.

    Steps: folder, written, intended, submitted, committed.
    """
    if os.environ.get("PSIJ_PARSL_FAULT") == step:
        os.kill(os.getpid(), signal.SIGKILL)


# ---- pieces ---------------------------------------------------------------------------------------------------


def owner_of(folder: Path) -> str:
    """The identity of the state directory that a job's folder belongs to; '' for one that does not say."""
    try:
        return os.readlink(folder / _OWNER)
    except OSError:
        return ""


def _new_id() -> str:
    """Ten characters, sorted by time, that nobody mixes up with a manager's number."""
    number = int(time.time()) - _EPOCH
    time_part = ""
    for _ in range(6):
        number, digit = divmod(number, 32)
        time_part = _ALPHABET[digit] + time_part
    job_id = time_part + "".join(random.SystemRandom().choices(_ALPHABET, k=4))
    return job_id if not job_id.isdigit() else _new_id()


def _step(size: int) -> int:
    """How many bytes a log of that size may grow before it is worth a look whether it could be halved."""
    return max(_GROWN, 1 << max(0, size.bit_length() - 2))


def _events(lines: Sequence[bytes]) -> Sequence[Any]:
    """What each line says; None for one that cannot be read."""
    try:
        events: list[Any] = json.loads(b"[" + b",".join(lines) + b"]")
        if len(events) == len(lines) and b"" not in lines:
            return events
    except (RecursionError, ValueError):
        pass
    return [_event(line) for line in lines]


def _event(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (RecursionError, ValueError):  # torn by a kill: its job is found again by its tag
        return None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _write_all(log: int, text: bytes, size: int) -> None:
    """Write, or put the file back as it was (a full disk may take a part of the text)."""
    try:
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(log, rest) :]
    except OSError:
        os.ftruncate(log, size)
        raise


def _the_one(native: str, entries: Sequence[JobRecord]) -> JobRecord:
    """The entry that a manager's id means: the only open one, else the latest. Managers count from 1, each of them."""
    going = [entry for entry in entries if entry.open]
    if len(going) > 1:
        said = ", ".join(f"{entry.id} ({entry.platform})" for entry in going)
        raise InvalidRequest(
            f"{native!r} could mean {len(going)} jobs: {said}", hint="say our id of the one you mean"
        )
    return going[0] if going else entries[-1]


def _elsewhere(chosen: JobRecord, other: JobRecord) -> bool:
    return (chosen.platform, chosen.cluster) != (other.platform, other.cluster)


def _tell_of_others(native: str, chosen: JobRecord, entries: Sequence[JobRecord]) -> None:
    """Say which job a manager's id was taken to be, where other managers have given that id too."""
    others = {entry.id: f"{entry.id} ({entry.platform})" for entry in entries if _elsewhere(chosen, entry)}
    if others:
        said = ", ".join(others.values())
        log.warning("%s is taken to be job %s (%s), and not %s", native, chosen.id, chosen.platform, said)


def _span(indices: Sequence[int]) -> str:
    return f"{min(indices)} to {max(indices)}" if len(indices) > 1 else str(indices[0])
