"""`clean`: records and folders of jobs that ended long ago."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from stat import S_ISDIR

from ...errors import InvalidRequest
from ...jobs.job_places import owner_of
from ...jobs.journal import Journal
from ...jobs.record import JobRecord
from ..command import Command, Invocation
from ..flags import JSON, Flag
from ..job_table import JobTable
from ..moments import age
from ..output import Renderer
from ..selectors import ENDED_JOBS

_ORPHAN_S = 86400.0  # a folder without a record that is younger may belong to a submission in progress
_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{10}")


def _clean(out: Renderer, invocation: Invocation) -> int:
    values, selectors = invocation.values(), invocation.arguments
    dry_run = "dry_run" in values
    table = JobTable()
    if not selectors:  # some may have ended since the last poll
        table.poll([(entry, "*" if entry.array else "") for entry in table.journal.open_entries().values()])
    limit = time.time() - values["older_than"]
    if selectors:
        jobs = _named(table, selectors, force="force" in values)
    else:
        jobs = [entry for entry in table.journal.aged(limit) if not entry.open and _ended(entry) <= limit]
    ids = {entry.id for entry in jobs}
    folders = [entry.folder for entry in jobs if entry.folder.name == entry.id]  # else the record is damaged
    leftovers = [] if selectors else _leftovers(table.journal, ids, limit)
    size = sum(map(_size, (*folders, *leftovers)))
    if not dry_run:
        for path in (*folders, *leftovers):
            _remove(path)
        table.journal.forget(ids)
    not_ended = [entry for entry in jobs if entry.open]
    rest = f" and {len(leftovers)} files and folders that belong to no job" if leftovers else ""
    out.answer(
        f"{_summary(len(jobs) - len(not_ended), not_ended, dry_run=dry_run)}{rest}, {_bytes(size)}",
        {
            "removed": sorted(ids),
            "not_ended": {entry.id: entry.native or None for entry in not_ended},
            "loose": [str(path) for path in leftovers],
            "bytes": size,
            "dry_run": dry_run,
        },
    )
    return 0


def _summary(ended: int, not_ended: Sequence[JobRecord], *, dry_run: bool) -> str:
    """How many jobs were removed, and how many that have not ended were forgotten."""
    parts = []
    if ended or not not_ended:
        parts.append(f"{'would remove' if dry_run else 'removed'} {_count(ended, 'ended ')}")
    if not_ended:
        natives = ", ".join(map(_at_manager, not_ended))
        verb = "would forget" if dry_run else "forgot"
        parts.append(f"{verb} {_count(len(not_ended))} that had not ended ({natives})")
    return " and ".join(parts)


def _count(number: int, kind: str = "") -> str:
    return f"{number} {kind}{'job' if number == 1 else 'jobs'}"


def _at_manager(entry: JobRecord) -> str:
    return f"{entry.platform} still has it as {entry.native}" if entry.native else f"{entry.platform} may have it"


def _named(table: JobTable, selectors: Sequence[str], *, force: bool) -> list[JobRecord]:
    if "all" in selectors:
        raise InvalidRequest(
            "`all` means the jobs that have not ended, and these are kept", hint="psij-run clean --older-than 0"
        )
    entries = []
    for entry, key in table.find(selectors):
        if key not in ("", "*"):
            raise InvalidRequest(
                f"an element of the array {entry.id} cannot be removed alone", hint=f"psij-run clean {entry.id}"
            )
        if entry.open:
            table.poll([(entry, key)], urgent=True)  # it may have ended since the last poll
            entry = table.journal.get(entry.id)
        if entry.open and not force:
            raise InvalidRequest(f"job {entry.id} has not ended", hint=f"`psij-run cancel {entry.id}` first")
        entries.append(entry)
    return entries


def _ended(entry: JobRecord) -> float:
    ends = [status.ended or 0.0 for status in entry.ended.values()]
    return max((*ends, entry.committed, entry.intended))


def _leftovers(journal: Journal, removed: Container[str], limit: float) -> list[Path]:
    """Folders and copies of scripts that belong to no job."""
    ids, roots = journal.places()
    return [*_orphans(journal, ids, roots, limit), *_scripts(journal, removed, roots, limit)]


def orphans(journal: Journal) -> list[Path]:
    """Our job folders that no record names, and that are too old for a submission in progress."""
    return _orphans(journal, *journal.places())


def _orphans(journal: Journal, ids: Container[str], roots: Iterable[str], limit: float = 0.0) -> list[Path]:
    """The orphaned job folders below `roots`; `ids` are the jobs on record.

    A folder is ours if its owner link names our state directory. One without an owner link belongs to another state
    directory or to an earlier version, and is kept unless it is empty. One whose job has started and not ended is kept
    until it is older than `limit` too (seconds since the epoch): its record may have been damaged.
    """
    folders: list[Path] = []
    for root in {os.path.join(journal.home, "jobs"), *roots}:
        try:
            with os.scandir(root) as items:
                names = [item.name for item in items if item.name not in ids and _ID.fullmatch(item.name)]
        except OSError:
            continue
        folders += [path for name in names if _is_orphaned(path := Path(root, name), journal.identity, limit)]
    return sorted(folders)


def _is_orphaned(path: Path, identity: str, limit: float) -> bool:
    try:
        stat = path.lstat()
        if not S_ISDIR(stat.st_mode) or stat.st_uid != os.geteuid() or time.time() - stat.st_mtime <= _ORPHAN_S:
            return False
        if owner_of(path) != identity:
            return not os.listdir(path)
        started_only = os.path.lexists(path / "claim") and not os.path.lexists(path / "exit")
        return not started_only or stat.st_mtime <= limit
    except OSError:  # it has just been removed
        return False


def _scripts(journal: Journal, removed: Container[str], roots: Iterable[str], limit: float) -> list[Path]:
    """Copies of job scripts, and of input, that no remaining job has. Each use updates their time, so only old jobs can use them.

    They are named by their content; a job may know one by another path, that of compute nodes.
    """
    roots = {str(journal.home), *journal.places()[1]}
    found = (path for root in roots for kind in ("*.sh", "*.input") for path in Path(root, "scripts").glob(kind))
    copies = [path for path in found if _changed(path) <= limit]
    if not copies:
        return []
    remaining = (entry for entry in journal.aged(limit + _ORPHAN_S) if entry.id not in removed)
    jobs = [job for entry in remaining if (job := journal.job(entry)) is not None]
    used = {os.path.basename(str(name)) for job in jobs for name in (*job.command, job.stdin)}
    return [path for path in copies if path.name not in used]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another clean has just removed it
        return time.time()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    if not path.is_dir():
        return _bytes_of(path)
    return sum(_bytes_of(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _bytes_of(path: str | Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:  # another clean, or its job, has just removed it
        return 0


def _bytes(size: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


CLEAN = Command(
    "clean",
    "Remove the records and folders of ended jobs.",
    _clean,
    (
        Flag(
            "older_than",
            ("--older-than",),
            "AGE",
            "Remove jobs that ended at least this long ago: 30d, 12h; a number without a unit is days.",
            age,
            default="30d",
        ),
        Flag("dry_run", ("--dry-run",), "", "Only show what would be removed.", switch=True),
        Flag(
            "force",
            ("--force",),
            "",
            "Remove the named jobs even if they have not ended; they go on running.",
            switch=True,
        ),
        JSON,
    ),
    ENDED_JOBS,
    details=(
        "Without names, all jobs that ended longer ago than --older-than are removed. Output files that were requested with"
        " -o or -e are kept."
    ),
    examples=("psij-run clean --older-than 7d", "psij-run clean last"),
)
