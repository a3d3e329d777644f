"""Job templates, which render one manager's submission script from the parameters of a job.

A subclass gives a jinja2 template and declares what it takes beyond the five fixed parameters. It is checked
when it is defined, on the template that is really rendered, so that a template which drops a request cannot
be imported.

    class LocalTemplate(JobTemplate):
        template_str = '''...'''
        optional_params = [{'name': 'use_ssd', 'validators': [str2bool], 'default': True}]

Templates see typed values: `{% if use_ssd %}` is false for False, None and ''. What an expression prints is
quoted as one word (`quoting.py`); None, lists, mappings and booleans cannot be printed. Wall times are
minutes, memory is MB, with a filter for each manager's way to write them (`formatters.py`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from ...errors import InvalidRequest, TemplateError, nearest
from ...job import JOB_MODES
from ...system.job_names import MANAGER_LOG
from . import kept_code
from .code import Code
from .loader import label
from .parameters import Parameter, one_of, positive_int, word
from .quoting import wrap
from .source import Source
from .uses import check_uses

FIXED: Mapping[str, Parameter] = {
    parameter.name: parameter
    for parameter in (
        Parameter("num_nodes", 1, (positive_int,), "compute nodes"),
        Parameter("wall_time_min", 10, (positive_int,), "wall time in minutes"),
        Parameter("queue", None, (word,), "queue or partition"),
        Parameter("project", None, (word,), "project or allocation that is charged"),
        Parameter("job_mode", "script", (one_of(*JOB_MODES),), "how the script starts the command"),
    )
}

GIVEN: Mapping[str, str] = {
    "nodes_left": "a number of nodes that is left to the manager",
    "ranks": "ranks in all, where they are not the same on each node; else None",
    "ranks_per_node": "ranks per node",
    "cpus_per_rank": "cores per rank",
    "threads_per_core": "hardware threads per core",
    "gpus_per_rank": "GPUs",
    "gpus_on_node": "GPUs on each node, those of its ranks or as the job says",
    "gpu_kind": "GPUs of one kind",
    "memory_per_node": "memory per node (MB)",
    "memory_per_core": "memory per core (MB)",
    "memory_per_gpu": "memory per GPU (MB)",
    "all_memory": "all the memory of a node",
    "num_ranks": "ranks in all",
    "cores_per_node": "cores per node",
    "option_lines": "option lines of a script of its own, as they are",
    "job_name": "a job name: a slug within the manager's rules",
    "tag": "a tag that the job can be searched for by",
    "folder": "the job's folder, with script, output and exit file",
    "log": "the file for the manager's own log; /dev/null where an option line cannot name it",
    "after": "dependencies: native ids of jobs that must end well first",
    "array": "job arrays: the indices",
    "indices": "job arrays: each index, in order",
    "array_limit": "a limit to the elements of an array that run at a time",
    "index_in_names": "whether an element's index is added to the names of its output files",
    "begin": "a time before which a job does not start",
    "signal_before_end": "a signal before the wall time ends: SIGNAL@SECONDS, for the job's script, which hands it on",
    "warning": "the signal that the script hands on",
    "warns_command": "whether it is for the command alone",
    "warn_before_s": "how long before the end the warning comes",
    "warn_after_s": "how long after the start, where the script itself looks at the time",
    "hold": "jobs that wait to be released",
    "name_patterns": "names of files that are filled in on the node",
    "append": "output that is added to files that are there",
    "directory": "the working directory",
    "inherit_environment": "the submitting environment",
    "environment_file": "a file that sets the environment",
    "stdin": "an input file",
    "stdout": "an output file",
    "stderr": "an error file",
    "command": "the command",
    "setup": "setup lines before the command",
    "setup_may_fail": "a setup that may fail",
    "environment_names": "the names of the variables that the job itself sets",
    "functions": "the shell functions of module systems and of conda: yes, files for those of /etc/profile.d too, or none",
    "umask": "the user's umask",
    "launch": 'a launch method: the shell line that starts the command, "$@"',
    "launcher_file": "a file with shell lines to run before it, or none",
    "id": "the id of our record",
    "elements": "elements of an array, each with its own command",
    "guards": "looks at the ends of other jobs, where the manager knows any end only",
    "exit_lag_s": "for how many seconds an exit file may not be seen yet",
    "own_codes": "exit codes that the manager takes for itself",
}
"""The values that the core gives to templates: name -> what it is, worded to follow "the platform cannot ask for"."""

DERIVED: Mapping[str, tuple[str, ...]] = {
    "ranks": ("num_ranks", "cores_per_node"),
    "ranks_per_node": ("num_ranks", "cores_per_node"),
    "cpus_per_rank": ("cores_per_node",),
    "gpus_per_rank": ("gpus_on_node",),
    "gpus_per_node": ("gpus_on_node",),
    "memory_per_core": ("memory_per_node",),
    "memory_per_gpu": ("memory_per_node",),
}
"""Field of a request -> the names in `GIVEN` that express it too."""

_REFUSED: Mapping[str, tuple[str, str]] = {
    "num_nodes": ("several nodes (num_nodes={0})", ""),
    "gpus_per_node": ("GPUs (gpus_per_node={0})", ""),
    "gpu_kind": (
        "GPUs of one kind (gpu_kind={0!r})",
        "say their number alone; a queue or a parameter of the platform may tell their kind",
    ),
    "memory_per_node": ("memory (memory_per_node={0} MB)", ""),
    "memory_per_core": ("memory for each core (memory_per_core={0} MB)", ""),
    "memory_per_gpu": ("memory for each GPU (memory_per_gpu={0} MB)", ""),
    "all_memory": (
        "all the memory of a node (memory_per_node=0)",
        "say how much: --mem 16G; or a site that knows the memory of its nodes",
    ),
    "array": ("job arrays", "submit jobs one by one, or choose another platform"),
    "array_limit": (
        "a limit to how many elements of an array run at a time (array_limit={0})",
        "leave out %{0} in --array, or run the elements in one job: `psij-run launch --array INDICES -P {0}`",
    ),
    "begin": (
        "a time before which a job does not start (begin={0!r})",
        "leave out --begin; or say --hold, and `psij-run release` it at that time",
    ),
    "option_lines": ("option lines of a script of its own", ""),
}
"""Field of a request -> how a refusal names it, and a hint; others are named as in `GIVEN`."""
#: Fields that say more of what another one asks for.
_SAYS_MORE_OF = {"array_limit": ("array",), "gpu_kind": ("gpus_per_node", "gpus_per_rank")}

_ID = Parameter("id", "", (word,), "the id of our record")  # plain, as `checks.PLAIN` says
_RESERVED = frozenset(
    {"given", "section", "super", "self", "loop", "caller", "varargs", "kwargs", "range", "namespace"}
)


class Refuse(NamedTuple):
    """What a manager cannot be asked for, although its template says it.

    `when` is given the job's shape and all parameters, with their defaults, by their names, and `text` may have them
    in braces: `Refuse(lambda asked: asked["num_nodes"] > 1, "has one node, not {num_nodes}", "ask for one")` says "the
    NAME platform has one node, not 2". `about` are the fields of the job that are at fault.
    """

    when: Callable[[Mapping[str, Any]], object]
    text: str
    hint: str = "leave it out, or choose another platform"
    about: Sequence[str] = ()


class JobTemplate:
    """Base of all job templates. Subclassing raises TemplateError for a template that would not do as it
    says.

    A subclass gives `template_str`, or `template_file` next to its module, or neither: then `job.sh.j2` next
    to its module, or else its base's template, in the end the core's skeleton. In a template `extends "parent"`
    is the template of the base class, `extends "core/job.sh.j2"` the core's skeleton; other names are files
    next to the one that names them. `optional_params` adds to those of the base classes, or replaces them by
    name. `abstract = True` in a class's own body leaves it unchecked.
    """

    template_str: ClassVar[str | None] = None
    template_file: ClassVar[str | None] = None
    optional_params: ClassVar[Iterable[Parameter | Mapping[str, Any]]] = ()
    places: ClassVar[frozenset[str]] = frozenset()
    """Declared parameters that say where the script is sent, and do not stand in it."""
    refusals: ClassVar[Sequence[Refuse]] = ()
    """What is refused, with a sentence of its own."""
    log_folders: ClassVar[str] = r".+"
    """A pattern of the folders that an option line can name, of those that `directive_quote` takes."""
    abstract: ClassVar[bool] = True

    params: ClassVar[Mapping[str, Parameter]] = {}
    """The declared parameters, inherited ones included; computed."""
    uses: ClassVar[frozenset[str]] = frozenset()
    """The names that the effective template uses; computed."""

    _defaults: ClassVar[Mapping[str, Any]]
    _code: ClassVar[Code]
    _made_of: ClassVar[Sequence[Source]]  # what the code was generated from, until it is kept

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        try:
            cls.params = _declared(cls)
            if cls.__dict__.get("abstract"):
                return
            cls.abstract = False
            cls._defaults = {name: _default(parameter) for name, parameter in cls.params.items()}
            cls._code, cls._made_of = kept_code.code_of(cls)
            cls.uses = cls._code.uses
            in_script = [name for name in cls.params if name not in cls.places]
            check_uses(cls.uses, FIXED, in_script, GIVEN)
        except TemplateError as error:
            raise TemplateError(f"{cls.__qualname__} ({label(cls)}): {error.message}", hint=error.hint) from error

    @staticmethod
    def directive_quote(text: str) -> str:
        """How a text is written in a directive line, whole or as part of a word.

        Raises ValueError with the rule for what the manager's parser cannot carry. This one carries plain
        words only. Control characters are refused before it is asked.
        """
        return word(text)

    @classmethod
    def render(
        cls,
        *,
        num_nodes: int | None = 1,
        wall_time_min: int | None = 10,
        queue: str | None = None,
        project: str | None = None,
        job_mode: str = "script",
        given: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> str:
        """The script. Without `num_nodes` or `wall_time_min` (None) it says nothing of them.

        `parameters` are the declared ones; those left out have their defaults. `given` holds the values
        that the core gives, by the names in `GIVEN`; text in it is quoted, unless it is `quoting.Shell`. Raises
        InvalidRequest for a parameter that is unknown, that its rule refuses, or that a directive line cannot
        carry; TemplateError for a fault of the template that shows only now.
        """
        if cls.abstract:
            raise TemplateError(f"{cls.__qualname__} is abstract and has nothing to render")
        values = dict(cls._defaults)
        fixed = {"num_nodes": num_nodes, "wall_time_min": wall_time_min, "queue": queue, "project": project}
        for name, value in {**fixed, "job_mode": job_mode}.items():
            left = value is None and name in ("num_nodes", "wall_time_min")  # to the manager
            values[name] = None if left else wrap(name, FIXED[name].convert(value))
        cls.refuse_unknown(parameters)
        for name, value in parameters.items():
            parameter = cls.params[name]
            values[name] = wrap(name, parameter.convert(value), raw=parameter.raw)
        for name, value in (given or {}).items():
            if name not in GIVEN:
                raise TemplateError(f"the core gives no {name!r} to templates", hint=nearest(name, GIVEN))
            values[name] = wrap(name, _ID.convert(value) if name == _ID.name else value)
        script = cls._code.render(values, cls.directive_quote)
        cls._made_of = kept_code.keep(cls, cls._made_of, cls._code)
        return script

    @classmethod
    def queue_word(cls, parameters: Mapping[str, Any]) -> str:
        """The word by which a script's option lines name what a site with these parameters calls a queue."""
        return "queue"

    @classmethod
    def log_path(cls, folder: str) -> str:
        """The file to which the manager writes its own log; /dev/null where an option line cannot name it."""
        try:
            cls.directive_quote(folder)
        except ValueError:
            return os.devnull
        return f"{folder}/{MANAGER_LOG}" if re.fullmatch(cls.log_folders, folder) else os.devnull

    @classmethod
    def refuse(cls, asked: Mapping[str, Any], platform: str = "") -> None:
        """Raise InvalidRequest for the first of `refusals` that is true of what is asked.

        `platform`: the platform's name, for the message; without it the class itself is named, here and below.
        """
        values = {
            **{name: parameter.default for name, parameter in cls.params.items()},
            **{
                name: cls.params[name].convert(value) if name in cls.params else value
                for name, value in asked.items()
            },
        }
        for refusal in cls.refusals:
            if refusal.when(values):
                reason = refusal.text.format(**values)
                raise InvalidRequest(f"{cls._named(platform)} {reason}", hint=refusal.hint, about=refusal.about)

    @classmethod
    def refuse_unexpressed(cls, request: Mapping[str, Any], platform: str = "") -> None:
        """Raise InvalidRequest if this template does not say a field of `request`: what a job asks beyond the
        defaults.

        A field also counts as expressed by a name that is derived from it (`DERIVED`).
        """
        unexpressed = [name for name in request if cls.uses.isdisjoint({name, *DERIVED.get(name, ())})]
        named, hints = [], []
        for name in unexpressed:
            if not {*unexpressed}.isdisjoint(_SAYS_MORE_OF.get(name, ())):
                continue
            general = f"{GIVEN.get(name, name).partition(':')[0]} ({name}={{0!r}})"
            text, hint = _REFUSED.get(name, (general, ""))
            named.append(text.format(request[name]))
            hints.append(hint.format(request[name]) or "leave it out, or choose another platform")
        if named:
            hint = hints[0] if len(named) == 1 else "leave them out, or choose another platform"
            text = f"{cls._named(platform)} cannot ask for {', '.join(named)}"
            raise InvalidRequest(text, hint=hint, about=unexpressed)

    @classmethod
    def refuse_unknown(cls, parameters: Iterable[str], platform: str = "") -> None:
        """Raise InvalidRequest for the first name that is neither a fixed nor a declared parameter."""
        known = (*FIXED, *sorted(cls.params))
        for name in parameters:
            if name in known:
                continue
            if name in GIVEN:
                raise InvalidRequest(f"{name} is no parameter of a template: it is said by the job itself")
            suggestion = nearest(name, known)
            hint = f"{suggestion} " if suggestion.startswith("did you") else ""
            raise InvalidRequest(
                f"{cls._named(platform)} has no parameter {name!r}", hint=f"{hint}known: {', '.join(known)}"
            )

    @classmethod
    def _named(cls, platform: str) -> str:
        return f"the {platform} platform" if platform else cls.__name__


def _declared(cls: type[JobTemplate]) -> dict[str, Parameter]:
    """The parameters of the class and its bases; the most derived declaration of a name counts."""
    params: dict[str, Parameter] = {}
    for owner in reversed(cls.__mro__):
        own: dict[str, Parameter] = {}
        for parameter in map(Parameter.of, owner.__dict__.get("optional_params", ())):
            if parameter.name in own:
                raise TemplateError(f"parameter {parameter.name} is declared twice")
            if parameter.name in FIXED or parameter.name in GIVEN or parameter.name in _RESERVED:
                raise TemplateError(f"parameter {parameter.name} cannot be declared: the name is taken already")
            own[parameter.name] = parameter
        params |= own
    return params


def _default(parameter: Parameter) -> Any:
    try:
        return wrap(parameter.name, parameter.convert(parameter.default), raw=parameter.raw)
    except InvalidRequest as error:
        raise TemplateError(
            f"the default of parameter {parameter.name} breaks its own rule: {error.message}"
        ) from error
