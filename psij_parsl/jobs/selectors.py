"""Finds the jobs that a user names: by our id, its beginning or the manager's id, or as `last`, `all`, `last_3`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter

from ..errors import Error, InvalidRequest, UnknownJob
from ..platforms.registry import platform as find_platform
from .record import JobPart, JobRecord
from .record_lines import Records, is_open, record_of
from .shelf import Shelf

log = logging.getLogger(__name__)

_SHORTEST = 4  # letters of the beginning of an id, to name the job


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

    `last` is the id of the job that was submitted last.
    """
    lookup = _Lookup(records, shelf, last, of)
    parts: dict[tuple[str, str], JobPart] = {}
    for selector in selectors:
        for entry, keys in lookup.select(selector):
            for key in keys if keys is not None else (entry.keys if elements or not entry.array else ["*"]):
                parts[entry.id, key] = (entry, key)
    return list(parts.values())


class _Lookup:
    """One search for jobs by the names that users give, without loading the records of ended jobs."""

    def __init__(self, records: Records, shelf: Shelf, last: str, of: tuple[str, str] | None) -> None:
        self._live, self._shelf, self._last = records, shelf, last
        self._scope = of
        self._native_index: dict[str, list[JobRecord]] | None = None

    def select(self, selector: str) -> list[tuple[JobRecord, Sequence[str] | None]]:
        if selector == "all":
            return [(record_of(self._live, job_id), None) for job_id in self._live if is_open(self._live[job_id])]
        if selector == "last":
            latest = self._latest()
            if latest is None:
                raise UnknownJob("there is no last job: none was submitted yet", hint="psij-run submit -- hostname")
            return [(latest, None)]
        entry = self._by_id(selector) or self._by_native_id(selector) or self._by_other_form(selector)
        if entry is not None:
            lone = selector != entry.native and selector in entry.elements
            return [(entry, [entry.keys[entry.elements.index(selector)]] if lone else None)]
        base, _, index = selector.rpartition("_")
        entry = None
        if base:
            entry = self._latest() if base == "last" else self._by_id(base) or self._by_native_id(base)
        if entry is not None and entry.array:
            if index not in entry.keys:
                what = f"no element {index}" if index else "no element without an index"
                raise UnknownJob(f"the array {base} has {what}", hint=f"it has {_span(entry.array)}")
            return [(entry, [index])]
        matches = self._with_prefix(selector) if selector else []
        if matches and len(selector) < _SHORTEST:
            raise UnknownJob(
                f"there is no job {selector!r}; the beginning of an id must have at least {_SHORTEST} letters",
                hint="`psij-run list --all` shows those that were submitted",
            )
        if len(matches) == 1 and (entry := self._by_id(matches[0])) is not None:
            return [(entry, None)]
        if matches:
            raise InvalidRequest(f"{selector!r} could mean {len(matches)} jobs", hint="give more of the id")
        raise UnknownJob(
            f"there is no job {selector!r}", hint="`psij-run list --all` shows those that were submitted"
        )

    def _by_id(self, job_id: str) -> JobRecord | None:
        return record_of(self._live, job_id) if job_id in self._live else self._shelf.some([job_id]).get(job_id)

    def _latest(self) -> JobRecord | None:
        if self._last in self._live:
            return record_of(self._live, self._last)
        entries = [record_of(self._live, job_id) for job_id in self._live] + self._shelf.recent(1)
        return max(entries, key=attrgetter("intended"), default=None)

    def _by_native_id(self, native: str) -> JobRecord | None:
        """The job that an id of the manager means: the only open one, else the newest."""
        if self._native_index is None:
            self._native_index = {}
            for job_id in self._live:
                entry = record_of(self._live, job_id)
                for native_id in filter(None, dict.fromkeys((entry.native, *entry.elements))):
                    self._native_index.setdefault(native_id, []).append(entry)
        entries = list(filter(self._accepts, self._native_index.get(native, ())))
        going = any(entry.open for entry in entries)
        if not going:
            entries += filter(None, [self._shelf.native(native, self._accepts)])
        if not entries:
            return None
        match = _only_open_or_newest(native, sorted(entries, key=attrgetter("intended")))
        if self._scope is None:
            if not going:
                entries += filter(None, [self._shelf.native(native, partial(_is_elsewhere, match))])
            _warn_of_others(native, match, entries)
        return match

    def _by_other_form(self, selector: str) -> JobRecord | None:
        """The job of an open record whose id the selector is in another form, such as without the server's name."""
        if not any(map(str.isdigit, selector)):
            return None
        index = self._native_index or {}
        names = {entry.platform for entries in index.values() for entry in entries if self._accepts(entry)}
        same = {name: _comparison(name) for name in names}
        for native, entries in index.items():
            if any(entry.platform in same and same[entry.platform](native, selector) for entry in entries):
                return self._by_native_id(native)
        return None

    def _accepts(self, entry: JobRecord) -> bool:
        return self._scope is None or self._scope == (entry.platform, entry.cluster)

    def _with_prefix(self, prefix: str) -> list[str]:
        return [job_id for job_id in self._live if job_id.startswith(prefix)] + self._shelf.with_prefix(prefix)


def _comparison(platform_name: str) -> Callable[[str, str], bool]:
    """How a platform compares two ids; exactly, where it cannot be loaded or is set up for several clusters."""
    try:
        return find_platform(platform_name).scheduler_class().same_id
    except Error:
        return str.__eq__


def _only_open_or_newest(native: str, entries: Sequence[JobRecord]) -> JobRecord:
    """The record that an id of a manager means: the only open one, else the newest.

    Several may have that id, for every manager counts from 1.
    """
    going = [entry for entry in entries if entry.open]
    if len(going) > 1:
        names = ", ".join(f"{entry.id} ({entry.platform})" for entry in going)
        raise InvalidRequest(
            f"{native!r} could mean {len(going)} jobs: {names}", hint="say our id of the one you mean"
        )
    return going[0] if going else entries[-1]


def _is_elsewhere(match: JobRecord, other: JobRecord) -> bool:
    return (match.platform, match.cluster) != (other.platform, other.cluster)


def _warn_of_others(native: str, match: JobRecord, entries: Sequence[JobRecord]) -> None:
    """Log which job an id of a manager was taken to mean, if other managers have given that id too."""
    others = {entry.id: f"{entry.id} ({entry.platform})" for entry in entries if _is_elsewhere(match, entry)}
    if others:
        names = ", ".join(others.values())
        log.warning("%s is taken to be job %s (%s), and not %s", native, match.id, match.platform, names)


def _span(indices: Sequence[int]) -> str:
    return f"{min(indices)} to {max(indices)}" if len(indices) > 1 else str(indices[0])
