"""The specification of a job, the same for all resource managers."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, get_args

from .errors import InvalidRequest, nearest
from .job_size import Resources, whole

if TYPE_CHECKING:
    from .job_texts import JobFields

#: How a job's script starts its command.
JobMode = Literal["script", "serial", "mpi"]
JOB_MODES: tuple[str, ...] = get_args(JobMode)

#: Variables that bash computes or keeps read-only: a value given for them never reaches a command.
BASH_OWN = frozenset(
    (
        *("BASHOPTS", "BASHPID", "BASH_ALIASES", "BASH_ARGC", "BASH_ARGV", "BASH_CMDS", "BASH_COMMAND"),
        *("BASH_MONOSECONDS", "BASH_LINENO", "BASH_SOURCE", "BASH_SUBSHELL", "BASH_VERSINFO", "DIRSTACK"),
        *("EPOCHREALTIME", "EPOCHSECONDS", "EUID", "FUNCNAME", "GROUPS", "HISTCMD", "LINENO", "OPTIND", "PPID"),
        *("RANDOM", "SECONDS", "SHELLOPTS", "SRANDOM", "UID"),
    )
)
#: Variables that the job's script sets for the command.
_SCRIPTS_OWN = (
    "PSIJ_JOB_ID",
    "PSIJ_NATIVE_ID",
    "PSIJ_JOB_MODE",
    "PSIJ_NODEFILE",
    "PSIJ_JOB_FOLDER",
    "PSIJ_ARRAY_INDEX",
    "PSIJ_ARRAY_ID",
)


@dataclass(frozen=True, kw_only=True, repr=False)
class Job(Resources):
    """A job's specification. Pure data: a job that was submitted is a `Submission`.

    Its fields also take the texts that the flags of `psij-run` take: `wall_time_min="1h30m"`, `memory_per_node="4G"`,
    `array="0-9"`, `after="12,afterany:13"`.

    `setup` is kept as a tuple of texts. Each is run by the job's shell, and its exit code is looked at: see
    docs/how-to/python.md. Paths are made absolute against `directory`, and `directory` against where the Job is made. `stdout` and
    `stderr` default to files in the job's own folder; with `stdout` given and `stderr` not, both go to
    `stdout`. Each array element appends its index to them: `out.txt.7`.
    """

    #: Needed: its words.
    command: Sequence[str] = ()
    #: Minutes; None: the manager decides.
    wall_time_min: int | None = 10
    queue: str | None = None
    project: str | None = None
    #: None: `script` for one rank and with `compat`, else `mpi`.
    job_mode: str | None = None
    #: Shown to people; the manager gets a slug of it.
    name: str = ""
    directory: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    inherit_environment: bool = True
    stdin: Path | None = None
    stdout: Path | None = None
    stderr: Path | None = None
    #: Output is added to files that are there; else they are emptied.
    append: bool = False
    #: What stands in braces in `stdout` and `stderr` is filled in where the job runs: see `docs/how-to/my-job-scripts.md`.
    name_patterns: bool = False
    #: Indices of a job array.
    array: tuple[int, ...] = ()
    #: How many of its elements may run at a time.
    array_limit: int | None = None
    #: Ids, our own or the manager's, of jobs that must end well first; or what `-d` takes, `afterany:12`.
    after: Sequence[str] = ()
    #: Not to start before: YYYY-MM-DDTHH:MM:SS, local time. Given also as a datetime, "16:00" or "+2h".
    begin: str | None = None
    #: [B:]SIGNAL@SECONDS: a warning so long before the wall time ends, to the programs; B: to the command alone.
    signal_before_end: str | None = None
    #: Submitted, but not to start before it is released.
    hold: bool = False
    #: Shell texts run before the command, e.g. module loads; a single text is one of them.
    setup: str | Sequence[str] = ()
    #: Go on after a setup that failed; else the command is not started.
    setup_may_fail: bool = False
    launcher: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    #: What people call the queue, where the manager calls it something else: given by a site, as the next three are.
    queue_name: str = ""
    #: The type of its nodes, by the site's name for it.
    node_type: str = ""
    #: The project as people name it, where its queue charges another account for it.
    project_name: str = ""
    #: Fields for which the manager is not asked by us: they come with the queue, or `option_lines` say them.
    implied: tuple[str, ...] = ()
    #: Lines of a script for this very manager, `#SBATCH -N 2`, which are passed on as they are.
    option_lines: tuple[str, ...] = ()
    #: The platform whose script is run on another one: variables that such scripts read are set.
    script_of: str = ""
    #: The platform whose commands the job's script calls: on another one there are stand-ins for them on its PATH.
    compat: str = ""
    #: The path of the user's script, of which the command runs a copy.
    script: str = ""

    if TYPE_CHECKING:  # more may be passed than what the fields hold

        def __init__(self, **given: Unpack[JobFields]) -> None: ...

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:  # how a frozen dataclass is made
            object.__setattr__(self, name, value)

        if isinstance(self.command, str) or not isinstance(self.command, Sequence):
            raise InvalidRequest(
                f"the command must be a list of words, not {self.command!r}",
                hint="pass ['bash', '-c', text] for a line of shell",
            )
        if isinstance(self.array, str) and "%" in self.array:
            indices, _, limit = self.array.partition("%")
            put("array", indices)
            put("array_limit", limit)
        for name in _OWN_TYPES:
            put(name, field_value(name, getattr(self, name)))
        for argument in self.command:
            if not isinstance(argument, str | os.PathLike):
                raise InvalidRequest(
                    f"{argument!r} in the command is no text but a {type(argument).__name__}",
                    hint=f"say {str(argument)!r}",
                )
        put("command", tuple(os.fspath(argument) for argument in self.command))
        if not self.command or not self.command[0]:
            raise InvalidRequest(
                "there is no command to run",
                hint="say it after `--`, e.g. -- hostname; in Python command=['hostname']",
            )
        check_mappings(vars(self))
        super().__post_init__()
        for name in ("wall_time_min", "array_limit"):
            whole(self, name, least=1)
        mode = self.job_mode or ("mpi" if self.num_ranks > 1 and not self.compat else "script")
        if mode not in JOB_MODES:
            raise InvalidRequest(f"unknown job mode {mode!r}", hint=nearest(str(mode), JOB_MODES))
        put("job_mode", mode)
        directory = Path(os.path.abspath(self.directory or os.getcwd()))
        put("directory", directory)
        for name in ("stdin", "stdout", "stderr"):
            path = getattr(self, name)
            if path is not None:
                plain = str(directory)  # what stands in braces in it is its own
                below = plain.replace("{", "{{").replace("}", "}}") if self.name_patterns else plain
                put(name, Path(os.path.abspath(Path(below) / path)))
        setup = (self.setup,) if isinstance(self.setup, str) else self.setup
        if not isinstance(setup, Sequence) or not all(isinstance(text, str) for text in setup):
            raise InvalidRequest(
                f"setup={self.setup!r} is neither a text nor a list of texts", hint="e.g. setup=['module load x']"
            )
        put("setup", tuple(text for text in setup if text.strip()))
        put("environment", _environment(self.environment))
        for text, what in (*((argument, "argument") for argument in self.command), *self._texts()):
            if "\0" in text:
                raise InvalidRequest(f"a NUL character in the {what} {text!r}", hint="no program can receive one")
        for name in ("name", "queue", "project", "launcher", "compat"):
            if not isinstance(value := getattr(self, name), str | None):
                raise InvalidRequest(f"{name}={value!r} is no text", hint=f"say {str(value)!r}")
        lists = {"array": "its indices, e.g. array=range(10)", "after": f"after=[{self.after!r}]"}
        for name, example in lists.items():
            if isinstance(value := getattr(self, name), str) or not isinstance(value, Sequence):
                raise InvalidRequest(f"{name}={value!r} is no list", hint=f"pass {example}")
        put("after", _ids(self.after))
        if not self.array and self.array != ():
            raise InvalidRequest(
                f"array={self.array!r} has no element", hint="leave it out for one plain job, or give it an index"
            )
        if len(set(self.array)) != len(self.array) or any(type(i) is not int or i < 0 for i in self.array):
            raise InvalidRequest(
                "array indices must be different whole numbers, and not negative",
                hint="e.g. range(10), or --array 0-9",
            )
        if self.array_limit is not None and not self.array:
            raise InvalidRequest(
                f"array_limit={self.array_limit} limits the elements of an array, and this job is none",
                hint="leave it out, or say --array",
            )
        put("array", tuple(self.array))
        put("implied", tuple(self.implied))
        put("option_lines", tuple(self.option_lines))
        put("parameters", dict(self.parameters))

    def _texts(self) -> list[tuple[str, str]]:
        paths = [(str(getattr(self, n)), n) for n in ("directory", "stdin", "stdout", "stderr") if getattr(self, n)]
        values = ((value, f"environment variable {key}") for key, value in self.environment.items())
        return [*paths, *values, *((text, "setup") for text in self.setup)]

    def __repr__(self) -> str:
        """Without environment values, which may be secret."""
        shown = [f"command={list(self.command)!r}"]
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "environment" and value:
                shown.append(f"environment=<{len(value)} variables>")
            elif item.name not in ("command", "environment") and value not in (None, (), {}, "", False):
                shown.append(f"{item.name}={value!r}")
        return f"Job({', '.join(shown)})"

    @property
    def display_name(self) -> str:
        """The name that people see; without one, the command's own."""
        return self.name or os.path.basename(self.command[0]) or "job"

    @property
    def command_line(self) -> str:
        return shlex.join(self.command)

    def with_(self, **changes: Any) -> Job:
        """A copy with some fields changed. Raises `InvalidRequest` for a field that no job has."""
        check_names(changes)
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, environment included: for the job's own 0600 record, never for display."""
        data: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Path):
                value = os.fspath(value)
            elif isinstance(value, tuple):
                value = list(value)
            data[item.name] = value
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Job:
        """The inverse of `to_dict`. Raises `InvalidRequest` for a key that no job has."""
        check_names(data)
        paths = {key: Path(value) for key, value in data.items() if key in _PATHS and value is not None}
        return cls(**{**data, **paths, "array": tuple(data.get("array", ()))})


