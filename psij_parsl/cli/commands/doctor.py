"""`doctor`: checks everything that psij-run needs."""

from __future__ import annotations

import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import Error, JournalError, PluginError, SchedulerError
from ...system.files import home, is_private, private_folder, write_whole
from ...system.locks import hold_lock, lock
from ..command import Command, Invocation
from ..flags import JSON, Flag
from ..output import Column, Renderer

if TYPE_CHECKING:
    from ...platforms.platform import Platform

_COLUMNS = (Column("state", "STATE"), Column("what", "WHAT"), Column("text", "RESULT", wraps=True))
_MOST_IDS = 5  # named in one line
_LOW_SPACE = 100 * 1024 * 1024  # bytes
_PACKAGES = ("psij-parsl", "typer", "rich", "jinja2", "pydantic", "filelock", "parsl")


class Check(NamedTuple):
    """One result: `state` is ok, warning or broken."""

    what: str
    state: str
    text: str
    hint: str = ""
    details: str = ""


def _doctor(out: Renderer, invocation: Invocation) -> int:
    site = invocation.texts.get("site")
    checks: dict[str, Callable[[], Iterator[Check]]] = {
        "python": _python,
        "state directory": _state_directory,
        "journal": _journal,
        "sites": partial(_sites, site),
        "platforms": partial(_platforms, site),
        "launchers": _launchers,
    }
    results = [result for what, check in checks.items() for result in _guarded(what, check)]
    out.table(_COLUMNS, [*_rows(results, hints_below=not out.json)])
    if not out.json:
        for result in results:
            if result.details:
                out.out.write(f"\n{result.what}:\n{result.details}")
    return 3 if any(result.state == "broken" for result in results) else 0


def _rows(results: Sequence[Check], *, hints_below: bool) -> Iterator[dict[str, str]]:
    """Those of the table. For people a hint stands below what it belongs to: beside it both are narrow."""
    for result in results:
        yield result._asdict()
        if hints_below and result.hint:
            yield {"state": "", "what": "", "text": f"hint: {result.hint}"}


