"""psij-parsl: one job description for every supercomputer.

The public names are loaded when they are first used; importing the package itself imports nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import parsl_config as parsl_config
    from .api import site as site
    from .errors import Error as Error
    from .errors import JobFailed as JobFailed
    from .job import Job as Job
    from .job_size import Resources as Resources
    from .jobs.batch import BatchSchedulerExecutor as BatchSchedulerExecutor
    from .jobs.executor import JobExecutor as JobExecutor
    from .jobs.executor import Submission as Submission
    from .jobs.waiting import as_completed as as_completed
    from .jobs.waiting import wait as wait
    from .platforms.platform import Platform as Platform
    from .platforms.scheduler import Scheduler as Scheduler
    from .platforms.templates.parameters import Parameter as Parameter
    from .platforms.templates.template import JobTemplate as JobTemplate
    from .platforms.usage import Usage as Usage
    from .resources import Node as Node
    from .resources import NodeResources as NodeResources
    from .runs.mpirun import MPIRun as MPIRun
    from .signals import register_handlers as register_handlers
    from .signals import should_exit as should_exit
    from .states import EndReason as EndReason
    from .states import JobState as JobState
    from .states import JobStatus as JobStatus

__version__ = "0.1.0"

_WHERE = {
    "BatchSchedulerExecutor": "jobs.batch",
    "EndReason": "states",
    "Error": "errors",
    "Job": "job",
    "JobExecutor": "jobs.executor",
    "JobFailed": "errors",
    "JobState": "states",
    "JobStatus": "states",
    "JobTemplate": "platforms.templates.template",
    "MPIRun": "runs.mpirun",
    "Node": "resources",
    "NodeResources": "resources",
    "Parameter": "platforms.templates.parameters",
    "Platform": "platforms.platform",
    "Resources": "job_size",
    "Scheduler": "platforms.scheduler",
    "Submission": "jobs.executor",
    "Usage": "platforms.usage",
    "as_completed": "jobs.waiting",
    "parsl_config": "api",
    "register_handlers": "signals",
    "should_exit": "signals",
    "site": "api",
    "wait": "jobs.waiting",
}
__all__ = [  # written out for type checkers
    "BatchSchedulerExecutor",
    "EndReason",
    "Error",
    "Job",
    "JobExecutor",
    "JobFailed",
    "JobState",
    "JobStatus",
    "JobTemplate",
    "MPIRun",
    "Node",
    "NodeResources",
    "Parameter",
    "Platform",
    "Resources",
    "Scheduler",
    "Submission",
    "Usage",
    "__version__",
    "as_completed",
    "parsl_config",
    "register_handlers",
    "should_exit",
    "site",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
