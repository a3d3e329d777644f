"""psij-parsl: one job description for every supercomputer.

The public names are loaded when they are first used; importing the package itself imports nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch import BatchSchedulerExecutor as BatchSchedulerExecutor
    from .errors import Error as Error
    from .errors import JobFailed as JobFailed
    from .executor import JobExecutor as JobExecutor
    from .executor import Submission as Submission
    from .job import Job as Job
    from .job import Resources as Resources
    from .mpirun import MPIRun as MPIRun
    from .parameters import Parameter as Parameter
    from .platform import Platform as Platform
    from .resources import Node as Node
    from .resources import NodeResources as NodeResources
    from .scheduler import Scheduler as Scheduler
    from .signals import register_handlers as register_handlers
    from .signals import should_exit as should_exit
    from .sites import find as site  # noqa: F401 - a public name, see _WHERE
    from .states import EndReason as EndReason
    from .states import JobState as JobState
    from .states import JobStatus as JobStatus
    from .template import JobTemplate as JobTemplate

__version__ = "0.1.0"

_WHERE = {
    "BatchSchedulerExecutor": "batch",
    "EndReason": "states",
    "Error": "errors",
    "Job": "job",
    "JobExecutor": "executor",
    "JobFailed": "errors",
    "JobState": "states",
    "JobStatus": "states",
    "JobTemplate": "template",
    "MPIRun": "mpirun",
    "Node": "resources",
    "NodeResources": "resources",
    "Parameter": "parameters",
    "Platform": "platform",
    "Resources": "job",
    "Scheduler": "scheduler",
    "Submission": "executor",
    "register_handlers": "signals",
    "should_exit": "signals",
    "site": "sites",
}
_CALLED = {"site": "find"}  # what a name is called in its module, where that is another one
__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_WHERE[name]}", __name__), _CALLED.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