def _guarded(what: str, check: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from check()
    except JournalError as error:
        yield Check(what, "broken", error.message, error.hint)
    except Exception as error:  # noqa: BLE001 - the doctor is called to find whatever is broken
        yield Check(what, "broken", f"{type(error).__name__}: {error}", "", _trace(error))


def _trace(error: BaseException) -> str:
    cause = error.__cause__ or error
    return "".join(traceback.format_exception(cause))


def _python() -> Iterator[Check]:
    from importlib.metadata import PackageNotFoundError, version

    yield Check("python", "ok", f"{sys.version.split()[0]}, {sys.executable}")
    installed, missing = [], []
    for name in _PACKAGES:
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Check("packages", "ok", ", ".join(installed))
    if missing:
        yield Check("packages", "broken", f"{', '.join(missing)}: not installed", "pip install psij-parsl")


def _state_directory() -> Iterator[Check]:
    folder = home()
    try:
        private_folder(folder)
        started = time.monotonic()
        with hold_lock(lock(folder / "doctor.lock"), timeout_s=5):
            write_whole(folder / "doctor.lock.test", "x")
        os.unlink(folder / "doctor.lock.test")
        seconds = time.monotonic() - started
    except Error as error:
        yield Check("state directory", "broken", error.message, error.hint)
        return
    finally:
        if (folder / "doctor.lock").exists():
            os.unlink(folder / "doctor.lock")
    yield Check("state directory", "ok", f"{folder}: writable, locks work ({seconds * 1000:.0f} ms)")
    if not is_private(folder):
        yield Check("state directory", "warning", f"others can read {folder}", f"chmod 700 {folder}")
    free = shutil.disk_usage(folder).free
    state = "ok" if free > _LOW_SPACE else "warning"
    yield Check(
        "disk",
        state,
        f"{free / 2**30:.1f} GB free",
        "" if state == "ok" else "free some space, or run psij-run clean",
    )


def _journal() -> Iterator[Check]:
    from ...jobs.journal import Journal
    from .clean import orphans

    journal = Journal()
    yield Check("journal", "ok", f"jobs: {len(journal.entries())}, of them open: {len(journal.open_entries())}")
    if unread := journal.damage():
        lines = "1 line" if unread == 1 else f"{unread} lines"
        text = f"{lines} of {journal.path}, or of the folder `closed` next to it, cannot be read"
        yield Check("journal", "warning", text, "the other lines are not affected")
    if folders := orphans(journal):
        yield Check(
            "journal", "warning", f"{len(folders)} folders belong to no job, e.g. {folders[0]}", "psij-run clean"
        )


def _platforms(site: str | None) -> Iterator[Check]:
    from ...platforms.registry import platforms

    users = _users(site)
    for name, platform in platforms():
        yield _platform(name, platform, users.pop(name, ""))
    for name, user in users.items():
        yield Check(
            f"platform {name}", "broken", f"not installed, needed by {user}", "install the package that contains it"
        )


def _users(site: str | None) -> dict[str, str]:
    """What uses each platform: the target of new jobs, and jobs that are open."""
    from ...jobs.journal import Journal

    users: dict[str, list[str]] = {}
    try:
        platform, user, _ = _target(site)
        users[platform] = [user]
    except Error:  # reported by `_sites`
        pass
    open_ids: dict[str, list[str]] = {}
    for entry in Journal().open_entries().values():
        open_ids.setdefault(entry.platform, []).append(entry.id)
    for platform, ids in open_ids.items():
        more = f" and {len(ids) - _MOST_IDS} more" if len(ids) > _MOST_IDS else ""
        users.setdefault(platform, []).append(
            f"the open job{'s' * (len(ids) > 1)} {', '.join(ids[:_MOST_IDS])}{more}"
        )
    return {platform: " and ".join(names) for platform, names in users.items()}


def _platform(name: str, platform: Platform | PluginError, users: str) -> Check:
    """Check one platform. One without users is never broken: its client may be installed without a cluster."""
    from .platforms import bounded, foreign_commands, missing_commands

    what = f"platform {name}"
    embedded = False  # has no commands that could be absent
    try:
        if isinstance(platform, PluginError):
            raise platform
        embedded = not platform.scheduler_class.commands
        missing = missing_commands(platform)
        platform.template_class  # noqa: B018 - it is checked when it is loaded
        absent = f"{', '.join(missing)} not on PATH" if missing else foreign_commands(platform)
        if absent and users:
            return Check(what, "broken", f"{absent}, needed by {users}", "load the module that provides its commands")
        if absent:
            return Check(what, "ok", f"not here: {absent}")
        scheduler = bounded(platform)
        started = time.monotonic()
        jobs = list(scheduler.ask(scheduler.live()))
    except SchedulerError as error:
        if users or embedded:
            return Check(what, "broken", f"{error.message}; used by {users}" if users else error.message, error.hint)
        return Check(what, "ok", f"installed, and not used here: {error.message}")
    except Error as error:
        return Check(what, "broken", error.message, error.hint, _trace(error) if error.__cause__ else "")
    except BaseException as error:  # noqa: BLE001 - someone else's code must not spoil the others
        return Check(what, "broken", f"{type(error).__name__}: {error}", "", _trace(error))
    seconds = time.monotonic() - started
    return Check(what, "ok", f"answers in {seconds:.2f} s: {len(jobs)} records of jobs, of ended ones too")


def _target(site: str | None) -> tuple[str, str, str]:
    """Where new jobs go: the platform, what uses it, and a note."""
    from ...sites import find, look
    from ..job_from_flags import from_environment

    variables = {} if site else from_environment().texts
    name = site or variables.get("site")
    if file := variables.get("config"):
        target = find(None, Path(file))
        return target.platform, f"the site {target.name}, by PSIJ_RUN_CONFIG", ""
    if not name and (platform := variables.get("platform")):
        return platform, "your jobs, by PSIJ_RUN_PLATFORM", ""
    if name or (name := os.environ.get("PSIJ_SITE")):
        source = "--site" if site else "PSIJ_RUN_SITE" if "site" in variables else "PSIJ_SITE"
        return find(name).platform, f"the site {name}, by {source}", ""
    seen = look()
    if seen.site is not None:
        return find(seen.site.name).platform, f"the site {seen.site.name}: {seen.site.sign}", ""
    target = find(placing=False)
    return target.platform, "no site is detected: jobs run on this host", seen.remark


def _sites(site: str | None) -> Iterator[Check]:
    from ...sites import installed

    for name, known_site in installed().items():
        if isinstance(known_site, Error):
            yield Check(f"site {name}", "broken", known_site.message, known_site.hint)
    try:
        _, text, note = _target(site)
    except Error as error:
        yield Check("site", "broken", error.message, error.hint)
        return
    yield Check("site", "warning", note) if note else Check("site", "ok", text.removeprefix("the site "))


def _launchers() -> Iterator[Check]:
    from ...runs.registry import launchers

    names = []
    for name, launcher in launchers():
        if isinstance(launcher, PluginError):
            yield Check(f"launcher {name}", "broken", launcher.message, launcher.hint, _trace(launcher))
        else:
            names.append(name)
    yield Check("launchers", "ok", ", ".join(names))


DOCTOR = Command(
    "doctor",
    "Check everything that psij-run needs; exit with 3 if something is broken.",
    _doctor,
    (
        Flag(
            "site",
            ("--site",),
            "NAME",
            "Check for jobs of this site (default: the site where jobs go).",
            complete="sites",
        ),
        JSON,
    ),
    details=(
        "A resource manager that does not work is an error only if jobs use it: because of the selected site, or"
        " because there are open jobs."
    ),
)
