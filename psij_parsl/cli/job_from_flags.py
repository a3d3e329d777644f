"""From flags to a job: their order of precedence, the arithmetic of nodes and ranks, environment, indices."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidRequest, nearest
from .flags import FLAGS, Chosen, Flag, said_twice, shown

if TYPE_CHECKING:
    from ..platforms.queries import Wish

ENVIRONMENT = "the environment"
_WHERE = ("site", "config", "platform")


@dataclass(frozen=True)
class Layer:
    """Flags that were said in one place; `origin` names it in errors, '' for the command line.

    `script`: the job script of which it is a line.
    """

    chosen: Chosen
    origin: str = ""
    script: str = ""


_NOWHERE = Layer({})


def from_environment(environ: Mapping[str, str] = os.environ) -> Layer:
    """PSIJ_RUN_QUEUE and its like."""
    return Layer(
        {flag.name: environ[flag.environ] for flag in FLAGS if flag.variable and environ.get(flag.environ)},
        ENVIRONMENT,
    )


def from_manager(wishes: Sequence[Wish], parameters: Container[str], stronger: Chosen) -> tuple[list[Layer], str]:
    """What the manager's own variables say (SBATCH_ACCOUNT), and a remark on what comes from them; '' for none.

    `parameters` are those that the platform has, `stronger` what was said otherwise.
    """
    layers, taken, unread = [], [], []
    flags = {field: name for name, field in _FIELDS.items()}
    for variable, name, value in wishes:
        flag = flags.get(name, "")
        if value is None or not (flag or name in parameters):
            unread.append(variable)
            continue
        layers.append(Layer({flag: value} if flag else {"parameters": [f"{name}={value}"]}, variable))
        if flag not in stronger if flag else name not in stronger.get("parameters", {}):
            taken.append(f"{shown(flag) if flag else f'-X {name}'} {value} from {variable}")
    said = [f"the environment says {', '.join(taken)}"] if taken else []
    said += [f"{', '.join(unread)} {'is' if len(unread) == 1 else 'are'} not followed"] if unread else []
    return layers, "; ".join(said)


def merge(layers: Sequence[Layer]) -> Chosen:
    """The values of all layers, the first being the strongest. Raises `InvalidRequest` for one that is wrong.

    Repeatable flags add up; of platform, site and site file, a stronger layer's word ends the weaker ones'. The lines
    of a script are one place: what can be said once only is said twice if two of them differ.
    """
    chosen: Chosen = {}
    last: dict[str, Layer] = {}
    for layer in reversed(layers):
        if any(name in layer.chosen for name in _WHERE):
            for name in _WHERE:
                chosen.pop(name, None)
        for flag in FLAGS:
            if flag.name in layer.chosen:
                value = read(flag, layer.chosen[flag.name], layer.origin)
                weaker = last.get(flag.name, _NOWHERE)
                together = bool(layer.script) and weaker.script == layer.script
                if together and flag.once:
                    _see_same(flag, weaker, layer)
                if flag.name in chosen and flag.many and (together or not flag.replaces):
                    before = chosen[flag.name]
                    value = {**before, **value} if isinstance(value, dict) else [*before, *value]
                chosen[flag.name] = value
                last[flag.name] = layer
    return chosen


def _see_same(flag: Flag, first: Layer, other: Layer) -> None:
    said = first.chosen[flag.name], other.chosen[flag.name]
    if said[0] != said[1]:
        error = said_twice(flag, *said)
        raise InvalidRequest(f"{other.origin}: {error.message}", hint=error.hint)


def read(flag: Flag, said: Any, origin: str = "") -> Any:
    """The value of a flag. Raises `InvalidRequest`, which names it, for one that is wrong."""
    if flag.switch:
        return said
    from_variable = origin == ENVIRONMENT
    name = flag.environ if from_variable else flag.shown
    where = f"{origin}: " if origin and not from_variable else ""
    try:
        return flag.read(said)
    except InvalidRequest as error:
        raise InvalidRequest(f"{where}{error.message}", hint=error.hint) from error
    except ValueError as error:
        raise InvalidRequest(f"{where}{name} {said}: it {error}", hint=flag.help) from error


def fields(chosen: Chosen, *, site_ranks_per_node: int | None = None) -> dict[str, Any]:
    """The fields of a Job that the flags say; what they do not say is left out, for the site's defaults."""
    told: dict[str, Any] = dict(shape(chosen, site_ranks_per_node))
    for name, field in _FIELDS.items():
        if name in chosen:
            told[field] = chosen[name]
    for name, field in _PATHS.items():
        if name in chosen:
            told[field] = Path(os.path.expanduser(chosen[name]))
    if chosen.get("no_env"):
        told["inherit_environment"] = False
    if environment := {**chosen.get("env_file", {}), **chosen.get("env", {})}:
        told["environment"] = environment
    if "setup" in chosen:
        told["setup"] = tuple(chosen["setup"])
    if chosen.get("setup_may_fail"):
        told["setup_may_fail"] = True
    return told


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


