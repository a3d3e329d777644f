"""`clean`: records and folders of jobs that ended long ago."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from stat import S_ISDIR
from typing import Annotated

import typer

from ...errors import InvalidRequest
from ...jobs.job_places import owner_of
from ...jobs.journal import Journal
from ...jobs.record import JobRecord
from ..arguments import AnyJobs, JsonRenderer, age
from ..job_table import JobTable
from ..output import Renderer

_DEFAULT = "30d"
_ORPHAN_S = 86400.0  # a folder without a record is younger than this: a submission at work
_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{10}")


def clean(
    ctx: typer.Context,
    jobs: AnyJobs = None,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Ended so long ago: 30d, 12h; a bare number is days.")
    ] = _DEFAULT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Those named even if they have not ended: what runs of them goes on.")
    ] = False,
    json: JsonRenderer = False,
) -> int:
    """Remove ended jobs' records and folders.

    Those named, or all that ended long ago. Output files that were asked for with -o or -e stay.
    """
    out: Renderer = ctx.obj
    table = JobTable()
    if not jobs:  # some may have ended since anybody looked
        table.poll([(entry, "*" if entry.array else "") for entry in table.journal.open_entries().values()])
    limit = time.time() - age(older_than, "--older-than")
    if jobs:
        chosen = _named(table, jobs, force=force)
    else:
        chosen = [entry for entry in table.journal.aged(limit) if not entry.open and _ended(entry) <= limit]
    gone = {entry.id for entry in chosen}
    folders = [
        entry.folder for entry in chosen if entry.folder.name == entry.id
    ]  # of no other name: a damaged record
    loose = [] if jobs else _loose(table.journal, gone, limit)
    size = sum(map(_size, (*folders, *loose)))
    if not dry_run:
        for path in (*folders, *loose):
            _remove(path)
        table.journal.forget(gone)
    going = [entry for entry in chosen if entry.open]
    rest = f" and {len(loose)} things that belonged to none" if loose else ""
    out.answer(
        f"{_told(len(chosen) - len(going), going, dry_run=dry_run)}{rest}, {_bytes(size)}",
        {
            "removed": sorted(gone),
            "not_ended": {entry.id: entry.native or None for entry in going},
            "loose": [str(path) for path in loose],
            "bytes": size,
            "dry_run": dry_run,
        },
    )
    return 0


def _told(ended: int, going: Sequence[JobRecord], *, dry_run: bool) -> str:
    """What became of jobs that have ended, and of those that go on without us."""
    said = [f"{'would remove' if dry_run else 'removed'} {_jobs(ended, 'ended ')}"] if ended or not going else []
    if going:
        known = ", ".join(_still(entry) for entry in going)
        said.append(f"{'would forget' if dry_run else 'forgot'} {_jobs(len(going))} that had not ended ({known})")
    return " and ".join(said)


def _jobs(number: int, kind: str = "") -> str:
    return f"{number} {kind}{'job' if number == 1 else 'jobs'}"


def _still(entry: JobRecord) -> str:
    return f"{entry.platform} still has it as {entry.native}" if entry.native else f"{entry.platform} may have it"


def _named(table: JobTable, jobs: Sequence[str], *, force: bool) -> list[JobRecord]:
    if "all" in jobs:
        raise InvalidRequest(
            "`all` means jobs that have not ended, and those stay", hint="psij-run clean --older-than 0"
        )
    chosen = []
    for entry, key in table.find(jobs):
        if key not in ("", "*"):
            raise InvalidRequest(
                f"an element of the array {entry.id} cannot be removed alone", hint=f"psij-run clean {entry.id}"
            )
        if entry.open:
            table.poll([(entry, key)], urgent=True)  # it may have ended since anybody looked
            entry = table.journal.get(entry.id)
        if entry.open and not force:
            raise InvalidRequest(f"job {entry.id} has not ended", hint=f"`psij-run cancel {entry.id}` first")
        chosen.append(entry)
    return chosen


def _ended(entry: JobRecord) -> float:
    ends = [status.ended or 0.0 for status in entry.ended.values()]
    return max((*ends, entry.committed, entry.intended))


def _loose(journal: Journal, gone: Container[str], limit: float) -> list[Path]:
    """What belongs to no job."""
    ids, roots = journal.places()
    return [*_orphans(journal, ids, roots, limit), *_scripts(journal, gone, roots, limit)]


def orphans(journal: Journal) -> list[Path]:
    """Job folders of ours that no record names, old enough that no submission can be at work on them."""
    return _orphans(journal, *journal.places())


def _orphans(journal: Journal, ids: Container[str], roots: Iterable[str], limit: float = 0.0) -> list[Path]:
    """Those among these folders; `roots` are the places to look in.

    A folder is ours if it says so. One that says nothing is another state directory's, or of an earlier version, and
    stays, unless there is nothing in it. One whose job has started and not ended stays until it is older than `limit`
    too (seconds since the epoch): its record may have been damaged.
    """
    found = []
    for root in {os.path.join(journal.home, "jobs"), *roots}:
        try:
            with os.scandir(root) as items:
                names = [item.name for item in items if item.name not in ids and _ID.fullmatch(item.name)]
        except OSError:
            continue
        found += [path for name in names if _orphaned(path := Path(root, name), journal.identity, limit)]
    return sorted(found)


def _orphaned(path: Path, identity: str, limit: float) -> bool:
    try:
        stat = path.lstat()
        if not S_ISDIR(stat.st_mode) or stat.st_uid != os.geteuid() or time.time() - stat.st_mtime <= _ORPHAN_S:
            return False
        if owner_of(path) != identity:
            return not os.listdir(path)
        going = os.path.lexists(path / "claim") and not os.path.lexists(path / "exit")
        return not going or stat.st_mtime <= limit
    except OSError:  # it has just gone
        return False


def _scripts(journal: Journal, gone: Container[str], roots: Iterable[str], limit: float) -> list[Path]:
    """Copies of job scripts that no remaining job runs. Each use of a copy makes it new, so only old jobs may."""
    roots = {str(journal.home), *journal.places()[1]}
    copies = [path for root in roots for path in Path(root, "scripts").glob("*.sh") if _changed(path) <= limit]
    if not copies:
        return []
    remaining = (entry for entry in journal.aged(limit + _ORPHAN_S) if entry.id not in gone)
    used = {word for entry in remaining if (job := journal.job(entry)) is not None for word in job.command}
    return [path for path in copies if str(path) not in used]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another clean has just taken it
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
    except OSError:  # another clean has just taken it, or its job
        return 0


def _bytes(size: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