def check_names(given: Mapping[str, Any]) -> None:
    """Raises `InvalidRequest` for a field that no job has."""
    names = {item.name for item in fields(Job)}
    for key in given:
        if key not in names:
            raise InvalidRequest(f"a job has no field {key!r}", hint=nearest(key, names))


def check_mappings(given: Mapping[str, Any]) -> None:
    """Raises `InvalidRequest` for variables or parameters that are not given by name."""
    for name in ("environment", "parameters"):
        if not isinstance(value := given.get(name, {}), Mapping):
            raise InvalidRequest(f"{name}={value!r} is no mapping", hint=f"pass {name}={{'NAME': 'value'}}")


def field_value(name: str, value: Any) -> Any:
    """What a field of a job holds if that is given for it: its own type, or a text such as the field's flag takes."""
    if name not in _OWN_TYPES or type(value) in _OWN_TYPES[name]:
        return value
    from .job_texts import read_field

    return read_field(name, value)


def _ids(after: Sequence[Any]) -> tuple[str, ...]:
    """The ids in `after`; the handle of a job will do, and `kind:ID:ID` is several. Raises `InvalidRequest`."""
    ids = [getattr(dependency, "id", dependency) for dependency in after]
    for dependency in ids:
        if not isinstance(dependency, str) or not dependency:
            raise InvalidRequest(
                f"{dependency!r} in after is no id of a job", hint=f"ids are text, e.g. {str(dependency)!r}"
            )
    if any("," in text or text.count(":") > 1 for text in ids):
        from .dependency import read_dependencies

        return tuple(one for text in ids for one in read_dependencies(text, "after"))
    return tuple(ids)


