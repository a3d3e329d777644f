"""Torque's parameters; the script itself is job.sh.j2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from psij_parsl.platforms.templates.parameters import Parameter
from psij_parsl.platforms.templates.template import JobTemplate, Refuse
from psij_parsl.providers._pbs_family import jobs as family
from psij_parsl.validators import list_of, matching, positive_int, word

_JOB_ID = re.compile(r"\d+(\[\d*\])?(\.[\w.-]+)?")


def resource(value: object) -> str:
    """A resource of the whole job, `name=value`, as `-l` takes it."""
    from .directives import TABLE

    return family.resource(value, TABLE, "pmem=2gb")


class TorqueTemplate(JobTemplate):
    """The job script's `#PBS` lines."""

    template_file = "job.sh.j2"
    log_folders = r"[A-Za-z0-9_./+@=-]+"  # the node's daemon expands the path as a shell does; a colon ends a host
    optional_params = (
        Parameter("ppn", None, [positive_int], "cores to ask for on each node (default: those of the ranks)"),
        Parameter("gpus", None, [positive_int], "GPUs to ask for on each node (default: those of the ranks)"),
        Parameter(
            "features", (), [list_of(matching(r"[A-Za-z]\w*", "a name"))], "properties of each node, e.g. bigmem"
        ),
        Parameter("resources", (), [list_of(resource)], "further resources of the job, each a line -l name=value"),
        Parameter("slots", None, [positive_int], "how many elements of an array may run at a time"),
        *family.PARAMETERS,
        Parameter("group_list", None, [matching(r"[A-Za-z0-9_.+-]+", "a group")], "group that the job runs as"),
    )
    refusals = (
        Refuse(
            lambda asked: "@" in str(asked.get("queue") or ""),
            "has no queue {queue}: it must be a queue of the server that is asked for its jobs",
            "set PBS_DEFAULT to the server's name in the environment, and leave out @ and what follows",
        ),
        Refuse(
            lambda asked: asked.get("slots") and not asked.get("array"),
            "limits to {slots} at a time the elements of an array, and this job is none",
            "leave slots out",
        ),
    )

    @staticmethod
    def directive_quote(text: str) -> str:
        """As in the base class; to qsub's parser an array's id is plain, too, and so is a priority below 0."""
        word(re.sub(r"^-(?=\d+$)|(?<=\d)\[\d*\]", "", text))
        return text

    @classmethod
    def render(cls, *, given: Mapping[str, Any] | None = None, **parameters: Any) -> str:
        """As in the base class. The dependencies become one text, as qsub takes them."""
        fields = dict(given or {})
        if fields.get("after"):
            fields["after"] = [depend(fields["after"])]
        return super().render(given=fields, **parameters)


def depend(after: list[str]) -> str:
    """The dependencies as Torque takes them, which has kinds of its own for arrays: see `_pbs_family`."""
    from .directives import OF_ARRAYS

    return family.depend(after, "Torque", _JOB_ID, lambda kind, job_id: OF_ARRAYS[kind] if "[]" in job_id else kind)
