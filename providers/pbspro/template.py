"""PBS Pro's parameters; the script itself is job.sh.j2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.templates.parameters import Parameter
from psij_parsl.platforms.templates.quoting import shell_quote
from psij_parsl.platforms.templates.template import JobTemplate
from psij_parsl.platforms.templates.validators import list_of, matching, one_of, positive_int, str2bool
from psij_parsl.platforms.tools import array_range

#: Resources that the script sets itself; a second line for one would override it, or qsub would refuse the script.
OURS = frozenset(("walltime", "select", "place", "nodes", "ncpus", "mem", "filesystems"))
_PAIR = re.compile(r"([A-Za-z]\w*)=([A-Za-z0-9_.:+@%/-]+)")
_GROUPS = r"[A-Za-z0-9_.+-]+(@[A-Za-z0-9.-]+)?(,[A-Za-z0-9_.+-]+@[A-Za-z0-9.-]+)*"  # -W takes `name=` after a comma
_JOB_ID = re.compile(r"\d+(\[\d*\])?(\.[\w.-]+)?(@[\w.-]+)?")
_PLACE = r"(free|pack|scatter|vscatter)(:(excl|exclhost|shared))?(:group=\w+)?"


def resource(value: object) -> str:
    """A resource of the whole job, `name=value`, as `-l` takes it."""
    text = _pair(value)
    if text.partition("=")[0].lower() in OURS:  # to PBS, names are the same in any case
        raise ValueError(f"must not say {text.partition('=')[0]}, which has a flag or a parameter of its own")
    return text


def chunk_resource(value: object) -> str:
    """A resource of each chunk, `name=value`."""
    text = _pair(value)
    if text.partition("=")[0].lower() in ("ncpus", "mpiprocs", "ngpus", "mem"):
        raise ValueError(f"must not say {text.partition('=')[0]}, which comes from the job's shape")
    if "+" in text:
        raise ValueError("must not hold +, which begins another chunk")
    if ":" in text:
        raise ValueError("must not hold :, which begins another resource")
    return text


def _pair(value: object) -> str:
    if not _PAIR.fullmatch(str(value)):
        raise ValueError("must be name=value in plain characters, such as system=polaris")
    return str(value)


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
        Parameter("rerunnable", None, [str2bool], "whether PBS may start it again after its node died"),
        Parameter("priority", None, [matching(r"-?\d{1,4}", "a whole number, -1024 to 1023")], "among your own jobs"),
        Parameter(
            "group_list", None, [matching(_GROUPS, "groups, e.g. chem or chem@host")], "group that the job runs as"
        ),
        Parameter(
            "mail_events",
            None,
            [matching(r"n|[abe]{1,3}", "n, or letters of abe")],
            "when mail is sent, e.g. ae: a aborted, b begun, e ended",
        ),
        Parameter("mail_user", None, [matching(r"[\w.+@,-]+", "addresses")], "whom it is sent to"),
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
    """The dependencies as PBS takes them, each kind once: `afterok:1.server:2.server,afterany:3.server`.

    Raises `InvalidRequest` for a text that is no id: after a comma, `-W` takes further attributes.
    """
    kinds: dict[str, list[str]] = {}
    for text in after:
        kind, colon, job_id = text.partition(":")
        if not colon:
            kind, job_id = "afterok", text
        if not _JOB_ID.fullmatch(job_id):
            raise InvalidRequest(
                f"after={job_id!r} is refused: it must be the id of a job of PBS, such as 123.server",
                hint="several dependencies are given one by one",
            )
        kinds.setdefault(kind, []).append(job_id)
    return ",".join(":".join((kind, *ids)) for kind, ids in kinds.items())
