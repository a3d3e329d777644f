"""From flags to a job: their order of precedence, the arithmetic of nodes and ranks, environment, indices."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InvalidRequest, nearest
from .file_patterns import has_patterns, pattern
from .flag_types import Several, together
from .flags import Flag, FlagTexts, FlagValues, given_twice
from .job_flags import JOB_FLAGS, shown

if TYPE_CHECKING:
    from ..platforms.queries import Wish

ENVIRONMENT = "the environment"
_TARGET_FLAGS = ("site", "config", "platform")


class FlagLayer(NamedTuple):
    """The flags of one source; `origin` names it in errors, '' for the command line.

    `script`: the job script of which it is a line. `values` are those of flags that are converted already.
    """

    texts: FlagTexts
    origin: str = ""
    script: str = ""
    values: Mapping[str, Any] = MappingProxyType({})

    def value(self, flag: Flag) -> Any:
        """The value of a flag that this source gives. Raises `InvalidRequest`, which names the source."""
        if flag.name in self.values:
            return self.values[flag.name]
        if self.origin == ENVIRONMENT:
            return flag.value(self.texts[flag.name], name=flag.environ)
        return flag.value(self.texts[flag.name], where=self.origin)


_NO_FLAGS = FlagLayer({})


def from_environment(environ: Mapping[str, str] = os.environ) -> FlagLayer:
    """The flags that PSIJ_RUN_QUEUE and similar variables give."""
    texts = {flag.name: environ[flag.environ] for flag in JOB_FLAGS if flag.variable and environ.get(flag.environ)}
    return FlagLayer(texts, ENVIRONMENT)


def from_manager(
    wishes: Sequence[Wish], parameters: Container[str], stronger: FlagValues, lines: Mapping[str, str]
) -> tuple[list[FlagLayer], str]:
    """The flags that the manager's own variables give (SBATCH_ACCOUNT), and a note on those that count; '' for none.

    `parameters` are those that the platform has, `stronger` the flags from other sources, `lines` what option lines of
    a script say of fields: there the manager itself would believe its variables.
    """
    layers, used, ignored, beaten = [], [], [], []
    flag_names = {field: name for name, field in _FIELDS.items()}
    for variable, name, value in wishes:
        flag = flag_names.get(name, "")
        if value is None or not (flag or name in parameters):
            ignored.append(variable)
            continue
        layers.append(FlagLayer({flag: value} if flag else {"parameters": [f"{name}={value}"]}, variable))
        same = next((group for group in _GROUPS if flag in group), (flag,))
        if stronger.keys().isdisjoint(same) if flag else name not in stronger.get("parameters", {}):
            used.append(f"{shown(flag) if flag else f'-X {name}'} {value} from {variable}")
        elif name in lines:
            beaten.append(f"{variable} does not count, for {lines[name]}")
    notes = [f"the environment sets {', '.join(used)}"] if used else []
    notes += [f"{', '.join(ignored)} {'is' if len(ignored) == 1 else 'are'} ignored"] if ignored else []
    return layers, "; ".join([*notes, *beaten])


def merge(layers: Sequence[FlagLayer]) -> FlagValues:
    """The values of all layers, the first being the strongest. Raises `InvalidRequest` for one that is wrong.

    Repeatable flags add up; if a layer gives a platform, a site or a site file, those of weaker layers do not count.
    The lines of a script are one source: two of them with different values are an error for a flag that can be given
    only once.
    """
    values: FlagValues = {}
    sources: dict[str, FlagLayer] = {}
    for layer in reversed(layers):
        if any(name in layer.texts for name in _TARGET_FLAGS):
            for name in _TARGET_FLAGS:
                values.pop(name, None)
        for group in _GROUPS:
            if any(name in layer.texts for name in group):
                for name in group:
                    if name in values and not (layer.script and sources[name].script == layer.script):
                        del values[name]
        for flag in JOB_FLAGS:
            if flag.name in layer.texts:
                value = layer.value(flag)
                weaker = sources.get(flag.name, _NO_FLAGS)
                same_script = bool(layer.script) and weaker.script == layer.script
                if same_script and flag.once:
                    _check_same(flag, weaker, layer)
                if flag.name in values and flag.many and (same_script or not flag.replaces):
                    earlier = values[flag.name]
                    value = (
                        _added(flag, earlier, value, same_script) if isinstance(value, dict) else [*earlier, *value]
                    )
                values[flag.name] = value
                sources[flag.name] = layer
    return values


def _added(flag: Flag, earlier: dict[str, str], value: dict[str, str], same_script: bool) -> dict[str, str]:
    """The values of both; of a parameter that two lines of one script give, all texts."""
    if not same_script or flag.name != "parameters":
        return {**earlier, **value}
    return {
        **earlier,
        **{name: together(earlier[name], text) if name in earlier else text for name, text in value.items()},
    }


def _check_same(flag: Flag, first: FlagLayer, second: FlagLayer) -> None:
    texts = first.texts[flag.name], second.texts[flag.name]
    if texts[0] != texts[1]:
        error = given_twice(flag, *texts)
        raise InvalidRequest(f"{second.origin}: {error.message}", hint=error.hint)


class NodeSize(NamedTuple):
    """What a node has, as far as that says how many ranks it holds: cores, and GPUs."""

    cores: int | None = None
    gpus: int | None = None

    def most_ranks(self, values: FlagValues) -> int | None:
        """How many ranks of that job a node holds; None where that is unknown, or where it holds none."""
        cores, gpus = values.get("cpus_per_task", 1), values.get("gpus_per_task", 0)
        most = [self.cores // cores] if self.cores is not None else []
        if gpus and self.gpus is not None:
            most.append(self.gpus // gpus)
        return min(most) or None if most else None


_UNKNOWN_SIZE = NodeSize()


def fields(
    values: FlagValues,
    *,
    site_ranks_per_node: int | None = None,
    node: NodeSize = _UNKNOWN_SIZE,
    nodes_left: bool = False,
) -> dict[str, Any]:
    """The fields of a Job that the flags give; the others are left out, for the site's defaults.

    Ranks without a number of nodes are spread over nodes that have so many ranks by the site's default, or that are of
    that size; with `nodes_left` the manager chooses the nodes where neither is known.
    """
    most = site_ranks_per_node or node.most_ranks(values)
    if nodes_left and most is None and "ntasks" in values and not {"nodes", "ntasks_per_node"} & values.keys():
        job_fields: dict[str, Any] = {"num_nodes": None, "ranks": values["ntasks"]}
    else:
        job_fields = dict(shape(values, most))
    for name, job_field in _FIELDS.items():
        if name in values:
            job_fields[job_field] = values[name]
    if "array" in values:
        job_fields["array"] = values["array"].indices
        if values["array"].limit is not None:
            job_fields["array_limit"] = values["array"].limit
    job_fields |= _gpus(values, job_fields)
    job_fields |= _files(values)
    if values.get("no_env"):
        job_fields["inherit_environment"] = False
    if environment := {**values.get("env_file", {}), **values.get("env", {})}:
        job_fields["environment"] = environment
    if "setup" in values:
        job_fields["setup"] = tuple(values["setup"])
    return job_fields


def _gpus(values: FlagValues, shape: Mapping[str, Any]) -> dict[str, Any]:
    """The GPUs of each node, and their model, from --gpus-per-node or -G."""
    if "gpus_per_node" in values:
        count, kind = values["gpus_per_node"]
    elif "gpus" in values:
        count, kind = values["gpus"]
        nodes = shape.get("num_nodes", 1)
        if nodes is None:
            raise InvalidRequest(
                f"over how many nodes the {count} GPUs are spread is not known", hint="say -N", about=_GPUS
            )
        if count % nodes:
            raise InvalidRequest(
                f"{count} GPUs cannot be spread evenly over {nodes} nodes",
                hint=f"possible are {_multiples('-G', count, nodes)}, or -N {_divisor(count, nodes)}",
                about=(*_GPUS, "num_nodes"),
            )
        count //= nodes
    else:
        return {}
    return {"gpus_per_node": count, **({"gpu_kind": kind} if kind else {})}


def _files(values: FlagValues) -> dict[str, Any]:
    """The directory and the files, with their names to be filled in where one of them says so."""
    texts = {field: values[name] for name, field in _PATHS.items() if name in values}
    files = {field: text for field, text in texts.items() if field != "directory"}
    filled_in = any(map(has_patterns, files.values()))
    if filled_in:
        texts |= {field: pattern(text, literal=not has_patterns(text)) for field, text in files.items()}
    paths = {field: Path(os.path.expanduser(text)) for field, text in texts.items()}
    return {**paths, **({"name_patterns": True} if filled_in else {})}


_FIELDS = {
    "cpus_per_task": "cpus_per_rank",
    "threads_per_core": "threads_per_core",
    "gpus_per_task": "gpus_per_rank",
    "mem": "memory_per_node",
    "mem_per_cpu": "memory_per_core",
    "mem_per_gpu": "memory_per_gpu",
    "time": "wall_time_min",
    "queue": "queue",
    "account": "project",
    "job_name": "name",
    "mode": "job_mode",
    "launcher": "launcher",
    "append": "append",
    "begin": "begin",
    "signal": "signal_before_end",
    "hold": "hold",
    "dependency": "after",
    "setup_may_fail": "setup_may_fail",
    "parameters": "parameters",
    "compat": "compat",
}
_GPUS = ("gpus_per_node", "gpus_per_rank", "gpu_kind")
_PATHS = {"cwd": "directory", "input": "stdin", "output": "stdout", "error": "stderr"}
#: Flags that say the same in different ways: those of one source replace all of a weaker one.
_GROUPS = (
    ("nodes", "ntasks", "ntasks_per_node"),
    ("mem", "mem_per_cpu", "mem_per_gpu"),
    ("gpus_per_task", "gpus_per_node", "gpus"),
)


def shape(values: FlagValues, most_ranks_per_node: int | None = None) -> dict[str, int]:
    """Nodes and ranks from any of -N, -n and --ntasks-per-node. Raises `InvalidRequest` if they disagree.

    Without -N there are as many nodes as ranks fill, so many on each, or one.
    """
    nodes, ranks, per_node = (values.get(name) for name in ("nodes", "ntasks", "ntasks_per_node"))
    n, per = shown("ntasks"), shown("ntasks_per_node")
    if ranks is None:
        numbers = {"num_nodes": nodes, "ranks_per_node": per_node}
        return {name: number for name, number in numbers.items() if number is not None}
    if nodes is not None and per_node is not None and nodes * per_node < ranks:
        raise InvalidRequest(
            f"{nodes} nodes with {per_node} ranks each have {nodes * per_node} ranks, not {ranks}",
            hint=f"leave out one of -N, {n} and {per}, or use {n} {nodes * per_node}",
        )
    if nodes is None:
        nodes = -(-ranks // (per_node or most_ranks_per_node or ranks))
    if ranks < nodes:
        raise InvalidRequest(f"{ranks} ranks are too few for {nodes} nodes", hint=f"use -N {ranks}, or {n} {nodes}")
    return (
        {"num_nodes": nodes, "ranks": ranks}
        if ranks % nodes
        else {"num_nodes": nodes, "ranks_per_node": ranks // nodes}
    )


def even_shape(values: FlagValues) -> dict[str, int]:
    """The same for runs, which have as many ranks on each node. Raises `InvalidRequest` for others."""
    numbers = shape(values)
    if "ranks" in numbers:
        ranks, nodes = numbers["ranks"], numbers["num_nodes"]
        n = shown("ntasks")
        raise InvalidRequest(
            f"{ranks} ranks cannot be spread evenly over {nodes} nodes",
            hint=f"possible are {_multiples(n, ranks, nodes)}, or -N {_divisor(ranks, nodes)}",
        )
    return numbers


def _multiples(flag: str, number: int, factor: int) -> str:
    """The flag with the multiples of a factor that are next to a number."""
    below = number - number % factor
    return f"{flag} {below + factor}" if not below else f"{flag} {below} or {flag} {below + factor}"


def _divisor(number: int, target: int) -> int:
    """The divisor of a number that is nearest to another number."""
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return min((*small, *(number // d for d in small)), key=lambda d: (abs(d - target), d))


def as_lists(parameters: Mapping[str, Any], template: Any) -> dict[str, Any]:
    """The parameters, with all texts of a list that was given several times."""
    lists = {name for name, parameter in template.params.items() if isinstance(parameter.default, tuple)}
    return {
        name: [item for text in value.texts for item in text.split(",") if item]
        if isinstance(value, Several) and name in lists
        else value
        for name, value in parameters.items()
    }


def check_parameters(parameters: Mapping[str, Any], platform: str, template: Any) -> None:
    """Raises `InvalidRequest` for a parameter that the platform does not have, or that has a flag of its own."""
    from ..platforms.templates.template import FIXED

    flag_names = {field: name for name, field in _FIELDS.items()}
    flag_names |= {"num_nodes": "nodes", "ranks_per_node": "ntasks_per_node", "ranks": "ntasks", "array": "array"}
    flag_names |= {"array_limit": "array", "gpu_kind": "gpus"}
    for name in parameters:
        if name in template.params:
            continue
        if name in FIXED or name in flag_names:
            raise InvalidRequest(f"-X {name} has a flag of its own", hint=f"use {shown(flag_names[name])}")
        suggestion = nearest(name, template.params)
        hint = suggestion if suggestion.startswith("did you") else f"`psij-run platform show {platform}` lists them"
        raise InvalidRequest(f"the {platform} platform has no parameter {name!r}", hint=hint)
