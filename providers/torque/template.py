"""Torque's parameters; the script itself is job.sh.j2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.templates.parameters import Parameter
from psij_parsl.platforms.templates.template import JobTemplate, Refuse
from psij_parsl.platforms.templates.validators import list_of, matching, positive_int, str2bool, word

#: Resources that the script sets itself; a second line for one would override it.
OURS = frozenset(("walltime", "nodes", "mem", "procs", "ncpus", "gpus"))
_JOB_ID = re.compile(r"\d+(\[\d*\])?(\.[\w.-]+)?")
#: The kinds of dependencies on a whole array.
_OF_ARRAYS = {
    "after": "afterstartarray",
    "afterok": "afterokarray",
    "afternotok": "afternotokarray",
    "afterany": "afteranyarray",
}


def resource(value: object) -> str:
    """A resource of the whole job, `name=value`, as `-l` takes it."""
    match = re.fullmatch(r"([A-Za-z]\w*)=([A-Za-z0-9_.:+@%/-]+)", str(value))
    if match is None:
        raise ValueError("must be name=value in plain characters, such as pmem=2gb")
    if match[1].lower() in OURS:
        raise ValueError(f"must not say {match[1]}, which has a flag or a parameter of its own")
    return match[0]


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
        Parameter("rerunnable", None, [str2bool], "whether Torque may start it again after its node died"),
        Parameter("priority", None, [matching(r"-?\d{1,4}", "a whole number, -1024 to 1023")], "among your own jobs"),
        Parameter("group_list", None, [matching(r"[A-Za-z0-9_.+-]+", "a group")], "group that the job runs as"),
        Parameter(
            "mail_events",
            None,
            [matching(r"n|[abe]{1,3}", "n, or letters of abe")],
            "when mail is sent, e.g. ae: a aborted, b begun, e ended",
        ),
        Parameter("mail_user", None, [matching(r"[\w.+@,-]+", "addresses")], "whom it is sent to"),
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
        """As in the base class; the brackets of an array's id, too, mean nothing else to qsub's parser."""
        word(re.sub(r"(?<=\d)\[\d*\]", "", text))
        return text

    @classmethod
    def render(cls, *, given: Mapping[str, Any] | None = None, **parameters: Any) -> str:
        """As in the base class. The dependencies become one text, as qsub takes them."""
        fields = dict(given or {})
        if fields.get("after"):
            fields["after"] = [depend(fields["after"])]
        return super().render(given=fields, **parameters)


def depend(after: list[str]) -> str:
    """The dependencies as Torque takes them, each kind once: `afterok:1.server:2.server,afterokarray:3[].server`.

    Raises `InvalidRequest` for a text that is no id: after a comma, `-W` takes further attributes.
    """
    kinds: dict[str, list[str]] = {}
    for text in after:
        kind, colon, job_id = text.partition(":")
        if not colon:
            kind, job_id = "afterok", text
        if not _JOB_ID.fullmatch(job_id):
            raise InvalidRequest(
                f"after={job_id!r} is refused: it must be the id of a job of Torque, such as 123.server",
                hint="several dependencies are given one by one",
            )
        kinds.setdefault(_OF_ARRAYS[kind] if "[]" in job_id else kind, []).append(job_id)
    return ",".join(":".join((kind, *ids)) for kind, ids in kinds.items())
