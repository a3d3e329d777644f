"""From a command line to a job and the executor that takes it: what `submit`, `run` and `render` share."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dependency import alternatives
from ..errors import Ambiguous, Error, InvalidRequest, Rejected, UnknownJob, nearest
from ..job import Job
from ..jobs.executor import Submission
from ..jobs.job_places import spool_of
from ..sites.findings import Finding, settle
from ..sites.job_shape import usable_cores
from ..sites.settings import AUTO
from .command import Invocation
from .file_patterns import pattern
from .flags import FlagValues
from .job_description import array_of
from .job_from_flags import (
    FlagLayer,
    NodeSize,
    as_lists,
    check_parameters,
    fields,
    from_environment,
    from_manager,
    merge,
)
from .job_input import STDIN, JobInput
from .job_table import JobTable, Target
from .job_warnings import warnings
from .jobscript import JobScript, copy_of, described_for, flags, runs_once, script_named, write_copy
from .options_said import ScriptOptions
from .output import Renderer

if TYPE_CHECKING:
    from ..sites.queues import Queue

_RUN = ("command",)


@dataclass(frozen=True)
class JobRequest:
    """A job, where it goes, its job script with the path of the copy, if it has one, and what its option lines say.

    `input` is set if the job's is the stdin of this command. `elements` are the jobs of an array whose elements have
    commands and files of their own.
    """

    job: Job
    target: Target
    script: tuple[JobScript, Path] | None = None
    options: ScriptOptions = field(default_factory=ScriptOptions)
    input: JobInput | None = None
    elements: tuple[Job, ...] = ()

    def element(self, key: str) -> Job:
        """The job of an array's element, or the job itself."""
        return self.elements[sorted(self.job.array).index(int(key))] if key and self.elements else self.job

    def take_input(self, out: Renderer) -> None:
        """Read stdin, if it is the job's: to be done before it is submitted."""
        if self.input is not None:
            self.input.take(out)

    def render(self) -> str:
        """The script that would be submitted."""
        with self.options.named():
            return self.target.executor.render(self.job, elements=bool(self.elements))

    def submit(self) -> Submission:
        """Submit the job. If the queue is refused, the error tells which queues there are."""
        if self.script is not None:
            write_copy(*self.script)
        try:
            return self._send()
        except Error as error:
            if self.input is not None and not isinstance(error, Ambiguous):
                self.input.drop()
            if not isinstance(error, Rejected):
                raise
            hint = (error.limit == "queue" and self._queue_hint()) or error.hint or self._unknown_dependency()
            if hint == error.hint:
                raise
            raise Rejected(error.message, hint=hint, output=error.output, limit=error.limit) from error

    def _send(self) -> Submission:
        with self.options.named():
            return self.target.executor.submit(self.job, elements=self.elements)

    def _unknown_dependency(self) -> str:
        """A hint on the first dependency of which there is no record; '' if there is none."""
        for one in (one for text in self.job.after for one in alternatives(text) if one.job):
            try:
                self.target.executor.journal.find([one.job], elements=False)
            except UnknownJob as error:
                return f"no job {one.job} was submitted from here: {error.hint}"
        return ""

    def _queue_hint(self) -> str:
        try:
            names = [queue.name for queue in self.target.executor.scheduler.queues() if queue.up]
        except Error:
            return ""
        suggestion = nearest(self.job.queue or "", names)
        if suggestion.startswith("known"):
            return suggestion
        return f"{suggestion} known: {', '.join(sorted(names))}" if names else ""


def job_request(out: Renderer, table: JobTable, invocation: Invocation, *, submitted_here: bool = True) -> JobRequest:
    """The job that a command line describes. Notes on it are printed.

    Flags count before `#PSIJ` lines, then option lines of a manager, PSIJ_RUN_*, the manager's own variables, and the
    site's defaults. `submitted_here`: its program must exist on this host; else there is only a note if not.
    """
    script, argv = script_named(out, invocation)
    layers = [FlagLayer(dict(invocation.texts)), *_script_layers(script, invocation), from_environment()]
    target, values, note = _target(table, layers, submitted_here=submitted_here)
    options = ScriptOptions()
    if script is not None and not (texts := invocation.texts).get("ignore_directives"):
        from .script_options import script_options

        options = script_options(script.path, script.text, target, merge(layers[:-1]), texts.get("directives", ""))
        for note in options.notes:
            out.note(note)
        lines = FlagLayer(dict.fromkeys(options.values, ""), script.path, values=options.values)
        said = {field: f"line {one.line} says {one.said}" for one, fields in options.said for field in fields}
        target, values, note = _target(table, [*layers[:-1], lines, layers[-1]], said, submitted_here=submitted_here)
    if note:
        out.note(note)
    with options.named():
        return _request(out, target, values, options, script, argv, invocation, submitted_here=submitted_here)


