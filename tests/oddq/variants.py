"""The platform of docs/how-to/odd-managers.md for other kinds of oddq. It lies beside that page's modules when it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from psij_parsl.platforms import Query, Scheduler, SchedulerRecord, array_range

from .scheduler import OddqScheduler, blocks, read_job
from .template import OddqTemplate


class FileScheduler(OddqScheduler):
    """It takes an executable file; an array is a range from 1, whose elements are called 17.1, 17.2, ..."""

    script_on_stdin = False
    executable_script = True
    element_ids = Scheduler.element_ids

    def submit_argv(self, script: Path) -> Sequence[str]:
        return ["oddq-sub", str(script)]

    def element(self, job_id: str, index: int) -> str:
        return f"{job_id}.{index + 1}"

    def whole(self, element_id: str) -> str:
        return element_id.partition(".")[0]

    def live(self) -> Query:
        return Query(["oddq-stat"], read_element, blocks)

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        return (Query(["oddq-hist"], read_element, blocks),)


def read_element(block: str) -> SchedulerRecord:
    """As for the other, but the id tells all of an element."""
    return read_job(block)._replace(whole="", place=None)


class RangeTemplate(OddqTemplate):
    """An array as one range; its name is the job's own, and the tag is nowhere but in the log's path."""

    template_str = """{% extends "parent" %}
{% block directives %}
#ODD name {{ job_name }}
#ODD output {{ log }}
#ODD time {{ wall_time_min | seconds }}
#ODD nodes {{ num_nodes }}
{% if queue %}
#ODD queue {{ queue }}
{% endif %}
{% if project %}
#ODD project {{ project }}
{% endif %}
{% for each in after %}
#ODD after {{ each.split(":")[1] }}
{% endfor %}
{% if array %}
#ODD array {{ array.split(" ")[0] }}
{% endif %}
{% if hold %}
#ODD hold yes
{% endif %}
{% endblock %}
{% block native_id %}"$ODDQ_JOB_ID"
{% if " " in array %}
case ,{{ array.split(" ")[1] }}, in
  *,"$ODDQ_TASK",*) ;;
  *) exit 0 ;;
esac
{% endif %}
{% endblock %}
{% block array_index %}"${ODDQ_TASK:+$((ODDQ_TASK - 1))}"{% endblock %}
"""

    @classmethod
    def render(cls, *, given: Mapping[str, Any] | None = None, **parameters: Any) -> str:
        words = dict(given or {})
        if words.get("array"):
            words["array"] = array_range(words["array"], base=1)
        return super().render(given=words, **parameters)


class TimeScheduler(FileScheduler):
    """It gives no tag back, and no path: a record is known by its time of submission."""

    history_is_dear = False
    dependencies = ("afterany", "after")


class OnlyWellScheduler(OddqScheduler):
    """It lets a job follow another that ended well, and knows nothing else."""

    dependencies = ("afterok",)
