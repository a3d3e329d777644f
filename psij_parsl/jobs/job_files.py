"""Makes the files in a job's folder: the script, its environment, and the elements of an array."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InvalidRequest, JournalError
from ..job import Job
from ..job_size import FLAGS, Resources
from ..platforms.queries import EarlyCommand
from ..platforms.templates.loader import FUNCTIONS, functions_text
from ..platforms.templates.quoting import Raw
from ..system.commands import RunningCommand
from ..system.files import LastWritten, private_folder, write_new
from ..system.id_ranges import format_ranges
from ..system.interpreters import first_line_words, program_of
from .elements import element_text
from .file_settings import FileSettings, JobPlace
from .job_dependencies import Dependencies
from .job_environment import environment_text
from .launch_lines import LAUNCHER, WRAPPER, LaunchLines, is_wrapped, launch_lines
from .stand_ins import files as stand_in_files

log = logging.getLogger(__name__)

#: Words that call a module system.
_MODULE = re.compile(r"(?m)(^|[;&|(!{]|\bif|\bthen|\belse|\bdo)\s*(module|ml)\s")
_SHAPE = tuple(item.name for item in fields(Resources) if item.name != "num_nodes")
_PLAIN = Resources()
_MANAGED = ("queue", "after", "array", "array_limit", "begin", "hold", "signal_before_end")
_SCRIPT = "script.sh"
_ENVIRONMENT = "environment"
_OFTEN_ALIKE = (_ENVIRONMENT, FUNCTIONS)  # in jobs that are submitted one after the other


class SubmissionRequest(NamedTuple):
    """The files of one submission. Their texts are made before anything is written to disk.

    `files` are the texts of the files in its folder by their names, the script last; `elements` the jobs of an array
    whose elements have different commands.
    """

    job: Job
    elements: Sequence[Job]
    place: JobPlace
    files: Mapping[str, str]
    executable: bool = False

    @classmethod
    def make(
        cls,
        settings: FileSettings,
        job: Job,
        place: JobPlace,
        dependencies: Dependencies | None = None,
        *,
        elements: Sequence[Job] = (),
        environ: Mapping[str, str] = os.environ,
        client: Mapping[str, str] | None = None,
    ) -> SubmissionRequest:
        """The request for a job. Raises `InvalidRequest` for whatever the platform cannot be asked for.

        `environ` is the submitting environment, and `client` what the manager's client gets of it.
        """
        script, launch = _script(settings, job, place, dependencies, elements=bool(elements))
        files = {_ENVIRONMENT: environment_text(settings, job, environ, client)}
        if elements:
            files["elements"] = element_text(job.array, elements)
        if is_wrapped(job):
            from ..runs.binding import text

            files[WRAPPER] = text()
        if launch.before:
            files[LAUNCHER] = f"{launch.before}\n"
        files |= stand_in_files(job, settings.platform)
        files[FUNCTIONS] = functions_text()
        files[_SCRIPT] = script
        return cls(job, elements, place, files, settings.executable)

    def write(self, before: LastWritten | None = None, *, script_too: bool = True) -> Path:
        """Write the files, readable by their owner only, into the folder; returns the script's path.

        `before` knows those of earlier submissions.
        """
        before, folder = before or LastWritten(), self.place.folder
        for name, text in self.files.items():
            path = f"{folder}/{name}"
            if name in _OFTEN_ALIKE:
                before.write(path, text)
            elif "/" in name:  # a stand-in
                private_folder(Path(path).parent)
                write_new(path, text, mode=0o700)
            elif name != _SCRIPT:
                write_new(path, text)
        if script_too:
            self._write_script()
        return self.place.folder / _SCRIPT

    def _write_script(self) -> None:
        write_new(f"{self.place.folder}/{_SCRIPT}", self.files[_SCRIPT], mode=0o700 if self.executable else 0o600)

    def early(self, waiting: RunningCommand | None) -> EarlyCommand | None:
        """The submit command that waits for the script on its input, if it can have that in one step.

        Then the file is for people alone, and is written while the manager works on the script.
        """
        text = self.files[_SCRIPT].encode("utf-8", "surrogateescape")
        if waiting is None or not waiting.fits_in_pipe(len(text)):
            return None
        return EarlyCommand(waiting, text, self._write_late)

    def _write_late(self) -> None:
        try:
            self._write_script()
        except JournalError as error:  # the job does not need it
            log.warning("the script of job %s could not be kept: %s", self.place.id, error)


def render(
    settings: FileSettings,
    job: Job,
    place: JobPlace,
    dependencies: Dependencies | None = None,
    *,
    elements: bool = False,
) -> str:
    """The submission script. Raises `InvalidRequest` for whatever the platform cannot be asked for.

    `elements`: it is an array's, whose elements differ in what they run.
    """
    return _script(settings, job, place, dependencies, elements=elements)[0]


def _script(
    settings: FileSettings, job: Job, place: JobPlace, dependencies: Dependencies | None, *, elements: bool
) -> tuple[str, LaunchLines]:
    """The script, and the lines that start its command, of which some have a file of their own."""
    template = settings.template
    _refuse(settings, _told(job))
    launch = launch_lines(job, settings.launcher, place.node_folder, settings.launch, settings.platform)
    core_values = _template_values(
        settings, job, place, dependencies or Dependencies(), launch=launch, elements=elements
    )
    core_values["log"] = template.log_path(str(place.node_folder))
    given = {name: value for name, value in core_values.items() if name not in template.params}
    return template.render(**values(_told(job)), given=given), launch


def _told(job: Job) -> Job:
    """The job as we tell the manager of it: without the fields that come with its queue, or that its option lines say."""
    if not job.implied:
        return job
    unsaid: dict[str, Any] = {item.name: item.default for item in fields(Job) if item.name in job.implied}
    unsaid |= {name: None for name in ("num_nodes", "wall_time_min") if name in unsaid}
    return job.with_(**unsaid)


def _refuse(settings: FileSettings, job: Job) -> None:
    """Raise `InvalidRequest` for what the platform cannot be asked for, before anything else is wrong with it."""
    template = settings.template
    parameters = values(job)
    template.refuse_unknown(parameters, settings.platform)
    if job.num_nodes is None and "nodes_left" not in template.uses and "num_nodes" not in job.implied:
        raise InvalidRequest(
            f"the {settings.platform} platform must be told the number of nodes",
            hint=f"say {FLAGS['num_nodes']}, or num_nodes in Python",
            about=("num_nodes", "ranks"),
        )
    if job.signal_before_end and "signal_before_end" not in job.implied:
        _refuse_warning(job, settings)
    shape = {name: getattr(job, name) for name in (*_SHAPE, *_MANAGED, "gpus_on_node", "num_ranks", "option_lines")}
    if "memory_per_core" not in template.uses:
        shape["memory_per_node"] = job.memory_on_node
    left = {
        "num_nodes": job.nodes_at_least,
        "nodes_left": job.num_nodes is None and "num_nodes" not in job.implied,
        "wall_time_left": job.wall_time_min is None and "wall_time_min" not in job.implied,
    }
    template.refuse({**shape, **parameters, **left}, settings.platform)
    template.refuse_unexpressed(requests(job), settings.platform)


def _refuse_warning(job: Job, settings: FileSettings) -> None:
    """Raise `InvalidRequest` for a warning whose time is not known, or that would come at once."""
    warning = _warning(job)
    said = f"signal_before_end={job.signal_before_end!r}"
    if job.wall_time_min is None and "warn_after_s" in settings.template.uses:
        raise InvalidRequest(
            f"{said}: when the job's wall time ends is not known, so the {settings.platform} platform cannot warn it",
            hint=f"say {FLAGS['wall_time_min']}",
            about=("signal_before_end",),
        )
    if job.wall_time_min is not None and warning["warn_after_s"] <= 0:
        least = -(-(warning["warn_before_s"] + 1) // 60)
        raise InvalidRequest(
            f"{said}: of a wall time of {job.wall_time_min} minutes this warns the job before it starts",
            hint=f"warn it later, or say -t {least} at least",
            about=("signal_before_end",),
        )


def slug(name: str, limit: int = 200) -> str:
    """A display name changed so that every manager accepts it. Users see the unchanged name in our records."""
    text = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-")[:limit]
    return text if text[:1].isalpha() else f"job_{text}"[:limit]


def umask() -> int:
    """The umask of this process, which the job gets too: a manager may start it with another."""
    now = os.umask(0o077)  # it can only be read by setting it; what another thread makes meanwhile is the owner's own
    os.umask(now)
    return now


def calls_a_shell(job: Job) -> bool:
    """Whether a shell is what the job runs: bash or sh, by name, through env, or as a script's interpreter."""
    program = shutil.which(job.command[0], path=job.environment.get("PATH")) or job.command[0]
    words = first_line_words(os.path.join(job.directory or "", program))
    return program_of(words or job.command) in ("bash", "sh")