def _request(
    out: Renderer,
    target: Target,
    values: FlagValues,
    options: ScriptOptions,
    script: JobScript | None,
    argv: list[str],
    invocation: Invocation,
    *,
    submitted_here: bool,
) -> JobRequest:
    """The job of these values, where it goes."""
    platform = target.executor.platform
    defaults = target.site.defaults if target.site else {}
    size: dict[str, Any] = {"nodes_left": True}
    if options.passed_on is None:
        size = {
            "site_ranks_per_node": defaults.get("ranks_per_node"),
            "node": _node_size(target, values),
            "nodes_left": options.lines is not None and not platform.one_host and values.get("ntasks") != 1,
        }
    job_fields = fields(values, **size)
    if job_fields.get("parameters"):
        check_parameters(job_fields["parameters"], platform.name, platform.template_class)
        job_fields["parameters"] = as_lists(job_fields["parameters"], platform.template_class)
    script_copy = None
    jobs = options.described
    if jobs is not None and script is not None:
        if argv[1:]:
            raise InvalidRequest(
                f"{script.path} says the arguments of its program itself, and {argv[1]!r} is another one",
                hint=f"leave it out, or say the program: psij-run {invocation.command.name} -- ./program {argv[1]}",
            )
        script, argv = None, [*jobs.command]
        job_fields.setdefault("job_mode", "script")  # one process, whatever it is given
    elif script is not None:
        path, on_nodes = (copy_of(script, folder) for folder in _folders(target, job_fields))
        script_copy = script, path
        from .script_remarks import no_interpreter

        for note in no_interpreter(script.path, interpreter := options.interpreter(script)):
            out.note(note)
        argv = [*interpreter, str(on_nodes), *argv[1:]]
        job_fields.setdefault("name", os.path.basename(script.path))
        if script.from_file:
            job_fields["script"] = os.path.abspath(script.path)
        job_fields.setdefault("job_mode", "script")  # the script starts its runs itself
    elif runs_once(os.path.join(str(job_fields.get("directory", "")), argv[0]) if "/" in argv[0] else argv[0]):
        if "job_mode" not in job_fields and (job_fields.get("ranks") or job_fields.get("ranks_per_node", 1) > 1):
            out.note(f"{argv[0]} is a shell script, and runs once: --mode serial or mpi starts a copy for each rank")
        job_fields.setdefault("job_mode", "script")
    elif argv[0].rpartition("/")[2] == "psij-run":  # a copy for each rank would be as many farms
        job_fields.setdefault("job_mode", "script")
    job_fields["command"] = argv
    own_input = None
    if values.get("input") == STDIN:
        if invocation.arguments and invocation.arguments[0] == STDIN and script is not None:
            raise InvalidRequest(
                "the script is read from stdin, and -i - would read the job's input from there, too",
                hint="name a file for one of them",
            )
        own_input = JobInput.below(*_folders(target, job_fields))
        name = str(own_input.on_nodes)
        job_fields["stdin"] = Path(pattern(name, literal=True) if job_fields.get("name_patterns") else name)
    completion = target.site.completion(job_fields) if target.site else None
    if completion and completion.queues and (job_fields.get("queue") or defaults.get("queue")) == AUTO:
        out.note(f"the best queue for this job is {completion.queues[0].name}")
    job = Job(**options.complete(job_fields, completion.fields if completion else job_fields))
    elements = jobs.jobs(job, values) if jobs is not None else ()
    job = array_of(job, elements)
    for one in _with_other_programs(elements) or (job,):
        checked = one if own_input is None else one.with_(stdin=None)
        _check(out, checked, script, argv[0], submitted_here=submitted_here)
    if target.site and completion:
        found = [*completion.findings, *target.site.check(job), *beyond_cap(target, completion.queues, job)]
        for finding in settle(found):
            out.note(str(finding))
    return JobRequest(job, target, script_copy, options, own_input, elements)


def _with_other_programs(elements: Sequence[Job]) -> Sequence[Job]:
    """The first of those elements that run the same program in the same directory."""
    return [*{(one.command[0], one.directory): one for one in reversed(elements)}.values()][::-1]


