"""`doctor`: is everything in order that psij-run needs?"""

from __future__ import annotations

import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import NamedTuple

import typer

from ..errors import Error, PluginError
from ..files import home, is_private, lock, locked, private_folder, write_whole
from .arguments import Json
from .output import Column, Renderer

_COLUMNS = (Column("state", "STATE"), Column("what", "WHAT"), Column("text", "FOUND"), Column("hint", "HINT"))
_LITTLE_ROOM = 100 * 1024 * 1024  # bytes
_PACKAGES = ("psij-parsl", "typer", "jinja2", "pydantic", "filelock", "parsl")


class Check(NamedTuple):
    """One finding: `state` is ok, warning or broken."""

    what: str
    state: str
    text: str
    hint: str = ""
    details: str = ""


def doctor(ctx: typer.Context, json: Json = False) -> int:
    """See whether all is in order; exit with 3 if not."""
    out: Renderer = ctx.obj
    found = [
        check for look in (_python, _state_directory, _journal, _platforms, _sites, _launchers)
        for check in _guarded(look)
    ]  # fmt: skip
    out.table(_COLUMNS, [check._asdict() for check in found])
    if not out.json:
        for check in found:
            if check.details:
                out.out.write(f"\n{check.what}:\n{check.details}")
    return 3 if any(check.state == "broken" for check in found) else 0


def _guarded(look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - whatever breaks here is what the doctor was called for
        yield Check(look.__name__.strip("_"), "broken", f"{type(error).__name__}: {error}", "", _trace(error))


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
        with locked(lock(where / "doctor.lock"), timeout_s=5):
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
    from ..journal import Journal
    from .clean import orphans

    journal = Journal()
    yield Check("journal", "ok", f"{len(journal.entries())} jobs, {len(journal.open_entries())} of them open")
    if unread := journal.damage():
        lines = "1 line" if unread == 1 else f"{unread} lines"
        text = f"{lines} of {journal.path}, or of the folder `closed` beside it, cannot be read"
        yield Check("journal", "warning", text, "the others are not harmed")
    if loose := orphans(journal):
        yield Check("journal", "warning", f"{len(loose)} folders belong to no job, e.g. {loose[0]}", "psij-run clean")


def _platforms() -> Iterator[Check]:
    from ..registry import platforms
    from .platforms import bounded, missing_commands

    for name, found in platforms():
        what = f"platform {name}"
        try:
            if isinstance(found, PluginError):
                raise found
            missing = missing_commands(found)
            found.template_class  # noqa: B018 - it is checked when it is loaded
            if missing:
                yield Check(what, "ok", f"not here: {', '.join(missing)} not on PATH")
                continue
            scheduler = bounded(found)
            began = time.monotonic()
            jobs = list(scheduler.ask(scheduler.live()))
        except Error as error:
            yield Check(what, "broken", error.message, error.hint, _trace(error) if error.__cause__ else "")
            continue
        except BaseException as error:  # noqa: BLE001 - someone else's code must not spoil the others
            yield Check(what, "broken", f"{type(error).__name__}: {error}", "", _trace(error))
            continue
        yield Check(what, "ok", f"answers in {time.monotonic() - began:.2f} s, {len(jobs)} jobs of yours")


def _sites() -> Iterator[Check]:
    from ..sites import detect, installed

    for name, found in installed().items():
        if isinstance(found, Error):
            yield Check(f"site {name}", "broken", found.message, found.hint)
    here = detect()
    yield Check("site", "ok", f"{here.name}, by {here.sign}" if here else "none recognised: jobs run on this host")


def _launchers() -> Iterator[Check]:
    from ..registry import launchers

    names = []
    for name, found in launchers():
        if isinstance(found, PluginError):
            yield Check(f"launcher {name}", "broken", found.message, found.hint, _trace(found))
        else:
            names.append(name)
    yield Check("launchers", "ok", ", ".join(names))
