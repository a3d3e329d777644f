"""`doctor`: is everything in order that psij-run needs?"""

from __future__ import annotations

import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ...errors import Error, JournalError, PluginError, SchedulerError
from ...system.files import home, is_private, private_folder, write_whole
from ...system.locks import hold_lock, lock
from ..arguments import JsonRenderer
from ..completion import sites
from ..flags import is_empty
from ..output import Column, Renderer

if TYPE_CHECKING:
    from ...platforms.platform import Platform

_COLUMNS = (Column("state", "STATE"), Column("what", "WHAT"), Column("text", "FOUND"), Column("hint", "HINT"))
_MOST_IDS = 5  # named in one line
_LITTLE_ROOM = 100 * 1024 * 1024  # bytes
_PACKAGES = ("psij-parsl", "typer", "jinja2", "pydantic", "filelock", "parsl")


class Check(NamedTuple):
    """One finding: `state` is ok, warning or broken."""

    what: str
    state: str
    text: str
    hint: str = ""
    details: str = ""


def doctor(
    ctx: typer.Context,
    site: Annotated[
        str | None,
        typer.Option(
            "--site",
            metavar="NAME",
            help="For jobs of this site (default: that where they go).",
            show_default=False,
            autocompletion=sites,
        ),
    ] = None,
    json: JsonRenderer = False,
) -> int:
    """See whether all is in order; exit with 3 if not.

    A resource manager counts where jobs go to it: by the site that is chosen here, or jobs that are open.
    """
    if site == "":
        raise is_empty("--site")
    out: Renderer = ctx.obj
    looks: dict[str, Callable[[], Iterator[Check]]] = {
        "python": _python,
        "state directory": _state_directory,
        "journal": _journal,
        "sites": partial(_sites, site),
        "platforms": partial(_platforms, site),
        "launchers": _launchers,
    }
    found = [check for what, look in looks.items() for check in _guarded(what, look)]
    out.table(_COLUMNS, [check._asdict() for check in found])
    if not out.json:
        for check in found:
            if check.details:
                out.out.write(f"\n{check.what}:\n{check.details}")
    return 3 if any(check.state == "broken" for check in found) else 0


