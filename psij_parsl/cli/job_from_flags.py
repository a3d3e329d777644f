"""From flags to a job: their order of precedence, the arithmetic of nodes and ranks, environment, indices."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidRequest, nearest
from .flags import Flag, FlagTexts, FlagValues, given_twice
from .job_flags import JOB_FLAGS, shown

if TYPE_CHECKING:
    from ..platforms.queries import Wish

ENVIRONMENT = "the environment"
_TARGET_FLAGS = ("site", "config", "platform")


@dataclass(frozen=True)
class FlagLayer:
    """The flags of one source; `origin` names it in errors, '' for the command line.

    `script`: the job script of which it is a line.
    """

    texts: FlagTexts
    origin: str = ""
    script: str = ""

    def value(self, flag: Flag) -> Any:
        """The value of a flag that this source gives. Raises `InvalidRequest`, which names the source."""
        if self.origin == ENVIRONMENT:
            return flag.value(self.texts[flag.name], name=flag.environ)
        return flag.value(self.texts[flag.name], where=self.origin)


_NO_FLAGS = FlagLayer({})


def from_environment(environ: Mapping[str, str] = os.environ) -> FlagLayer:
    """The flags that PSIJ_RUN_QUEUE and similar variables give."""
    texts = {flag.name: environ[flag.environ] for flag in JOB_FLAGS if flag.variable and environ.get(flag.environ)}
    return FlagLayer(texts, ENVIRONMENT)


def from_manager(
    wishes: Sequence[Wish], parameters: Container[str], stronger: FlagValues
) -> tuple[list[FlagLayer], str]:
    """The flags that the manager's own variables give (SBATCH_ACCOUNT), and a note on those that count; '' for none.

    `parameters` are those that the platform has, `stronger` the flags from other sources.
    """
    layers, used, ignored = [], [], []
    flag_names = {field: name for name, field in _FIELDS.items()}
    for variable, name, value in wishes:
        flag = flag_names.get(name, "")
        if value is None or not (flag or name in parameters):
            ignored.append(variable)
            continue
        layers.append(FlagLayer({flag: value} if flag else {"parameters": [f"{name}={value}"]}, variable))
        if flag not in stronger if flag else name not in stronger.get("parameters", {}):
            used.append(f"{shown(flag) if flag else f'-X {name}'} {value} from {variable}")
    notes = [f"the environment sets {', '.join(used)}"] if used else []
    notes += [f"{', '.join(ignored)} {'is' if len(ignored) == 1 else 'are'} ignored"] if ignored else []
    return layers, "; ".join(notes)


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
        for flag in JOB_FLAGS:
            if flag.name in layer.texts:
                value = layer.value(flag)
                weaker = sources.get(flag.name, _NO_FLAGS)
                same_script = bool(layer.script) and weaker.script == layer.script
                if same_script and flag.once:
                    _check_same(flag, weaker, layer)
                if flag.name in values and flag.many and (same_script or not flag.replaces):
                    earlier = values[flag.name]
                    value = {**earlier, **value} if isinstance(value, dict) else [*earlier, *value]
                values[flag.name] = value
                sources[flag.name] = layer
    return values


def _check_same(flag: Flag, first: FlagLayer, second: FlagLayer) -> None:
    texts = first.texts[flag.name], second.texts[flag.name]
    if texts[0] != texts[1]:
        error = given_twice(flag, *texts)
        raise InvalidRequest(f"{second.origin}: {error.message}", hint=error.hint)


def fields(values: FlagValues, *, site_ranks_per_node: int | None = None) -> dict[str, Any]:
    """The fields of a Job that the flags give; the others are left out, for the site's defaults."""
    job_fields: dict[str, Any] = dict(shape(values, site_ranks_per_node))
    for name, field in _FIELDS.items():
        if name in values:
            job_fields[field] = values[name]
    for name, field in _PATHS.items():
        if name in values:
            job_fields[field] = Path(os.path.expanduser(values[name]))
    if values.get("no_env"):
        job_fields["inherit_environment"] = False
    if environment := {**values.get("env_file", {}), **values.get("env", {})}:
        job_fields["environment"] = environment
    if "setup" in values:
        job_fields["setup"] = tuple(values["setup"])
    if values.get("setup_may_fail"):
        job_fields["setup_may_fail"] = True
    return job_fields