def values(job: Job) -> dict[str, Any]:
    """The five fixed parameters and the pass-through ones, as `JobTemplate.render` takes them."""
    fixed = {name: getattr(job, name) for name in ("num_nodes", "wall_time_min", "queue", "project", "job_mode")}
    for name in job.parameters.keys() & fixed.keys():
        raise InvalidRequest(
            f"{name} is said twice: by the job and by its parameters", hint="leave it out of the parameters"
        )
    return {**job.parameters, **fixed}


def requests(job: Job) -> dict[str, Any]:
    """The requests of a job that differ from the defaults, to check that the template can express them."""
    asked = {name: value for name in _SHAPE if (value := getattr(job, name)) != getattr(_PLAIN, name)}
    if asked.get("gpus_per_node") == 0:
        del asked["gpus_per_node"]
    if asked.get("memory_per_node") == 0:
        asked["all_memory"] = asked.pop("memory_per_node")
    if job.nodes_at_least > 1:
        asked["num_nodes"] = job.num_nodes
    if job.option_lines:
        asked["option_lines"] = [*job.option_lines]
    return {**asked, **{name: value for name in _MANAGED if (value := getattr(job, name))}}


def _shape_values(job: Job, uses: Collection[str]) -> dict[str, Any]:
    """The job's size as templates see it: None for what its option lines say. `uses`: what the template uses."""
    told = _told(job)
    shape: dict[str, Any] = {name: getattr(told, name) for name in _SHAPE}
    ranks, cores = "ranks_per_node" not in job.implied, "cpus_per_rank" not in job.implied
    shape |= {name: None for name in job.implied if name in ("ranks_per_node", "cpus_per_rank")}
    shape |= {"num_ranks": told.num_ranks if ranks or told.ranks else None, "gpus_on_node": told.gpus_on_node}
    shape["cores_per_node"] = told.cores_per_node if ranks and cores else None
    for name in ("memory_per_core", "memory_per_gpu"):
        if shape[name] is not None and name not in uses:  # the manager knows the memory of nodes alone
            shape["memory_per_node"] = told.memory_on_node
    shape["all_memory"] = told.memory_per_node == 0
    shape["memory_per_node"] = shape["memory_per_node"] or None
    del shape["gpus_per_node"]  # `gpus_on_node` says it; a platform may have a parameter of that name
    shape["nodes_left"] = told.num_nodes is None and "num_nodes" not in job.implied
    return shape