def _folders(target: Target, job_fields: Mapping[str, Any]) -> tuple[Path, Path]:
    """Where copies for the job lie, and what compute nodes call that."""
    defaults, executor = target.site.defaults if target.site else {}, target.executor
    project = job_fields.get("project") or defaults.get("project")
    folder = spool_of(executor.spool, project) or executor.journal.home
    return folder, spool_of(executor.spool_on_nodes, project) or folder


def _node_size(target: Target, values: FlagValues) -> NodeSize:
    """The size of the nodes that a job comes to, where it says its ranks alone and the site knows that size."""
    if target.site is None or "ntasks" not in values or {"nodes", "ntasks_per_node"} & values.keys():
        return NodeSize()
    one_rank = {name: value for name, value in values.items() if name not in ("ntasks", "gpus")}
    node_type = target.site.completion(fields(one_rank)).node_type
    if node_type is None:
        return NodeSize()
    return NodeSize(usable_cores(node_type.hardware), len(node_type.hardware.gpus) or None)


def beyond_cap(target: Target, queues: Sequence[Queue], job: Job) -> Iterator[Finding]:
    """Queues that have as many jobs of the user as they take. The manager is asked only if that seems so, and not often."""
    for queue in queues:
        if (cap := queue.jobs.queued) is None:
            continue
        from ..jobs.queue_load import jobs_in_queue, jobs_still_in_queue

        present, new = jobs_in_queue(target.executor, queue.name), len(job.array) or 1
        if present and present + new > cap:
            present = jobs_still_in_queue(target.executor, queue.name)
        if present + new > cap:
            more = f"this array has {new}" if new > 1 else "this would be one more"
            text = f"queue {queue.name} takes {cap} jobs of a user at most: {present} of yours there, and {more}"
            hint = (
                "wait until some have ended: `psij-run list` shows them" if present else "submit smaller ones in turn"
            )
            yield Finding("refuse" if queue.strict else "warn", "jobs", text, hint)


def _script_layers(script: JobScript | None, invocation: Invocation) -> list[FlagLayer]:
    if script is None:
        return []
    lines = flags(script, invocation.command)
    return [FlagLayer(texts, where, script=script.path) for texts, where in lines]


def _target(
    table: JobTable, layers: Sequence[FlagLayer], said: Mapping[str, str] | None = None, *, submitted_here: bool
) -> tuple[Target, FlagValues, str]:
    """Where the job goes, and the values of all flags, with a note on those from the manager's own variables.

    `said` tells of fields which option line says them.
    """
    values = merge(layers)
    target = table.target(values, submits=submitted_here)
    parameters = {**(target.site.parameters if target.site else {}), **values.get("parameters", {})}
    wishes = target.executor.scheduler.wished(os.environ, parameters)
    if not wishes:
        return target, values, ""
    weaker, note = from_manager(wishes, target.executor.platform.template_class.params, values, said or {})
    return target, merge([*layers, *weaker]), note


def _check(out: Renderer, job: Job, script: JobScript | None, program: str, *, submitted_here: bool) -> None:
    if script is None:
        try:
            check_program(job, out)
        except InvalidRequest as error:
            if submitted_here:
                raise
            out.note(error.message)
    if submitted_here:
        for warning in warnings(job, program if script is None else script.path):
            out.note(warning)


def check_program(job: Job, out: Renderer) -> None:
    """Check that the program exists: a path without a file is an error, a name that is not on PATH only a note."""
    program = job.command[0]
    if "/" not in program:
        if shutil.which(program, path=job.environment.get("PATH")) is None and not job.setup:
            _refuse_description(program)
            shell = "; for shell code use -- bash -c '...'" if re.search(r"[\s;|&<>]", program) else ""
            out.note(f"{program!r} is not on PATH here; the job fails unless it is on PATH where it runs{shell}")
        return
    path = os.path.normpath(os.path.join(job.directory or "", program))
    if not os.path.exists(path):
        raise InvalidRequest(
            f"there is no program {path}",
            hint=f"if only the compute nodes have it, use: env {program} ...",
            about=_RUN,
        )
    if os.path.isdir(path):
        raise InvalidRequest(f"{path} is a directory, not a program", hint="name the program in it", about=_RUN)
    if not os.access(path, os.X_OK):
        _refuse_description(path)
        raise InvalidRequest(
            f"{path} is not executable", hint=f"chmod +x {program}, or use: bash {program}", about=_RUN
        )


def _refuse_description(path: str) -> None:
    if command := described_for(path):
        raise InvalidRequest(
            f"{path} is a description for {command}, and no program",
            hint="leave out --ignore-directives, or say its program: psij-run submit --array 0-9 -- ./program",
        )