_FIELDS = {
    "cpus_per_task": "cpus_per_rank",
    "threads_per_core": "threads_per_core",
    "gpus_per_task": "gpus_per_rank",
    "mem": "memory_per_node",
    "time": "wall_time_min",
    "queue": "queue",
    "account": "project",
    "job_name": "name",
    "mode": "job_mode",
    "launcher": "launcher",
    "hold": "hold",
    "array": "array",
    "dependency": "after",
    "parameters": "parameters",
}
_PATHS = {"cwd": "directory", "input": "stdin", "output": "stdout", "error": "stderr"}


def shape(values: FlagValues, site_ranks_per_node: int | None = None) -> dict[str, int]:
    """Nodes x ranks per node from any of -N, -n and --ntasks-per-node. Raises `InvalidRequest` if they disagree."""
    nodes, ranks, per_node = (values.get(name) for name in ("nodes", "ntasks", "ntasks_per_node"))
    n, per = shown("ntasks"), shown("ntasks_per_node")
    if ranks is None:
        numbers = {"num_nodes": nodes, "ranks_per_node": per_node}
        return {name: number for name, number in numbers.items() if number is not None}
    if nodes is not None and per_node is not None and nodes * per_node != ranks:
        raise InvalidRequest(
            f"{nodes} nodes with {per_node} ranks each have {nodes * per_node} ranks, not {ranks}",
            hint=f"leave out one of -N, {n} and {per}, or use {n} {nodes * per_node}",
        )
    if nodes is not None:
        if ranks % nodes:
            raise InvalidRequest(
                f"{ranks} ranks cannot be spread evenly over {nodes} nodes",
                hint=f"possible are {_multiples(n, ranks, nodes)}, or -N {_divisor(ranks, nodes)}",
            )
        return {"num_nodes": nodes, "ranks_per_node": ranks // nodes}
    if per_node is None and (site_ranks_per_node is None or ranks <= site_ranks_per_node):
        return {"num_nodes": 1, "ranks_per_node": ranks}
    per_node = per_node or site_ranks_per_node or ranks
    if ranks % per_node:
        raise InvalidRequest(
            f"{ranks} ranks do not fill whole nodes with {per_node} ranks each",
            hint=f"possible are {_multiples(n, ranks, per_node)}, or {per} {_divisor(ranks, per_node)}",
        )
    return {"num_nodes": ranks // per_node, "ranks_per_node": per_node}


def _multiples(flag: str, number: int, factor: int) -> str:
    """The flag with the multiples of a factor that are next to a number."""
    below = number - number % factor
    return f"{flag} {below + factor}" if not below else f"{flag} {below} or {flag} {below + factor}"


def _divisor(number: int, target: int) -> int:
    """The divisor of a number that is nearest to another number."""
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return min((*small, *(number // d for d in small)), key=lambda d: (abs(d - target), d))


def check_parameters(parameters: Mapping[str, Any], platform: str, template: Any) -> None:
    """Raises `InvalidRequest` for a parameter that the platform does not have, or that has a flag of its own."""
    from ..platforms.templates.template import FIXED

    flag_names = {field: name for name, field in _FIELDS.items()}
    flag_names |= {"num_nodes": "nodes", "ranks_per_node": "ntasks_per_node"}
    for name in parameters:
        if name in template.params:
            continue
        if name in FIXED or name in flag_names:
            raise InvalidRequest(f"-X {name} has a flag of its own", hint=f"use {shown(flag_names[name])}")
        suggestion = nearest(name, template.params)
        hint = suggestion if suggestion.startswith("did you") else f"`psij-run platform show {platform}` lists them"
        raise InvalidRequest(f"the {platform} platform has no parameter {name!r}", hint=hint)