def _environment(given: Mapping[str, Any]) -> dict[str, str]:
    """The variables as text. Raises `InvalidRequest` for one that cannot be set."""
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str | int | float | os.PathLike):
            raise InvalidRequest(
                f"the environment variable {name!r} is {value!r}, and both must be text",
                hint="leave out what is not to be set",
            )
        if not name.isidentifier() or not name.isascii():
            raise InvalidRequest(
                f"{name!r} cannot be the name of an environment variable",
                hint="letters, digits and _ only, not starting with a digit",
            )
        if name in BASH_OWN or name in _SCRIPTS_OWN or name.startswith("psij_"):
            owner = "bash" if name in BASH_OWN else "the job's script"
            raise InvalidRequest(
                f"the environment variable {name} cannot be given: {owner} keeps it for itself",
                hint="choose another name for it",
            )
    return {name: str(value) for name, value in given.items()}


_PATHS = ("directory", "stdin", "stdout", "stderr")
_COUNTS = tuple(item.name for item in fields(Resources) if item.name != "gpu_kind")
#: The types of fields that are checked as they are; values of other types are read.
_OWN_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys((*_COUNTS, "wall_time_min", "array_limit"), (int, type(None))),
    **dict.fromkeys(("hold", "append", "inherit_environment", "setup_may_fail"), (bool,)),
    **dict.fromkeys(_PATHS, (type(Path()), type(None))),
    **dict.fromkeys(("begin", "signal_before_end"), (type(None),)),
    "array": (tuple, range),
    "after": (tuple, list),
}