def _template_values(
    settings: FileSettings,
    job: Job,
    place: JobPlace,
    dependencies: Dependencies,
    *,
    launch: LaunchLines,
    elements: bool,
) -> dict[str, Any]:
    """The values that the core itself gives the template (see `template.GIVEN`); `launch` starts the command."""
    return {
        **_shape_values(job, settings.template.uses),
        "id": place.id,
        "tag": place.tag,
        "folder": str(place.node_folder),
        "job_name": slug(job.display_name),
        "after": list(dependencies.ids),
        "guards": Raw(_guard_lines(dependencies.guards, place), "guards") if dependencies.guards else "",
        "exit_lag_s": round(settings.exit_lag_s),
        "own_codes": f" {' '.join(map(str, sorted(settings.own_codes)))} " if settings.own_codes else "",
        "array": format_ranges(sorted(job.array)),
        "indices": sorted(job.array),
        "array_limit": job.array_limit,
        "index_in_names": bool(job.array),
        "name_patterns": job.name_patterns,
        "append": job.append,
        "begin": job.begin,
        "hold": job.hold,
        **_warning(job),
        "option_lines": [Raw(line, "option_lines") for line in job.option_lines],
        "directory": str(job.directory),
        "stdin": str(job.stdin or "/dev/null"),
        "stdout": str(job.stdout or ""),
        "stderr": str(job.stderr or ""),
        "inherit_environment": job.inherit_environment,
        "environment_file": f"{place.node_folder}/{_ENVIRONMENT}",
        "elements": str(place.node_folder / "elements") if elements else "",
        "setup": [text.rstrip("\n") for text in job.setup],
        "setup_may_fail": job.setup_may_fail,
        "environment_names": list(job.environment),
        "functions": _functions(job, elements=elements),
        "umask": f"{umask():04o}",
        "command": Raw(shlex.join(job.command), "command"),
        "launch": Raw(launch.start, "launch"),
        "launcher_file": str(place.node_folder / LAUNCHER) if launch.before else "",
    }


def _warning(job: Job) -> dict[str, Any]:
    """The signal before the end, and whom it is for; what the manager itself is told of it stands in `_told`."""
    whom, _, warning = (job.signal_before_end or "").rpartition(":")
    signal, _, seconds = warning.partition("@")
    return {
        "signal_before_end": warning if "signal_before_end" not in job.implied else None,
        "warning": signal,
        "warns_command": bool(whom),
        "warn_before_s": int(seconds or 0),
        "warn_after_s": 60 * (job.wall_time_min or 0) - int(seconds or 0),
    }


def _functions(job: Job, *, elements: bool) -> str:
    """Whether the script makes shell functions: "files" also where no variable leads to them, "" not at all."""
    if any(_MODULE.search(text) for text in job.setup):
        return "files"
    return "yes" if job.setup or elements or calls_a_shell(job) else ""


def _guard_lines(guards: Sequence[tuple[str, Sequence[str]]], place: JobPlace) -> str:
    """Shell lines that end the job unless those that it comes after ended as it asks."""
    return "\n".join(f"psij_require {shlex.join([kind, *map(place.node_path, folders)])}" for kind, folders in guards)
