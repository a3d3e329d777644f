"""PBS Pro's parameters; the script itself is job.sh.j2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.templates.parameters import Parameter
from psij_parsl.platforms.templates.quoting import shell_quote
from psij_parsl.platforms.templates.template import JobTemplate, Refuse
from psij_parsl.platforms.tools import array_range
from psij_parsl.providers._pbs_family import jobs as family
from psij_parsl.validators import list_of, matching, one_of, positive_int, str2bool

_GROUPS = r"[A-Za-z0-9_.+-]+(@[A-Za-z0-9.-]+)?(,[A-Za-z0-9_.+-]+@[A-Za-z0-9.-]+)*"  # -W takes `name=` after a comma
_JOB_ID = re.compile(r"\d+(\[\d*\])?(\.[\w.-]+)?(@[\w.-]+)?")
_PLACE = r"(free|pack|scatter|vscatter)(:(excl|exclhost|shared))?(:group=\w+)?"


def resource(value: object) -> str:
    """A resource of the whole job, `name=value`, as `-l` takes it."""
    from .directives import TABLE

    return family.resource(value, TABLE, "system=polaris")


def chunk_resource(value: object) -> str:
    """A resource of each chunk, `name=value`."""
    text = resource(value)
    if "+" in text:
        raise ValueError("must not hold +, which begins another chunk")
    if ":" in text:
        raise ValueError("must not hold :, which begins another resource")
    return text


class PBSProTemplate(JobTemplate):
    """The job script's `#PBS` lines."""

    template_file = "job.sh.j2"
    log_folders = r"[^^:\x80-\U0010ffff]+"  # ^ begins a placeholder of PBS, and a colon ends a host
    optional_params = (
        Parameter(
            "place",
            "scatter",
            [matching(_PLACE, "a placement such as scatter or pack:excl")],
            "how chunks are spread over hosts; scatter: each on a host of its own",
        ),
        Parameter("exclusive", False, [str2bool], "hosts for this job alone"),
        Parameter("ncpus", None, [positive_int], "CPUs to ask for on each node (default: those of the ranks)"),
        Parameter("ngpus", None, [positive_int], "GPUs to ask for on each node (default: those of the ranks)"),
        Parameter("chunk", (), [list_of(chunk_resource)], "further resources of each node, e.g. system=polaris"),
        Parameter("resources", (), [list_of(resource)], "further resources of the job, each a line -l name=value"),
        Parameter(
            "filesystems",
            None,
            [matching(r"\w+(:\w+)*", "names with colons between, e.g. home:eagle")],
            "file systems that the job cannot do without, e.g. home:eagle",
        ),
        Parameter(
            "charge_to",
            "account",
            [one_of("account", "project")],
            "what the project is to PBS: its account (-A) or its project (-P)",
        ),
        *family.PARAMETERS,
        Parameter(
            "group_list", None, [matching(_GROUPS, "groups, e.g. chem or chem@host")], "group that the job runs as"
        ),
    )

    refusals = (
        Refuse(
            lambda asked: (
                asked["nodes_left"] and asked["ranks"] and (asked["gpus_per_node"] or asked["memory_per_node"])
            ),
            "places each rank by itself where the number of nodes is left to it, and knows nothing of what a node is to have",
            "say -N; or the GPUs of each rank, and the memory of each core",
            ("gpus_per_node", "memory_per_node"),
        ),
    )

    @staticmethod
    def directive_quote(text: str) -> str:
        """Quote as for a shell: qsub's parser reads single quotes so, and no other way was seen to keep every text."""
        return shell_quote(text)

    @classmethod
    def render(cls, *, given: Mapping[str, Any] | None = None, **parameters: Any) -> str:
        """As in the base class. The array indices become one range, the dependencies one text, as qsub takes them."""
        refuse_other_server(parameters.get("queue"))
        fields = dict(given or {})
        if fields.get("array"):
            fields["array"] = array_range(fields["array"])
        if fields.get("after"):
            fields["after"] = [depend(fields["after"])]
        return super().render(given=fields, **parameters)


def refuse_other_server(queue: object) -> None:
    """Raise `InvalidRequest` for a queue of another server, which would not be asked about the job."""
    name, at, server = str(queue or "").partition("@")
    if at:
        raise InvalidRequest(
            f"queue={queue!r} is refused: it must be a queue of the server that is asked for its jobs",
            hint=f"set PBS_SERVER={server or 'NAME'} in the environment, and say {name or 'the queue'}",
        )


def depend(after: list[str]) -> str:
    """The dependencies as PBS takes them: see `_pbs_family`."""
    return family.depend(after, "PBS", _JOB_ID, lambda kind, _: kind)
