"""The jobs that people name: by our id or the manager's, by the beginning of one, as `last`, `all`, `last_3`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from operator import attrgetter

from ..errors import InvalidRequest, UnknownJob
from .record import JobPart, JobRecord
from .record_lines import Records, is_open, record_of
from .shelf import Shelf

log = logging.getLogger(__name__)

_SHORTEST = 4  # letters of an id that may stand for it


def find(
    selectors: Sequence[str],
    records: Records,
    shelf: Shelf,
    last: str,
    *,
    elements: bool = True,
    of: tuple[str, str] | None = None,
) -> list[JobPart]:
    """The jobs that selectors name, among the `records` in the log and those on the `shelf`: see `Journal.find`.

    `last` is the id of the one that was submitted last.
    """
    lookup = _Lookup(records, shelf, last, of)
    parts: dict[tuple[str, str], JobPart] = {}
    for selector in selectors:
        for entry, keys in lookup.select(selector):
            for key in keys if keys is not None else (entry.keys if elements or not entry.array else ["*"]):
                parts[entry.id, key] = (entry, key)
    return list(parts.values())


class _Lookup:
    """One search for jobs by what people call them, without loading those that have ended."""

    def __init__(self, records: Records, shelf: Shelf, last: str, of: tuple[str, str] | None) -> None:
        self._live, self._shelf, self._last = records, shelf, last
        self._of = of
        self._by_native: dict[str, list[JobRecord]] | None = None

    def select(self, selector: str) -> list[tuple[JobRecord, Sequence[str] | None]]:
        if selector == "all":
            return [(record_of(self._live, job_id), None) for job_id in self._live if is_open(self._live[job_id])]
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
        return record_of(self._live, job_id) if job_id in self._live else self._shelf.some([job_id]).get(job_id)

    def _latest(self) -> JobRecord | None:
        if self._last in self._live:
            return record_of(self._live, self._last)
        known = [record_of(self._live, job_id) for job_id in self._live] + self._shelf.recent(count=1)
        return max(known, key=attrgetter("intended"), default=None)

    def _native(self, native: str) -> JobRecord | None:
        """The job that a manager's id means: the only open one, else the latest."""
        if self._by_native is None:
            self._by_native = {}
            for job_id in self._live:
                entry = record_of(self._live, job_id)
                for known in filter(None, dict.fromkeys((entry.native, *entry.elements))):
                    self._by_native.setdefault(known, []).append(entry)
        entries = list(filter(self._asked, self._by_native.get(native, ())))
        going = any(entry.open for entry in entries)
        if not going:
            entries += filter(None, [self._shelf.native(native, self._asked)])
        if not entries:
            return None
        match = _the_one(native, sorted(entries, key=attrgetter("intended")))
        if self._of is None:
            if not going:
                entries += filter(None, [self._shelf.native(native, partial(_elsewhere, match))])
            _warn_of_others(native, match, entries)
        return match

    def _asked(self, entry: JobRecord) -> bool:
        return self._of is None or self._of == (entry.platform, entry.cluster)

    def _started(self, beginning: str) -> list[str]:
        return [job_id for job_id in self._live if job_id.startswith(beginning)] + self._shelf.started(beginning)


def _the_one(native: str, entries: Sequence[JobRecord]) -> JobRecord:
    """The entry that a manager's id means: the only open one, else the latest. Managers count from 1, each of them."""
    going = [entry for entry in entries if entry.open]
    if len(going) > 1:
        names = ", ".join(f"{entry.id} ({entry.platform})" for entry in going)
        raise InvalidRequest(
            f"{native!r} could mean {len(going)} jobs: {names}", hint="say our id of the one you mean"
        )
    return going[0] if going else entries[-1]


def _elsewhere(match: JobRecord, other: JobRecord) -> bool:
    return (match.platform, match.cluster) != (other.platform, other.cluster)


def _warn_of_others(native: str, match: JobRecord, entries: Sequence[JobRecord]) -> None:
    """Say which job a manager's id was taken to be, where other managers have given that id too."""
    others = {entry.id: f"{entry.id} ({entry.platform})" for entry in entries if _elsewhere(match, entry)}
    if others:
        names = ", ".join(others.values())
        log.warning("%s is taken to be job %s (%s), and not %s", native, match.id, match.platform, names)


def _span(indices: Sequence[int]) -> str:
    return f"{min(indices)} to {max(indices)}" if len(indices) > 1 else str(indices[0])