def _guarded(what: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from look()
    except JournalError as error:
        yield Check(what, "broken", error.message, error.hint)
    except Exception as error:  # noqa: BLE001 - whatever breaks here is what the doctor was called for
        yield Check(what, "broken", f"{type(error).__name__}: {error}", "", _trace(error))


def _trace(error: BaseException) -> str:
    cause = error.__cause__ or error
    return "".join(traceback.format_exception(cause))


def _python() -> Iterator[Check]:
    from importlib.metadata import PackageNotFoundError, version

    yield Check("python", "ok", f"{sys.version.split()[0]}, {sys.executable}")
    told, missing = [], []
    for name in _PACKAGES:
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Check("packages", "ok", ", ".join(told))
    if missing:
        yield Check("packages", "broken", f"{', '.join(missing)}: not installed", "pip install psij-parsl")


def _state_directory() -> Iterator[Check]:
    where = home()
    try:
        private_folder(where)
        began = time.monotonic()
        with hold_lock(lock(where / "doctor.lock"), timeout_s=5):
            write_whole(where / "doctor.lock.test", "x")
        os.unlink(where / "doctor.lock.test")
        took = time.monotonic() - began
    except Error as error:
        yield Check("state directory", "broken", error.message, error.hint)
        return
    finally:
        if (where / "doctor.lock").exists():
            os.unlink(where / "doctor.lock")
    yield Check("state directory", "ok", f"{where}: writable, locks work ({took * 1000:.0f} ms)")
    if not is_private(where):
        yield Check("state directory", "warning", f"others can read {where}", f"chmod 700 {where}")
    free = shutil.disk_usage(where).free
    state = "ok" if free > _LITTLE_ROOM else "warning"
    yield Check("disk", state, f"{free / 2**30:.1f} GB free", "" if state == "ok" else "make room, or psij-run clean")


def _journal() -> Iterator[Check]:
    from ...jobs.journal import Journal
    from .clean import orphans

    journal = Journal()
    yield Check("journal", "ok", f"{len(journal.entries())} jobs, {len(journal.open_entries())} of them open")
    if unread := journal.damage():
        lines = "1 line" if unread == 1 else f"{unread} lines"
        text = f"{lines} of {journal.path}, or of the folder `closed` beside it, cannot be read"
        yield Check("journal", "warning", text, "the others are not harmed")
    if loose := orphans(journal):
        yield Check("journal", "warning", f"{len(loose)} folders belong to no job, e.g. {loose[0]}", "psij-run clean")


def _platforms(site: str | None) -> Iterator[Check]:
    from ...platforms.registry import platforms

    users = _users(site)
    for name, found in platforms():
        yield _platform(name, found, users.pop(name, ""))
    for name, by in users.items():
        yield Check(
            f"platform {name}", "broken", f"not installed, needed by {by}", "install the package that brings it"
        )


def _users(site: str | None) -> dict[str, str]:
    """Who uses each platform: the place where new jobs go, and jobs that are open."""
    from ...jobs.journal import Journal

    users: dict[str, list[str]] = {}
    try:
        platform, user, _ = _place(site)
        users[platform] = [user]
    except Error:  # told by `_sites`
        pass
    open_: dict[str, list[str]] = {}
    for entry in Journal().open_entries().values():
        open_.setdefault(entry.platform, []).append(entry.id)
    for platform, ids in open_.items():
        more = f" and {len(ids) - _MOST_IDS} more" if len(ids) > _MOST_IDS else ""
        users.setdefault(platform, []).append(
            f"the open job{'s' * (len(ids) > 1)} {', '.join(ids[:_MOST_IDS])}{more}"
        )
    return {platform: " and ".join(names) for platform, names in users.items()}


def _platform(name: str, found: Platform | PluginError, users: str) -> Check:
    """How one is. What nobody uses is no fault: its client may be installed and know no cluster."""
    from .platforms import bounded, missing_commands, not_ours

    what = f"platform {name}"
    try:
        if isinstance(found, PluginError):
            raise found
        missing = missing_commands(found)
        found.template_class  # noqa: B018 - it is checked when it is loaded
        absent = f"{', '.join(missing)} not on PATH" if missing else not_ours(found)
        if absent and users:
            return Check(what, "broken", f"{absent}, needed by {users}", "load the module that brings its commands")
        if absent:
            return Check(what, "ok", f"not here: {absent}")
        scheduler = bounded(found)
        began = time.monotonic()
        jobs = list(scheduler.ask(scheduler.live()))
    except SchedulerError as error:
        if users or name == "local":
            return Check(what, "broken", f"{error.message}; used by {users}" if users else error.message, error.hint)
        return Check(what, "ok", f"installed, and not used here: {error.message}")
    except Error as error:
        return Check(what, "broken", error.message, error.hint, _trace(error) if error.__cause__ else "")
    except BaseException as error:  # noqa: BLE001 - someone else's code must not spoil the others
        return Check(what, "broken", f"{type(error).__name__}: {error}", "", _trace(error))
    return Check(what, "ok", f"answers in {time.monotonic() - began:.2f} s, {len(jobs)} jobs of yours")


def _place(site: str | None) -> tuple[str, str, str]:
    """Where new jobs go: the platform, what they use it by, and what there is to remark."""
    from ...sites import find, look
    from ..job_from_flags import from_environment

    chosen = {} if site else from_environment().chosen
    named = site or chosen.get("site")
    if file := chosen.get("config"):
        there = find(None, Path(file))
        return there.platform, f"the site {there.name}, by PSIJ_RUN_CONFIG", ""
    if not named and (platform := chosen.get("platform")):
        return platform, "your jobs, by PSIJ_RUN_PLATFORM", ""
    if named or (named := os.environ.get("PSIJ_SITE")):
        by = "--site" if site else "PSIJ_RUN_SITE" if "site" in chosen else "PSIJ_SITE"
        return find(named).platform, f"the site {named}, by {by}", ""
    seen = look()
    if seen.site is not None:
        return find(seen.site.name).platform, f"the site {seen.site.name}: {seen.site.sign}", ""
    there = find(placing=False)
    return there.platform, "no site is recognised: jobs run on this host", seen.remark


def _sites(site: str | None) -> Iterator[Check]:
    from ...sites import installed

    for name, found in installed().items():
        if isinstance(found, Error):
            yield Check(f"site {name}", "broken", found.message, found.hint)
    try:
        _, text, remark = _place(site)
    except Error as error:
        yield Check("site", "broken", error.message, error.hint)
        return
    yield Check("site", "warning", remark) if remark else Check("site", "ok", text.removeprefix("the site "))


def _launchers() -> Iterator[Check]:
    from ...runs.registry import launchers

    names = []
    for name, found in launchers():
        if isinstance(found, PluginError):
            yield Check(f"launcher {name}", "broken", found.message, found.hint, _trace(found))
        else:
            names.append(name)
    yield Check("launchers", "ok", ", ".join(names))
