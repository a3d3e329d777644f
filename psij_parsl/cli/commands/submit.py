"""`submit` and `render`, and what `run` shares with them: from a command line to a job and its place."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import Error, InvalidRequest, Rejected, UnknownJob, Unwritten, nearest
from ...job import Job
from ...jobs.executor import Submission
from ..arguments import CommandWords
from ..job_from_flags import Layer, check_parameters, fields, from_environment, from_manager, merge
from ..job_table import JobTable, Target
from ..job_warnings import remarks
from ..jobscript import JobScript, copy_of, flags, keep, recognised
from ..options import Chosen, job_flags, own_words
from ..output import Renderer
from ..stdio import unwritten

if TYPE_CHECKING:
    from ...jobs.batch import BatchSchedulerExecutor
    from ...sites import LimitViolation


@dataclass(frozen=True)
class Order:
    """A job, where it is to go, and the job script and its copy's path if it has one."""

    job: Job
    target: Target
    script: tuple[JobScript, Path] | None = None

    def submit(self) -> Submission:
        """Submit it. A refusal of the queue tells which there are."""
        if self.script is not None:
            keep(*self.script)
        try:
            return self.target.executor.submit(self.job)
        except Rejected as error:
            if error.limit == "queue" and (hint := self._queues()):
                raise Rejected(error.message, hint=hint, output=error.output, limit=error.limit) from error
            error.hint = error.hint or self._strangers()
            raise

    def _strangers(self) -> str:
        """A word on the first job to come after of which we have no record; '' if there is none."""
        for _, _, name in (text.partition(":") for text in self.job.after):
            try:
                self.target.executor.journal.find([name], elements=False)
            except UnknownJob as error:
                return f"no job {name} was submitted from here: {error.hint}"
        return ""

    def _queues(self) -> str:
        try:
            names = [queue.name for queue in self.target.executor.scheduler.queues() if queue.up]
        except Error:
            return ""
        near = nearest(self.job.queue or "", names)
        return near if near.startswith("known") else f"{near} known: {', '.join(sorted(names))}" if names else ""


def order(
    ctx: typer.Context, table: JobTable, chosen: Chosen, command: Sequence[str] | None, *, here: bool = True
) -> Order:
    """The job that a command line asks for: flags over `#PSIJ` lines over PSIJ_RUN_* over the manager's own
    variables over the site's defaults.

    `here`: its program must be on this host, for it is submitted from here; else that is only a remark.
    """
    out: Renderer = ctx.obj
    words = list(command or ())
    if not words:
        raise InvalidRequest(
            "there is no command to run", hint=f"say it after the flags: {ctx.command_path} -- hostname"
        )
    layers = [Layer(chosen), from_environment()]
    separated = _separated(words)
    script = None if separated else recognised(words[0])
    if script is not None:
        layers[1:1] = [Layer(*said, script=script.path) for said in flags(script, ctx.command)]
    merged = merge(layers)
    target = table.target(merged)
    defaults = target.site.defaults if target.site else {}
    platform = target.executor.platform
    known = {**(target.site.parameters if target.site else {}), **merged.get("parameters", {})}
    wishes = target.executor.scheduler.wished(os.environ, known)
    if wishes:
        weaker, remark = from_manager(wishes, platform.template_class.params, merged)
        merged = merge([*layers, *weaker])
        if remark:
            out.note(remark)
    told = fields(merged, site_ranks_per_node=defaults.get("ranks_per_node"))
    if told.get("parameters"):
        check_parameters(told["parameters"], platform.name, platform.template_class)
    kept = None
    if script is not None:
        copy = copy_of(script, target.executor.spool or target.executor.journal.home)
        kept = script, copy
        words = [*script.interpreter, str(copy), *words[1:]]
        told.setdefault("name", os.path.basename(script.path))
        told.setdefault("job_mode", "script")  # it starts its runs itself
    told["command"] = words
    job = Job(**(target.site.complete(told) if target.site else told))
    if script is None:
        try:
            _check_program(job, out)
        except InvalidRequest as error:
            if here:
                raise
            out.note(error.message)
    if here:
        for remark in remarks(job, words[0] if script is None else script.path, script=not separated):
            out.note(remark)
    if target.site:
        _check_limits(target.site.check(job), out)
    return Order(job, target, kept)


