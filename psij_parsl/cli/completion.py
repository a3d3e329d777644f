"""What the shell offers after <TAB>. Errors here must be silent: the person is in the middle of typing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

import typer

from ..job import JOB_MODES
from ..sites.settings import AUTO

Offer = tuple[str, str]  # the text that completes the line, and its meaning

Completer = Callable[[typer.Context, str], list[Offer]]


def _silent(offers: Callable[[typer.Context], Iterable[Offer]]) -> Completer:
    @wraps(offers)
    def complete(ctx: typer.Context, incomplete: str) -> list[Offer]:
        try:
            return [offer for offer in offers(ctx) if offer[0].startswith(incomplete)]
        except Exception:  # noqa: BLE001 - half a word on the command line, no records yet, a broken plug-in
            return []

    complete.__annotations__ = {"ctx": typer.Context, "incomplete": str}
    del complete.__wrapped__  # typer would look through it
    return complete


@_silent
def selectors(ctx: typer.Context) -> Iterator[Offer]:
    """Open jobs, newest first, and the selectors `last` and `all`."""
    from ..jobs.journal import Journal

    for entry in reversed(list(Journal().open_entries().values())):
        yield entry.id, entry.name
    yield "last", "the newest job"
    yield "all", "all jobs that have not ended"


@_silent
def every_job(ctx: typer.Context) -> Iterator[Offer]:
    """The newest hundred jobs, ended ones included."""
    from ..jobs.journal import Journal

    for entry in reversed(Journal().recent(100).values()):
        yield entry.id, entry.name
    yield "last", "the newest job"


@_silent
def platforms(ctx: typer.Context) -> Iterator[Offer]:
    """Installed platforms."""
    from ..platforms.registry import platforms as installed

    for name, platform in installed():
        yield name, getattr(platform, "summary", "")


@_silent
def stand_ins(ctx: typer.Context) -> Iterator[Offer]:
    """Platforms that have stand-ins for some of their commands."""
    from ..jobs.stand_ins import with_stand_ins

    for platform in with_stand_ins():
        yield platform.name, ", ".join(platform.stand_ins)


@_silent
def launchers(ctx: typer.Context) -> Iterator[Offer]:
    """Installed launch methods."""
    from ..runs.registry import launchers as installed

    for name, _ in installed():
        yield name, ""


@_silent
def sites(ctx: typer.Context) -> Iterator[Offer]:
    """Known sites."""
    from ..sites import installed

    for name, site in installed().items():
        yield name, getattr(site, "description", "")


@_silent
def _places(ctx: typer.Context) -> Iterator[Offer]:
    """Known sites, and platforms for jobs without a site."""
    yield from sites(ctx, "")
    yield from platforms(ctx, "")


def _in_list(offers: Completer, *, alone: str = "") -> Completer:
    """After a comma, what is not named yet, without what can only stand `alone`."""

    def complete(ctx: typer.Context, incomplete: str) -> list[Offer]:
        named, comma, _ = incomplete.rpartition(",")
        known = {alone, *named.split(",")} if comma else set()
        found = offers(ctx, incomplete[len(named) + len(comma) :])
        return [(f"{named}{comma}{name}", meaning) for name, meaning in found if name not in known]

    return complete


@_silent
def _queues(ctx: typer.Context) -> Iterator[Offer]:
    from .job_table import JobTable

    site = JobTable().target(ctx.params, placing=False).site
    for name, queue in site.queues.items() if site else ():
        yield name, queue.description
    yield AUTO, "the best one for the job"


queues = _in_list(_queues, alone=AUTO)
places = _in_list(_places)


@_silent
def _states(ctx: typer.Context) -> Iterator[Offer]:
    """States of jobs, and reasons why they ended."""
    from ..states import EndReason
    from .job_choice import STATES

    for name in STATES:
        yield name, EndReason[name].hint if name in EndReason.__members__ else ""


def states(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """The same after each comma, in small letters for those who type them."""
    offers = _in_list(_states)(ctx, incomplete.upper())
    return [(name.lower(), meaning) for name, meaning in offers] if incomplete.islower() else offers


@_silent
def _sort_keys(ctx: typer.Context) -> Iterator[Offer]:
    """What jobs can be sorted by."""
    from .job_choice import SORT_KEYS

    for name in SORT_KEYS:
        yield name, ""
        yield f"-{name}", "the greatest first"


sort_keys = _in_list(_sort_keys)


@_silent
def parameters(ctx: typer.Context) -> Iterator[Offer]:
    """Parameters of the platform that the flags before it select."""
    from .job_table import JobTable

    executor = JobTable().target(ctx.params, placing=False).executor
    for name, parameter in executor.platform.template_class.params.items():
        yield f"{name}=", parameter.help


def files(ctx: typer.Context, incomplete: str) -> list[Any]:
    """A command and its arguments: the shell itself completes the names of files."""
    return []


def modes(ctx: typer.Context, incomplete: str) -> list[Any]:
    """How a job starts its command."""
    return [mode for mode in JOB_MODES if mode.startswith(incomplete)]
