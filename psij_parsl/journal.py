"""The record of every job: one append-only log for all processes of a user, and one folder per job.

The log `journal.jsonl` holds one event a line; what a job is, is what its lines add up to. Writers append under
a file lock; readers take none, for a line is there whole or is passed over. A line that a killed writer left torn
harms nothing but itself. Now and then a writer rewrites the log with one line per job and swaps it in.

Order of a submission, so that `kill -9` at any instruction loses no job and doubles none: the folder, the script,
`intend` (on disk before anything is sent), the manager, `commit`. An intent without a commit is looked for by its
tag in the manager's own answers, or given up by taking the claim that its script would need to start.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .entry import Entry, Records, apply, is_open, made, plain, plain_status
from .errors import InvalidRequest, JournalError, UnknownJob
from .files import home as default_home
from .files import lock, locked, private_folder, read_json, telling, this_owner, write_new
from .job import Job
from .states import JobStatus

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_EPOCH = 1_577_836_800  # 2020-01-01
_GROWN = 256 * 1024  # bytes of events before the log is worth rewriting, and each time that many more
_HEAD = 64  # bytes at the beginning of a log that tell it from the one before it was rewritten


class Journal:
    """The journal under one state directory. Safe for threads, processes and hosts that share the directory."""

    def __init__(self, home: Path | None = None) -> None:
        self.home = home or default_home()
        self.path = self.home / "journal.jsonl"
        self._entries: Records = {}
        self._offset = 0
        self._inode = 0
        self._head = b""
        self._mutex = threading.Lock()
        self._lock: Any = None

    # ---- reading -------------------------------------------------------------------------------------------

    def entries(self) -> dict[str, Entry]:
        """All records by id, oldest first, as of now."""
        with self._mutex:
            self._catch_up()
            return {job_id: made(self._entries, job_id) for job_id in self._entries}

    def open_entries(self) -> dict[str, Entry]:
        """Those of `entries` that have not ended, without the cost of looking at the others."""
        with self._mutex:
            self._catch_up()
            ids = [job_id for job_id, record in self._entries.items() if is_open(record)]
            return {job_id: made(self._entries, job_id) for job_id in ids}

    def some(self, ids: Iterable[str]) -> dict[str, Entry]:
        """The records of these ids, as far as there are any."""
        with self._mutex:
            self._catch_up()
            return {job_id: made(self._entries, job_id) for job_id in ids if job_id in self._entries}

    def get(self, job_id: str) -> Entry:
        """The record of that id. Raises `UnknownJob`."""
        entry = self.some([job_id]).get(job_id)
        if entry is None:
            raise UnknownJob(f"there is no job {job_id!r} in the journal", hint="`psij-run list --all` shows all")
        return entry

    def job(self, entry: Entry, key: str = "") -> Job | None:
        """The specification that was submitted; None for a job that was attached, or whose folder is gone."""
        data = read_json(entry.folder / "job.json")
        if not isinstance(data, dict):
            return None
        elements = data.get("elements")
        return Job.from_dict(elements[int(key)] if key and elements else data["job"])

    def _catch_up(self) -> None:
        try:
            with open(self.path, "rb") as log:
                stat, head = os.fstat(log.fileno()), os.pread(log.fileno(), _HEAD, 0)
                # A log that was rewritten twice may have got its first inode number back: hence the head.
                if stat.st_ino != self._inode or stat.st_size < self._offset or not head.startswith(self._head):
                    self._entries, self._offset, self._inode = {}, 0, stat.st_ino
                self._head = head
                log.seek(self._offset)
                text = log.read()
        except FileNotFoundError:
            self._entries, self._offset, self._inode, self._head = {}, 0, 0, b""
            return
        except OSError as error:
            raise JournalError(
                f"cannot read {self.path}: {error.strerror}", hint="set PSIJ_PARSL_HOME to a directory of your own"
            ) from error
        end = text.rfind(b"\n") + 1  # a line without its end is still being written, or torn
        self._offset += end
        for event in _events(text[:end]):
            try:
                apply(self._entries, event)
            except (AttributeError, KeyError, TypeError, ValueError):  # damaged: it costs that line only
                continue

    # ---- writing -------------------------------------------------------------------------------------------

    def prepare(self, spool: Path | None = None) -> tuple[str, Path]:
        """A new id, and where its folder is to be made. Nothing is written yet."""
        job_id = _new_id()
        return job_id, (spool or self.home / "jobs") / job_id

    def make_folder(self, folder: Path) -> bool:
        """Make a job's folder; False if another process has just taken that id."""
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return False
        except FileNotFoundError:
            private_folder(folder.parent)
            return self.make_folder(folder)
        except OSError:
            with telling(folder):
                raise
        reach("folder")
        return True

    def intend(self, entry: Entry, job: Job | None = None, elements: Sequence[Job] = ()) -> Entry:
        """Record, durably, that a submission is about to be sent."""
        if job is not None:
            data = {"job": job.to_dict(), **({"elements": [each.to_dict() for each in elements]} if elements else {})}
            write_new(entry.folder / "job.json", json.dumps(data))
        reach("written")
        entry = replace(entry, intended=time.time(), owner=this_owner())
        self._append([{"e": "job", **plain(entry)}], durable=True)
        reach("intended")
        return entry

    def commit(
        self, entry: Entry, native: str, *, sure: bool = False, elements: Sequence[str] = (), cluster: str = ""
    ) -> Entry:
        """Record the id that the manager gave, and what else of an `Entry` is known with it."""
        reach("submitted")
        now = time.time()
        known = {"sure": sure, "elements": list(elements), "cluster": cluster}
        told = {name: value for name, value in known.items() if value}
        self._append([{"e": "native", "id": entry.id, "native": native, "t": now, **told}])
        reach("committed")
        return replace(
            entry, native=native, committed=now, sure=sure, elements=tuple(elements), cluster=cluster or entry.cluster
        )

    def born(self, times: Mapping[str, float]) -> None:
        """Record the manager's own time of submission of these jobs, by our ids."""
        self._append([{"e": "born", "id": job_id, "t": born} for job_id, born in times.items()])

    def dropping(self, entry: Entry, key: str, status: JobStatus) -> None:
        """Record that the manager is about to be told to forget a failed job, which ended with that status."""
        self._append([{"e": "drop", "id": entry.id, "k": key, "s": plain_status(status)}], durable=True)

    def forget(self, ids: Iterable[str]) -> None:
        """Take records away: a submission that the manager refused, or one that is cleaned up."""
        self._append([{"e": "gone", "id": job_id} for job_id in ids])

    def cancel_asked(self, keys: Iterable[tuple[str, str]], *, sent: bool = True) -> None:
        """Record that these (id, element key) were asked to be cancelled; '*' means every element.

        With `sent` False the manager will be told once it shows the job.
        """
        unsent = {} if sent else {"unsent": True}
        self._append([{"e": "cancel", "id": job_id, "k": key, "t": time.time(), **unsent} for job_id, key in keys])

    def cancel_failed(self, keys: Iterable[tuple[str, str]]) -> None:
        """Take back `cancel_asked`: the manager was not told, and how they end has another reason."""
        self._append([{"e": "uncancel", "id": job_id, "k": key} for job_id, key in keys])

    def twins(self, entry: Entry, natives: Sequence[str]) -> None:
        """Record second copies of a submission, which were ended."""
        self._append([{"e": "twin", "id": entry.id, "natives": list(natives)}])

    def end(self, ends: Mapping[tuple[str, str], JobStatus]) -> None:
        """Record final statuses by (id, element key). One that is recorded already stays."""
        known = self.some({job_id for job_id, _ in ends})
        self._append(
            [
                {"e": "end", "id": job_id, "k": key, "s": plain_status(status)}
                for (job_id, key), status in ends.items()
                if job_id in known and key not in known[job_id].ended
            ]
        )

    def _append(self, events: Sequence[Mapping[str, Any]], *, durable: bool = False) -> None:
        if not events:
            return
        text = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events).encode()
        if self._lock is None:
            self._lock = lock(self.home / "journal.lock")
        with locked(self._lock), telling(self.path):
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
            if size // _GROWN != (size + len(text)) // _GROWN:
                self._compact(size)

    def _compact(self, size: int) -> None:
        """Rewrite the log, one line per job, when most of it has been overtaken. The caller holds the lock."""
        with self._mutex:
            self._catch_up()
            lines = [
                json.dumps({"e": "job", **plain(made(self._entries, job_id))}, separators=(",", ":"))
                for job_id in self._entries
            ]
        text = "".join(line + "\n" for line in (json.dumps({"e": "log", "rewritten": random.random()}), *lines))
        if len(text) * 2 > size:
            return
        fresh = self.path.with_suffix(".new")
        try:
            with open(fresh, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self.path)
        except OSError:  # no room for a second copy: the log stays as it is, and what was to be told has been
            fresh.unlink(missing_ok=True)

    # ---- choosing ------------------------------------------------------------------------------------------

    def find(
        self, selectors: Sequence[str], *, elements: bool = True, of: tuple[str, str] | None = None
    ) -> list[tuple[Entry, str]]:
        """The (entry, element key) that selectors name: ids of ours or the manager's, `last`, `all`, ID_3, last_3.

        A whole array is given as each of its elements, or with `elements=False` once, with the key '*'.
        `all` means those not ended. A manager's id is looked for among all jobs, or among those `of` one (platform,
        cluster); an open one goes before those that have ended, and a later one before an earlier. Raises
        `UnknownJob` with the selector that names nothing, `InvalidRequest` for one that could mean several.
        """
        with self._mutex:
            self._catch_up()
            if all(selector in self._entries for selector in selectors):
                entries = {selector: made(self._entries, selector) for selector in selectors}
            else:
                entries = {job_id: made(self._entries, job_id) for job_id in self._entries}
        natives: dict[str, list[Entry]] = {}
        for entry in entries.values():
            if entry.native and (of is None or of == (entry.platform, entry.cluster)):
                natives.setdefault(entry.native, []).append(entry)
        found: dict[tuple[str, str], tuple[Entry, str]] = {}
        for selector in selectors:
            for entry, keys in self._select(selector, entries, natives):
                for key in keys if keys is not None else (entry.keys if elements or not entry.array else ["*"]):
                    found[entry.id, key] = (entry, key)
        return list(found.values())

    def _select(
        self, selector: str, entries: dict[str, Entry], natives: dict[str, list[Entry]]
    ) -> list[tuple[Entry, Sequence[str] | None]]:
        if selector == "all":
            return [(entry, None) for entry in entries.values() if entry.open]
        latest = next(reversed(entries.values()), None)
        if selector == "last":
            if latest is None:
                raise UnknownJob("there is no last job: none was submitted yet", hint="psij-run submit -- hostname")
            return [(latest, None)]
        if selector in entries:
            return [(entries[selector], None)]
        if selector in natives:
            return [(_the_one(selector, natives[selector]), None)]
        for array in (entry for known in natives.values() for entry in known if selector in entry.elements):
            return [(array, [array.keys[array.elements.index(selector)]])]
        base, _, index = selector.rpartition("_")
        entry = latest if base == "last" else entries.get(base)
        if entry is None and base in natives:
            entry = _the_one(base, natives[base])
        if entry is not None and entry.array:
            if index not in entry.keys:
                raise UnknownJob(f"the array {base} has no element {index}", hint=f"it has {_span(entry.array)}")
            return [(entry, [index])]
        started = [entry for job_id, entry in entries.items() if len(selector) >= 4 and job_id.startswith(selector)]
        if len(started) == 1:
            return [(started[0], None)]
        if started:
            raise InvalidRequest(f"{selector!r} could mean {len(started)} jobs", hint="give more of the id")
        raise UnknownJob(
            f"there is no job {selector!r}", hint="`psij-run list --all` shows those that were submitted"
        )