def _separated(words: Sequence[str]) -> bool:
    """Whether the command was said after `--`: then its first word is a program, never a job script."""
    typed = sys.argv[2:]
    begin = own_words(typed)
    return begin > 0 and typed[begin - 1] == "--" and typed[begin:] == list(words)


def _check_limits(findings: Sequence[LimitViolation], out: Renderer) -> None:
    """What the site's limits say: strict ones refuse, the others are a remark."""
    for finding in findings:
        if finding.level == "refuse":
            raise InvalidRequest(finding.text, hint=finding.hint)
        out.note(f"{finding.text}{f' ({finding.hint})' if finding.hint else ''}")


def _check_program(job: Job, out: Renderer) -> None:
    """See that the program exists: a path that leads nowhere is an error, a name not on PATH only a remark."""
    program = job.command[0]
    if "/" not in program:
        if shutil.which(program, path=job.environment.get("PATH")) is None and not job.setup:
            shell = "; say -- bash -c '...' for a line of shell" if re.search(r"[\s;|&<>]", program) else ""
            out.note(f"{program!r} is not on PATH here; the job fails unless it is where it runs{shell}")
        return
    path = os.path.normpath(os.path.join(job.directory or "", program))
    if not os.path.exists(path):
        raise InvalidRequest(
            f"there is no program {path}", hint=f"if only the compute nodes have it, say: env {program} ..."
        )
    if os.path.isdir(path):
        raise InvalidRequest(f"{path} is a directory, not a program", hint="name the program in it")
    if not os.access(path, os.X_OK):
        raise InvalidRequest(f"{path} is not executable", hint=f"chmod +x {program}, or say: bash {program}")


@job_flags
def submit(
    ctx: typer.Context,
    chosen: Chosen,
    command: CommandWords = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end and exit with its code.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the script, as `render` does.")] = False,
) -> int:
    """Submit a job and print its id."""
    out: Renderer = ctx.obj
    table = JobTable()
    ordered = order(ctx, table, chosen, command)
    if dry_run:
        return _render(out, ordered, verbose="verbose" in chosen)
    submission = _submitted(out, ordered)
    executor = ordered.target.executor
    lost = _answer(out, executor, submission)
    if lost is not None:
        out.error(lost)
    if "verbose" in chosen:
        out.note(f"{executor.platform.name} calls it {submission.native_id}; its folder is {submission.folder}")
    code = 0
    if wait:
        from .job_actions import wait_for

        code = wait_for(out, table, [submission.id])
    return code or (lost.exit_status if lost is not None else 0)


def _submitted(out: Renderer, ordered: Order) -> Submission:
    try:
        return ordered.submit()
    except KeyboardInterrupt:
        out.note("interrupted while the job was being submitted; `psij-run list` shows whether it was")
        raise


def _answer(out: Renderer, executor: BatchSchedulerExecutor, submission: Submission) -> Unwritten | None:
    """Print the id. The job is submitted, so where stdout does not take it, the error has it."""
    try:
        out.answer(
            submission.id,
            {
                "id": submission.id,
                "native_id": submission.native_id,
                "folder": str(submission.folder),
                "platform": executor.platform.name,
                "site": executor.site,
                "name": submission.name,
            },
        )
        out.out.flush()
    except OSError as error:
        return unwritten(
            error,
            f"job {submission.id} was submitted ({executor.platform.name} calls it {submission.native_id})",
            f"do not submit it again: `psij-run status {submission.id}` shows it",
        )
    return None


@job_flags
def render(ctx: typer.Context, chosen: Chosen, command: CommandWords = None) -> int:
    """Show the script that `submit` would send."""
    return _render(ctx.obj, order(ctx, JobTable(), chosen, command, here=False), verbose="verbose" in chosen)


def _render(out: Renderer, ordered: Order, *, verbose: bool) -> int:
    executor = ordered.target.executor
    script = executor.render(ordered.job)
    argv = list(executor.scheduler.submit_argv(Path("script.sh")))
    out.answer(script, {"script": script, "submit": argv, "platform": executor.platform.name, "site": executor.site})
    if verbose:
        out.note(f"it would be submitted with: {' '.join(argv)}")
    return 0
