"""`site test`: a short acceptance of a site on the live machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InvalidRequest, SiteError, Unavailable, nearest
from ...sites import look
from ...validators import duration, unambiguous
from ..acceptance.results import CHECKS, FAILED, PASSED, SKIPPED, SLOW, Result, Verdict, in_order, without_echoes
from ..command import Command, Invocation
from ..flags import JSON, Flag
from ..job_flags import job_flags
from ..job_from_flags import check_parameters
from ..job_table import JobTable
from ..output import Renderer
from .sites import ONE_SITE, chosen

if TYPE_CHECKING:
    from ...api import Machine
    from ...jobs.batch import BatchSchedulerExecutor
    from ..acceptance.plan import Plan
    from ..acceptance.targets import JobMaker


def _test(out: Renderer, invocation: Invocation) -> int:
    from ...api import site as machine
    from ..acceptance import report
    from ..acceptance.plan import slow_ones_skipped
    from ..acceptance.session import Session
    from ..acceptance.targets import JobMaker

    values = invocation.values()
    junit = report.check_path(values["junit"]) if "junit" in values else None
    checks = values.get("only") or CHECKS.keys() - SLOW
    site = machine(chosen(invocation))
    table = JobTable()
    maker = JobMaker(site, values.get("account"), values.get("parameters"))
    results = [_file(site)] if "file" in checks else []
    signal = None
    if any(result.state == FAILED for result in results):
        text = "the file has faults: nothing was submitted"
        results += [Result(Verdict(check, SKIPPED, text)) for check in CHECKS if check in checks and check != "file"]
    elif checks != {"file"}:
        plan, executor = _plan(site, table, maker, values.get("queue", ()), checks)
        results += plan.results
        if plan.trials:
            charged = plan.trials[0].job.project
            _ask(out, plan.text(site.name, site.platform, charged), agreed="yes" in values)
            session = Session(out, table, executor, plan.trials)
            session.run(values["timeout"])
            results += [result for result in session.results if result.verdict.check in checks]
            signal = session.signal
        if "only" not in values:
            results += slow_ones_skipped(checks)
    results = without_echoes(in_order(results))
    try:
        report.show(out, site.name, site.platform, results)
    finally:
        if junit is not None:
            report.write_junit(junit, site.name, site.platform, results)
    if signal:
        return 128 + signal
    return 1 if any(result.state == FAILED for result in results) else 0


def _file(site: Machine) -> Result:
    from ..site_checks import faults

    began = time.monotonic()
    found = [str(fault) for fault in faults(site)]
    seconds = round(time.monotonic() - began, 1)
    if not found:
        text = "; ".join(filter(None, (CHECKS["file"], _detection(site))))
        return Result(Verdict("file", PASSED, text), seconds=seconds)
    text = f"the site's file has {len(found)} {'fault' if len(found) == 1 else 'faults'}"
    return Result(Verdict("file", FAILED, text, "\n".join(found)), seconds=seconds)


def _detection(site: Machine) -> str:
    """Whether the site's `detect` finds this host, on which a test is made as on one of its login nodes."""
    if site.built_in:
        return ""
    if not any(row.key == "detect" for row in site.rows):
        return "it has no `detect`, so its users must name it"
    try:
        found = look(file=site.file).site
    except SiteError as error:
        return f"its `detect` does not find this host: {error.message}"
    if found is None:
        return "no rule of its `detect` finds this host, so users must name it here"
    if found.name != site.name:
        return f"this host is detected as {found.name} ({found.sign}), so users must name it here"
    return f"this host is found by its `detect`: {found.sign}"


def _plan(
    site: Machine, table: JobTable, maker: JobMaker, queues: Collection[str], checks: Collection[str]
) -> tuple[Plan, BatchSchedulerExecutor]:
    """What to submit, and the executor that takes it. Raises an error if nothing could be submitted."""
    from ..acceptance.plan import Planner
    from ..acceptance.targets import refuse_unknown
    from .platforms import missing_commands

    refuse_unknown(site, queues)
    executor = site.executor(journal=table.journal)
    if maker.parameters:
        check_parameters(maker.parameters, site.platform, executor.platform.template_class)
    if missing := missing_commands(executor.platform):
        raise Unavailable(
            f"{site.name} runs {site.platform}, and its commands are not on PATH here: {', '.join(missing)}",
            hint="test a site on one of its own login nodes",
        )
    planner = Planner(maker, executor, list(dict.fromkeys(queues)))
    planner.refuse_incomplete()
    return planner.plan(checks), executor


def _ask(out: Renderer, text: str, *, agreed: bool) -> None:
    """Say what will be submitted, and ask whether it may be. Raises `InvalidRequest` if it may not."""
    out.note(text)
    if agreed:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidRequest(
            "nothing was submitted: there is no terminal to ask on", hint="--yes agrees to these jobs"
        )
    sys.stderr.write("Submit them? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InvalidRequest("nothing was submitted", hint="--only and --queue choose fewer jobs")


def _checks(texts: list[str]) -> frozenset[str]:
    """The names of checks, each of which may hold several with commas."""
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        if name not in CHECKS:
            raise InvalidRequest(f"--only {name}: there is no such check", hint=nearest(name, CHECKS))
    return frozenset(names)


_LISTED = "\n".join(f"  {name:12}{text}" for name, text in CHECKS.items())
TEST = Command(
    "test",
    "Test a machine's file by a few short jobs on the machine; exit with 1 if a check fails.",
    _test,
    (
        Flag(
            "queue",
            ("-q", "--queue", "-p", "--partition"),
            "NAME",
            "Queue to test, and to run jobs in (default: all are tested; jobs run in as few as have all node types). Repeatable.",
            list,
            many=True,
        ),
        *job_flags("account", "parameters", "site", "config"),
        Flag("yes", ("-y", "--yes"), "", "Submit without asking.", switch=True),
        Flag("junit", ("--junit",), "FILE", "Write the report as JUnit XML, too.", Path),
        Flag(
            "only",
            ("--only",),
            "CHECK",
            "Make this check only; several with commas between. Repeatable.",
            _checks,
            many=True,
        ),
        Flag(
            "timeout",
            ("--timeout",),
            "TIME",
            "Longest time to wait for the jobs: 30s, 5m, 2h, ... (a number without a unit is minutes).",
            unambiguous(duration),
            default="30m",
        ),
        JSON,
    ),
    ONE_SITE,
    details=(
        "It says first what it will submit, and asks. All jobs are submitted together; those left over at the end, at"
        " --timeout or at Ctrl-C are cancelled.\n\n\b\nChecks:\n" + _LISTED
    ),
    examples=("psij-run site test -A chem -q debug", "psij-run site test ./cluster.toml --yes --junit report.xml"),
)
