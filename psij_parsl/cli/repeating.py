"""From a job on record and flags to one more attempt at it: what `resubmit` checks before anything is submitted."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import Error, InvalidRequest, PluginError, SiteError
from ..job import Job
from ..jobs.attempt import Attempt, earlier
from ..jobs.attempts import Along, Dependency, dependencies_again
from ..jobs.executor import Submission
from ..jobs.record import JobRecord
from ..platforms.directives.words import SHAPE
from ..sites.asked_again import asked_of
from ..sites.findings import settle
from ..system.id_ranges import format_ranges
from ..system.job_names import cluster_in
from .flags import Flag, FlagTexts
from .job_flags import JOB_FLAGS
from .job_from_flags import FlagLayer, as_lists, check_parameters, fields, merge
from .job_input import STDIN
from .job_request import JobRequest, beyond_cap, check_program
from .job_table import JobTable, Target
from .job_warnings import warnings
from .jobscript import runs_once
from .output import Renderer, plain

_FACTOR = re.compile(r"[xX*](\d+(?:\.\d+)?|\.\d+)")
_ADDED = ("environment", "parameters")  # to what the job had; other fields are replaced
_OWN = ("array", "after", "hold", "begin")  # of each attempt
_SHOWN_FILES = 3


@dataclass(frozen=True, kw_only=True)
class Repeat(JobRequest):
    """One more attempt, and the jobs that it comes after, of which some are submitted again by the same command.

    `before` is the job of the earlier submission.
    """

    attempt: Attempt
    before: Job
    after: Sequence[Dependency] = ()

    @property
    def entry(self) -> JobRecord:
        """The record of the earlier submission."""
        return self.attempt.entry

    @property
    def differences(self) -> dict[str, tuple[Any, Any]]:
        """What differs from the earlier submission: the values of fields before and now; of variables only the names."""
        before, now = self.before.to_dict(), self.job.to_dict()
        different = {name: (before[name], now[name]) for name in now if now[name] != before[name]}
        if "environment" in different:
            different["environment"] = (sorted(self.before.environment), sorted(self.job.environment))
        return {name: values for name, values in different.items() if name not in _OWN}

    @property
    def description(self) -> str:
        """What is submitted again, and what differs, for people."""
        some = format_ranges(self.job.array) if len(self.job.array) < len(self.entry.array) else ""
        what = f"job {self.entry.id} again" + (f", of its elements {some}" if some else "")
        changes = [
            f"{name} {plain(now) or 'none'} (was {plain(was) or 'none'})"
            for name, (was, now) in self.differences.items()
        ]
        return f"{what}: {', '.join(changes)}" if changes else what

    def submit_after(self, new_ids: Mapping[str, str]) -> Submission:
        """Submit it; `new_ids` are those of the jobs that were submitted again before, by their earlier ids."""
        job = self.job.with_(after=[one.text(new_ids) for one in self.after]) if self.after else self.job
        return replace(self, job=job, attempt=replace(self.attempt, job=job)).submit()

    def _send(self) -> Submission:
        return self.target.executor.submit_attempt(self.attempt)


class Repeater:
    """Makes the attempts of one command line: `texts` are the flags that it has for all of them."""

    def __init__(self, out: Renderer, table: JobTable, texts: FlagTexts, *, independent: bool) -> None:
        self.out, self.table, self.texts, self.independent = out, table, texts, independent
        self.rewritten: list[Path] = []  # named output files that exist, and that the jobs write anew
        self._targets: dict[tuple[str, str, str], Target] = {}

    def repeat(self, entry: JobRecord, keys: Collection[str], along: Along) -> Repeat:
        """The attempt at these elements of a job. Notes on it are printed. Raises `InvalidRequest` for whatever is wrong."""
        attempt = earlier(self.table.journal, entry, list(keys))
        before, target = attempt.job, self._target(entry, attempt)
        executor = target.executor
        changes = changed_fields(self.texts, attempt)
        if "array" in changes and len(keys) < len(entry.keys):
            raise InvalidRequest(
                f"--array and what was named both choose elements of array {entry.id}", hint="leave out one of them"
            )
        if added := changes.get("parameters"):
            check_parameters(added, executor.platform.name, executor.platform.template_class)
            changes["parameters"] = as_lists(added, executor.platform.template_class)
        job = attempt.job
        if SHAPE & changes.keys() and job.job_mode == "script" and runs_once(_program_path(job)):
            changes.setdefault("job_mode", "script")
        after: Sequence[Dependency] = ()
        if "after" not in changes and attempt.job.after:
            if not self.independent:
                of = executor.platform.name, executor.cluster
                after = dependencies_again(self.table.journal, attempt, along, of=of)
            attempt = replace(attempt, job=attempt.job.with_(after=()))
        attempt = self._changed(target, attempt, changes)
        attempt.check(executor.spool, executor.spool_on_nodes)
        job = attempt.job
        if not attempt.elements:
            check_program(job, self.out)
            for warning in warnings(job, job.command[0], script=False):
                self.out.note(warning)
        self.rewritten += attempt.rewritten()
        others = [one.text({}) for one in after if one.jobs.isdisjoint(along)]
        executor.render(job.with_(after=others) if others else job)  # raises what is wrong with the request
        return Repeat(job=job, target=target, attempt=attempt, before=before, after=after)

    def _changed(self, target: Target, attempt: Attempt, changes: Mapping[str, Any]) -> Attempt:
        """The attempt with these fields changed, completed by the site and held against its limits."""
        site, queues = target.site, None
        found = []
        if site is None or not changes:
            attempt = attempt.with_(**_joined(changes, attempt.job))
        else:
            asked = asked_of(site, attempt.job)
            values = dict(asked)
            if SHAPE & changes.keys() and attempt.has_usual_mode:
                values["job_mode"] = None
            values |= attempt.replaced_by(changes)
            values["implied"] = tuple(one for one in asked["implied"] if one in values["implied"])
            values |= {name: value for name, value in changes.items() if name not in _ADDED}
            for name in _ADDED:
                values[name] = {**asked[name], **changes.get(name, {})}
            if "setup" in changes:
                values["setup"] = (*asked["setup"], *changes["setup"])
            completion = site.completion(values)
            found, queues = list(completion.findings), completion.queues
            attempt = attempt.with_job(Job(**completion.fields), changes)
        if site is not None:
            job = attempt.job
            if queues is None:
                queues = tuple(site.queues_named(job.queue_name or job.queue or ""))
            for finding in settle([*found, *site.check(job), *beyond_cap(target, queues, job)]):
                self.out.note(str(finding))
        return attempt

    def _target(self, entry: JobRecord, attempt: Attempt) -> Target:
        """The executor for the site, the platform and the cluster of the earlier submission."""
        file = attempt.environ.get("PSIJ_SITE_FILE", "")
        key = entry.platform, entry.site, file
        if key not in self._targets:
            self._targets[key] = self._make_target(entry, file)
        target = self._targets[key]
        if named := cluster_in(entry.cluster):
            target = target._replace(executor=target.executor.at(named))
        if target.executor.cluster != entry.cluster:
            raise InvalidRequest(
                f"job {entry.id} was on another cluster of {entry.platform} ({entry.cluster or 'the default one'})",
                hint="set the environment as it was when the job was submitted",
            )
        return target

    def _make_target(self, entry: JobRecord, file: str) -> Target:
        from ..jobs.batch import BatchSchedulerExecutor
        from ..jobs.site_executor import executor_of
        from ..sites import find

        try:
            if not entry.site:
                return Target(BatchSchedulerExecutor(entry.platform, journal=self.table.journal))
            site = find(None if file else entry.site, Path(file) if file else None, placing=False)
            executor = executor_of(site, journal=self.table.journal)
        except SiteError as error:
            raise InvalidRequest(
                f"the site of job {entry.id} is gone: {error.message}", hint=error.hint or "submit a new job"
            ) from error
        except PluginError as error:
            raise InvalidRequest(
                f"job {entry.id} was for {entry.platform}: {error.message}", hint=error.hint
            ) from error
        if executor.platform.name != entry.platform:
            raise InvalidRequest(
                f"job {entry.id} was for {entry.platform}, and the site {site.name} is one of"
                f" {executor.platform.name} by now",
                hint="submit a new job",
            )
        return Target(executor, site)

    def note_rewritten(self) -> None:
        """Tell which files the jobs write anew."""
        if paths := self.rewritten:
            names = ", ".join(map(str, paths[:_SHOWN_FILES]))
            more = f" and {len(paths) - _SHOWN_FILES} more" if len(paths) > _SHOWN_FILES else ""
            verb = "exists and is" if len(paths) == 1 else "exist and are"
            self.out.note(f"{names}{more} {verb} written anew when the job starts; -o and -e name other files")


def changed_fields(texts: FlagTexts, attempt: Attempt) -> dict[str, Any]:
    """The fields of a job that flags change; `x2` for a number multiplies what the job had."""
    job = attempt.job
    scaled: dict[str, int] = {}
    for flag in JOB_FLAGS:
        text = texts.get(flag.name)
        if isinstance(text, str) and (match := _FACTOR.fullmatch(text.strip())) and _is_number(flag):
            scaled[flag.name] = _times(flag, text, float(match[1]), attempt)
    values = merge([FlagLayer({name: text for name, text in texts.items() if name not in scaled})])
    values |= scaled
    if values.get("input") == STDIN:
        raise InvalidRequest("stdin cannot be handed on to one more attempt", hint="name a file")
    ranks = {"ntasks", "ntasks_per_node"} & values.keys()
    if ranks == {"ntasks"} and "nodes" not in values:
        if job.num_nodes is None:  # the manager decides, as before
            return {**fields({**values, "nodes": 1}), "num_nodes": None, "ranks": values["ntasks"]}
        values["nodes"] = job.num_nodes
    changes = fields(values)
    if ranks:
        changes.setdefault("ranks", None)
    return changes | _file_names(changes, job)


def _file_names(changes: Mapping[str, Any], job: Job) -> dict[str, Path]:
    """The output files of which what is in braces is no pattern, although that of another file is one."""
    names = {name: changes.get(name, getattr(job, name)) for name in ("stdout", "stderr")}
    patterns = bool(changes.get("name_patterns"))
    literal = {name: path for name, path in names.items() if path and (name in changes) != patterns}
    if not names.keys() & changes.keys() or patterns == job.name_patterns:
        return {}
    return {name: Path(str(path).replace("{", "{{").replace("}", "}}")) for name, path in literal.items()}


def _program_path(job: Job) -> str:
    """The path of a job's program; a plain name where it is looked for on PATH."""
    return os.path.join(job.directory or "", job.command[0]) if "/" in job.command[0] else job.command[0]


def _is_number(flag: Flag) -> bool:
    """Whether a flag takes one number."""
    if flag.switch or flag.many:
        return False
    try:
        return isinstance(flag.read("1"), int)
    except (Error, ValueError):
        return False


def _times(flag: Flag, text: str, factor: float, attempt: Attempt) -> int:
    """So many times what the job had. Raises `InvalidRequest` where it had nothing of the kind."""
    name = "num_ranks" if flag.name == "ntasks" else next(iter(fields({flag.name: 1})))
    before: int | None = getattr(attempt.job, name)
    if not before:
        raise InvalidRequest(
            f"{flag.shown} {text}: job {attempt.entry.id} has nothing there that could be multiplied",
            hint=f"give a value: {flag.shown} {flag.metavar}",
        )
    if not factor:
        raise InvalidRequest(f"{flag.shown} {text}: it must be more than nothing", hint=f"e.g. {flag.shown} x2")
    return math.ceil(round(before * factor, 6))


def _joined(changes: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """The changes, of setups with those of the job before."""
    return {**changes, "setup": (*job.setup, *changes["setup"])} if "setup" in changes else dict(changes)
