"""What a platform is made of: its Scheduler, its JobTemplate, the descriptor, and the registry that finds it.

Authors of platforms import these names from here; each is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy_names import lazy_names

if TYPE_CHECKING:
    from ..system.commands import Output as Output
    from .platform import Platform as Platform
    from .queries import UNSTARTED as UNSTARTED
    from .queries import UNSTARTED_ELEMENTS as UNSTARTED_ELEMENTS
    from .queries import Accepted as Accepted
    from .queries import Answer as Answer
    from .queries import ErrorPattern as ErrorPattern
    from .queries import Query as Query
    from .queries import Queue as Queue
    from .queries import SchedulerRecord as SchedulerRecord
    from .queries import Wish as Wish
    from .scheduler import Scheduler as Scheduler
    from .templates.parameters import Parameter as Parameter
    from .templates.parameters import str2bool as str2bool
    from .templates.template import JobTemplate as JobTemplate
    from .templates.template import Refuse as Refuse
    from .tools import UNREACHABLE as UNREACHABLE
    from .tools import array_range as array_range

_WHERE = {
    "Accepted": ".queries",
    "Answer": ".queries",
    "ErrorPattern": ".queries",
    "JobTemplate": ".templates.template",
    "Output": "..system.commands",
    "Parameter": ".templates.parameters",
    "Platform": ".platform",
    "Query": ".queries",
    "Queue": ".queries",
    "Refuse": ".templates.template",
    "Scheduler": ".scheduler",
    "SchedulerRecord": ".queries",
    "UNREACHABLE": ".tools",
    "UNSTARTED": ".queries",
    "UNSTARTED_ELEMENTS": ".queries",
    "Wish": ".queries",
    "array_range": ".tools",
    "str2bool": ".templates.parameters",
}
__all__ = [*_WHERE]
__getattr__ = lazy_names(__name__, _WHERE)


def __dir__() -> list[str]:
    return sorted(__all__)
