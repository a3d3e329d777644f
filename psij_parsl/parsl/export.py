"""Export of a Parsl configuration: as Python that can be pasted, and as YAML for a Globus Compute endpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..sites import Site
from .config import ConfigPlan


def python(plan: ConfigPlan) -> str:
    """A module whose `config` is what `parsl_config` would have returned."""
    name = plan.provider_class.__name__
    return f"""from parsl.config import Config
from parsl.executors import {plan.executor_class}

from psij_parsl.parsl import consecutive_failures, interchange
from psij_parsl.providers import {name}

executor = {plan.executor_class}(
{_arguments(plan.executor, 4)}
    block_error_handler=consecutive_failures,
    provider={name}(
{_arguments(plan.provider, 8)}
    ),
)
executor.interchange_launch_cmd = interchange.command()  # it ends with the workflow

config = Config(
    executors=[executor],
{_arguments(plan.config, 4)}
)
"""


def _arguments(values: Mapping[str, Any], indent: int) -> str:
    return "\n".join(f"{' ' * indent}{name}={_plain(value)!r}," for name, value in values.items())


def _plain(value: Any) -> Any:
    """A site by its name."""
    return value.name if isinstance(value, Site) else value


def globus(plan: ConfigPlan) -> str:
    """The engine of a Globus Compute endpoint, whose process has called `psij_parsl.parsl.register()`."""
    mpi = plan.executor_class == "MPIExecutor"
    engine = {"type": "GlobusMPIEngine" if mpi else "GlobusComputeEngine", **plan.executor}
    engine |= {name: plan.config[name] for name in ("strategy", "max_idletime")}
    provider = {"type": f"Psij{plan.provider_class.__name__}", **plan.provider}
    return f"engine:\n{_lines(engine, 2)}  provider:\n{_lines(provider, 4)}"


def _lines(values: Mapping[str, Any], indent: int) -> str:
    """JSON's scalars and lists are YAML's too."""
    return "".join(
        f"{' ' * indent}{name}: {json.dumps(_plain(value))}\n" for name, value in values.items() if value is not None
    )