# ---- a seam for fault injection ------------------------------------------------------------------------------


def reach(step: str) -> None:
    """Mark a step of a submission. With $PSIJ_PARSL_FAULT set to its name the process is killed right there.

    Steps: folder, written, intended, submitted, committed.
    """
    if os.environ.get("PSIJ_PARSL_FAULT") == step:
        os.kill(os.getpid(), signal.SIGKILL)


# ---- pieces ---------------------------------------------------------------------------------------------------


def _new_id() -> str:
    """Ten characters, sorted by time, that nobody mixes up with a manager's number."""
    number = int(time.time()) - _EPOCH
    time_part = ""
    for _ in range(6):
        number, digit = divmod(number, 32)
        time_part = _ALPHABET[digit] + time_part
    job_id = time_part + "".join(random.SystemRandom().choices(_ALPHABET, k=4))
    return job_id if not job_id.isdigit() else _new_id()


def _events(text: bytes) -> list[dict[str, Any]]:
    try:
        events: list[dict[str, Any]] = json.loads(b"[" + b",".join(text.splitlines()) + b"]")
        return events
    except ValueError:
        return [event for line in text.splitlines() if isinstance(event := _event(line), dict)]


def _event(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:  # torn by a kill: its job is found again by its tag
        return None


def _write_all(log: int, text: bytes, size: int) -> None:
    """Write, or put the file back as it was (a full disk may take a part of the text)."""
    try:
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(log, rest) :]
    except OSError:
        os.ftruncate(log, size)
        raise


def _the_one(native: str, entries: Sequence[Entry]) -> Entry:
    """The entry that a manager's id means: the only open one, else the latest. Managers count from 1, each of them."""
    going = [entry for entry in entries if entry.open]
    if len(going) > 1:
        said = ", ".join(f"{entry.id} ({entry.platform})" for entry in going)
        raise InvalidRequest(
            f"{native!r} could mean {len(going)} jobs: {said}", hint="say our id of the one you mean"
        )
    return going[0] if going else entries[-1]


def _span(indices: Sequence[int]) -> str:
    return f"{min(indices)} to {max(indices)}" if len(indices) > 1 else str(indices[0])
