"""One more attempt at a job: what is kept of the earlier submission, and what must be there for it."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidRequest, nearest
from ..job import Job
from ..job_size import Resources, without_rivals
from ..system.files import read_plain
from .job_folder import outputs
from .job_places import spool_of
from .record import JobRecord

if TYPE_CHECKING:
    from .journal import Journal

#: A job script's copy, see `cli/jobscript.py`: its name is made of its content.
_OF_ONE_JOB = re.compile(r"(?<!\{)(?:\{\{)*\{(?:id|array)\}")  # in the name of a file: each job has another one
_COPY = re.compile(r"/.*/scripts/[0-9a-f]{32}\.[a-z]+")
#: Fields in which the elements of one array may differ.
_OF_ELEMENTS = frozenset({"command", "name", "directory", "environment", "stdin", "stdout", "stderr"})
#: The same, of those for which one value cannot be right for all elements.
_NOT_FOR_ALL = ("command", "name", "stdout", "stderr")
#: One command of a shell text, with its newlines inside quotes.
_SHELL_LINE = re.compile(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^'"\\\n])*\n""", re.DOTALL)
_EXPORT = "export "


@dataclass(frozen=True)
class Attempt:
    """One more attempt at the job of a record.

    `elements` are the jobs of an array whose elements have different commands, in the order of their indices;
    `environ` is the environment that the job inherits: the one that the earlier submission had.
    """

    entry: JobRecord
    job: Job
    elements: tuple[Job, ...]
    environ: Mapping[str, str]

    @property
    def keys(self) -> list[str]:
        """The keys of the elements that are submitted again; '' alone for a job that is no array."""
        return [str(index) for index in self.job.array] or [""]

    def with_(self, **changes: Any) -> Attempt:
        """A copy with some fields of the job changed. Variables and parameters are added to those of the job."""
        names = {item.name for item in fields(Job)}
        for name in changes:
            if name not in names:
                raise InvalidRequest(f"a job has no field {name!r}", hint=nearest(name, names))
        replaced = self.replaced_by(changes)
        if isinstance(environment := changes.get("environment"), Mapping):
            changes["environment"] = {**self.job.environment, **environment}
        if isinstance(parameters := changes.get("parameters"), Mapping):
            joined = {**self.job.parameters, **parameters}
            changes["parameters"] = {name: value for name, value in joined.items() if value not in (None, "")}
        changed = self.job.with_(**{**replaced, **changes})
        if "job_mode" not in changes and self.has_usual_mode:
            changed = changed.with_(job_mode=None)
        return self.with_job(changed, changes)

    def replaced_by(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that say in another way what the changes say, without that."""
        from .changed_lines import without_changed

        asked = {name for name, value in changes.items() if value is not None}
        kept = without_rivals({item.name: None for item in fields(Job)}, asked)
        plain = Resources()
        replaced = {item.name: getattr(plain, item.name) for item in fields(Resources) if item.name not in kept}
        return {
            **replaced,
            **without_changed(self.entry.platform, self.job, changes, changes.get("parameters") or ()),
        }

    @property
    def has_usual_mode(self) -> bool:
        """Whether the command is started as is usual for so many ranks, and so otherwise for another number of them."""
        return self.job.with_(job_mode=None).job_mode == self.job.job_mode and not any(
            _COPY.fullmatch(argument) for argument in self.job.command
        )

    def with_job(self, job: Job, changes: Mapping[str, Any]) -> Attempt:
        """The same attempt with that job; `changes` are the fields that somebody asked to change."""
        if not self.elements:
            return replace(self, job=job.with_(array=sorted(job.array)) if job.array else job)
        for name in _NOT_FOR_ALL:
            if name in changes:
                raise InvalidRequest(
                    f"the elements of array {self.entry.id} have different commands and files:"
                    f" one {name} cannot be right for all",
                    hint="leave it out, or submit new jobs",
                )
        known = dict(zip(self.job.array, self.elements, strict=True))
        if missing := sorted(set(job.array) - set(known)):
            raise InvalidRequest(
                f"array {self.entry.id} has no element {missing[0]}, and each of its elements has its own command",
                hint=f"`psij-run info {self.entry.id}` shows which it has",
            )
        common = {item.name: getattr(job, item.name) for item in fields(Job) if item.name not in _OF_ELEMENTS}
        common["array"] = ()
        common |= {name: changes[name] for name in ("directory", "stdin") if name in changes}
        added = changes.get("environment", {})
        elements = tuple(
            known[index].with_(**common, environment={**known[index].environment, **added})
            for index in sorted(job.array)
        )
        return replace(self, job=job.with_(array=sorted(job.array)), elements=elements)

    def rewritten(self) -> Iterator[Path]:
        """The named output files that exist, and that the job writes anew."""
        for key, job in self._parts():
            patterns = (job.stdout, job.stderr or job.stdout)
            for path, pattern in dict(zip(outputs(self.entry.folder, key, job), patterns, strict=True)).items():
                other_name = job.name_patterns and _OF_ONE_JOB.search(str(pattern))
                if not job.append and not other_name and path.parent != self.entry.folder and path.is_file():
                    yield path

    def _parts(self) -> Iterator[tuple[str, Job]]:
        """Each element's key and job, as its script names its files; '' for one whose files are its own."""
        if self.elements:
            yield from (("", element) for element in self.elements)
        else:
            yield from ((key, self.job) for key in self.keys)

    def check(self, spool: Path | None, spool_on_nodes: Path | None) -> None:
        """Check that all is there that the job needs: its script's copy, its directories.

        `spool` is where its executor has jobs' folders, and `spool_on_nodes` what compute nodes call that. Raises
        `InvalidRequest`. A directory of which this host knows not even the file system may be the nodes' own.
        """
        project = self.job.project_name or self.job.project
        on_nodes = spool_of(spool_on_nodes, project)
        here = spool_of(spool, project) or self.entry.folder.parent
        jobs = (*self.elements, self.job)
        copies = {argument: "script" for job in jobs for argument in job.command if _COPY.fullmatch(argument)}
        copies |= {str(job.stdin): "input" for job in jobs if _COPY.fullmatch(str(job.stdin))}
        for name, what in copies.items():
            copy = Path(name)
            if on_nodes is not None and copy.is_relative_to(on_nodes):
                copy = here / copy.relative_to(on_nodes)
            try:
                os.utime(copy)  # `clean` looks at this time
            except OSError as error:
                raise InvalidRequest(
                    f"the copy of its {what} that job {self.entry.id} {'ran' if what == 'script' else 'read'} is gone: {copy}",
                    hint=f"submit the {what} itself with `psij-run submit`",
                ) from error
        for job in jobs:
            for path in (path.parent for path in (job.stdout, job.stderr) if path is not None):
                is_pattern = job.name_patterns and "{" in str(path)
                if not is_pattern and _is_gone(path):
                    raise InvalidRequest(
                        f"the directory for the output of job {self.entry.id} is gone: {path}",
                        hint=f"make it (mkdir -p {shlex.quote(str(path))}), or name another file with -o and -e",
                    )
            if job.directory is not None and _is_gone(job.directory):
                raise InvalidRequest(
                    f"the directory of job {self.entry.id} is gone: {job.directory}", hint="name another one with -D"
                )


def earlier(journal: Journal, entry: JobRecord, keys: Sequence[str] = ()) -> Attempt:
    """An attempt that repeats a submission, or of an array the elements with these keys.

    Raises `InvalidRequest` where it is not known any more what was submitted.
    """
    if entry.attached:
        raise InvalidRequest(
            f"job {entry.id} was only attached: its command and its files are not known here",
            hint="submit it with `psij-run submit`",
        )
    if not entry.folder.is_dir():
        raise InvalidRequest(
            f"the folder of job {entry.id} is gone, and with it what was submitted: {entry.folder}",
            hint="submit it anew with `psij-run submit`",
        )
    jobs = journal.jobs(entry)
    environ = inherited_by(entry.folder)
    if jobs is None or environ is None:
        raise InvalidRequest(
            f"the files of job {entry.id} are damaged: {entry.folder} does not tell what was submitted",
            hint="submit it anew with `psij-run submit`",
        )
    job, elements = jobs
    own = {name for one in (job, *elements) for name in one.environment}
    environ = {name: value for name, value in environ.items() if name not in own}
    now = time.strftime("%Y-%m-%dT%H:%M:%S")
    begin = job.begin if job.begin is not None and job.begin > now else None
    attempt = Attempt(entry, job.with_(hold=False, begin=begin), elements, environ)
    if not entry.array:
        return attempt
    indices = sorted(map(int, keys)) or sorted(job.array)
    return attempt.with_job(attempt.job.with_(array=indices), {})


def inherited_by(folder: Path) -> dict[str, str] | None:
    """The variables that a job's script sets from outside of the job; None if its file cannot be read.

    Those that describe the job's place are among them, and are given to no job: see `NEVER_INHERITED`.
    """
    try:
        text = read_plain(folder / "environment").decode("utf-8", "surrogateescape")
    except (OSError, ValueError):
        return None
    variables = {}
    for line in (match[0] for match in _SHELL_LINE.finditer(text) if match[0].startswith(_EXPORT)):
        words = shlex.split(line.removeprefix(_EXPORT))
        name, equals, value = words[0].partition("=")
        if len(words) == 1 and equals:
            variables[name] = value
    return variables


def _is_gone(folder: Path) -> bool:
    """Whether that is no directory, although this host has the file system on which it would be."""
    return not folder.is_dir() and Path(*folder.parts[:2]).is_dir()
