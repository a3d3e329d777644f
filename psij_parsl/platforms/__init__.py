"""What a platform is made of: its Scheduler, its JobTemplate, the descriptor, and the registry that finds it.

Authors of platforms import these names from here; each is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..system.commands import Output as Output
    from .platform import Platform as Platform
    from .scheduler import UNSTARTED as UNSTARTED
    from .scheduler import UNSTARTED_ELEMENTS as UNSTARTED_ELEMENTS
    from .scheduler import Accepted as Accepted
    from .scheduler import Answer as Answer
    from .scheduler import ErrorPattern as ErrorPattern
    from .scheduler import Query as Query
    from .scheduler import Queue as Queue
    from .scheduler import Scheduler as Scheduler
    from .scheduler import SchedulerRecord as SchedulerRecord
    from .scheduler import Wish as Wish
    from .templates.parameters import Parameter as Parameter
    from .templates.parameters import str2bool as str2bool
    from .templates.template import JobTemplate as JobTemplate
    from .templates.template import Refuse as Refuse
    from .tools import UNREACHABLE as UNREACHABLE
    from .tools import array_range as array_range

_WHERE = {
    "Accepted": ".scheduler",
    "Answer": ".scheduler",
    "ErrorPattern": ".scheduler",
    "JobTemplate": ".templates.template",
    "Output": "..system.commands",
    "Parameter": ".templates.parameters",
    "Platform": ".platform",
    "Query": ".scheduler",
    "Queue": ".scheduler",
    "Refuse": ".templates.template",
    "Scheduler": ".scheduler",
    "SchedulerRecord": ".scheduler",
    "UNREACHABLE": ".tools",
    "UNSTARTED": ".scheduler",
    "UNSTARTED_ELEMENTS": ".scheduler",
    "Wish": ".scheduler",
    "array_range": ".tools",
    "str2bool": ".templates.parameters",
}
__all__ = [*_WHERE]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