def shape(chosen: Chosen, site_ranks_per_node: int | None = None) -> dict[str, int]:
    """Nodes x ranks per node from any of -N, -n and --ntasks-per-node. Raises `InvalidRequest` if they disagree."""
    nodes, ranks, each = (chosen.get(name) for name in ("nodes", "ntasks", "ntasks_per_node"))
    n, per = shown("ntasks"), shown("ntasks_per_node")
    if ranks is None:
        said = {"num_nodes": nodes, "ranks_per_node": each}
        return {name: value for name, value in said.items() if value is not None}
    if nodes is not None and each is not None and nodes * each != ranks:
        raise InvalidRequest(
            f"{nodes} nodes with {each} ranks each have {nodes * each} ranks, not {ranks}",
            hint=f"leave one of -N, {n} and {per} out, or say {n} {nodes * each}",
        )
    if nodes is not None:
        if ranks % nodes:
            below, above = ranks - ranks % nodes, ranks - ranks % nodes + nodes
            fits = f"{n} {above}" if not below else f"{n} {below} or {n} {above}"
            raise InvalidRequest(
                f"{ranks} ranks cannot be spread evenly over {nodes} nodes",
                hint=f"{fits} would do, and so would -N {_divisor(ranks, nodes)}",
            )
        return {"num_nodes": nodes, "ranks_per_node": ranks // nodes}
    if each is None and (site_ranks_per_node is None or ranks <= site_ranks_per_node):
        return {"num_nodes": 1, "ranks_per_node": ranks}
    each = each or site_ranks_per_node or ranks
    if ranks % each:
        below, above = ranks - ranks % each, ranks - ranks % each + each
        fits = f"{n} {above}" if not below else f"{n} {below} or {n} {above}"
        raise InvalidRequest(
            f"{ranks} ranks do not fill whole nodes with {each} ranks each",
            hint=f"{fits} would, and so would {per} {_divisor(ranks, each)}",
        )
    return {"num_nodes": ranks // each, "ranks_per_node": each}


def _divisor(number: int, near: int) -> int:
    """The divisor of a number that is nearest to another number."""
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return min((*small, *(number // d for d in small)), key=lambda d: (abs(d - near), d))


def check_parameters(parameters: Mapping[str, Any], platform: str, template: Any) -> None:
    """Raises `InvalidRequest` for a parameter that the platform does not have, or that has a flag of its own."""
    from ..platforms.templates.template import FIXED

    own = {field: name for name, field in _FIELDS.items()}
    own |= {"num_nodes": "nodes", "ranks_per_node": "ntasks_per_node"}
    for name in parameters:
        if name in template.params:
            continue
        if name in FIXED or name in own:
            raise InvalidRequest(f"-X {name} has a flag of its own", hint=f"say it with {shown(own[name])}")
        near = nearest(name, template.params)
        hint = near if near.startswith("did you") else f"`psij-run platform show {platform}` lists them"
        raise InvalidRequest(f"the {platform} platform has no parameter {name!r}", hint=hint)
