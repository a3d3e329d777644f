"""Export of a Parsl configuration: as Python that can be pasted, and as YAML for a Globus Compute endpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InvalidRequest
from ..sites import Site
from .config import ConfigPlan


def python(plans: Sequence[ConfigPlan]) -> str:
    """A module whose `config` is what `parsl_config` would have returned."""
    kinds = sorted({each.executor_class for each in plans})
    providers = sorted({each.provider_class.__name__ for each in plans})
    handled = any("block_error_handler" not in each.executor for each in plans)
    own_interchange = any("interchange_launch_cmd" not in each.executor for each in plans)
    names = ["executor"] if len(plans) == 1 else [f"executor_{n}" for n in range(len(plans))]
    ours = [*(["consecutive_failures"] if handled else []), *(["interchange"] if own_interchange else [])]
    return f"""from parsl.config import Config

{f"from psij_parsl.parsl import {', '.join(ours)}{chr(10)}" if ours else ""}\
from psij_parsl.parsl.executors import {", ".join(kinds)}
from psij_parsl.providers import {", ".join(providers)}

{"".join(map(_executor, names, plans))}
config = Config(
    executors=[{", ".join(names)}],
{_arguments(plans[0].config, 4)}
)
"""


def _executor(name: str, plan: ConfigPlan) -> str:
    handler = "" if "block_error_handler" in plan.executor else "    block_error_handler=consecutive_failures,\n"
    interchange = f"{name}.interchange_launch_cmd = interchange.command()  # it ends with the workflow\n"
    return f"""{name} = {plan.executor_class}(
{_arguments(plan.executor, 4)}
{handler}    provider={plan.provider_class.__name__}(
{_arguments(plan.provider, 8)}
    ),
)
{"" if "interchange_launch_cmd" in plan.executor else interchange}"""


def _arguments(values: Mapping[str, Any], indent: int) -> str:
    return "\n".join(f"{' ' * indent}{name}={_plain(value)!r}," for name, value in values.items())


def _plain(value: Any) -> Any:
    """A site by its name."""
    return value.name if isinstance(value, Site) else value


def globus(plans: Sequence[ConfigPlan]) -> str:
    """The engine of a Globus Compute endpoint, whose process has called `psij_parsl.parsl.register()`.

    Raises `InvalidRequest` for several executors.
    """
    if len(plans) > 1:
        raise InvalidRequest("an endpoint of Globus Compute has one engine", hint="make an endpoint for each site")
    (made,) = plans
    mpi = made.executor_class == "MPIExecutor"
    engine = {"type": "GlobusMPIEngine" if mpi else "GlobusComputeEngine", **made.executor}
    engine |= {name: made.config[name] for name in ("strategy", "max_idletime")}
    provider = {"type": f"Psij{made.provider_class.__name__}", **made.provider}
    return f"engine:\n{_lines(engine, 2)}  provider:\n{_lines(provider, 4)}"


def _lines(values: Mapping[str, Any], indent: int) -> str:
    """JSON's scalars and lists are YAML's too."""
    return "".join(
        f"{' ' * indent}{name}: {json.dumps(_plain(value))}\n" for name, value in values.items() if value is not None
    )
