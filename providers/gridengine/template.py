"""Grid Engine's parameters; the script itself is job.sh.j2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.templates.parameters import Parameter
from psij_parsl.platforms.templates.template import JobTemplate, Refuse
from psij_parsl.platforms.tools import array_range
from psij_parsl.validators import list_of, matching, one_of, positive_int, str2bool, word

_RESOURCE = matching(r"[A-Za-z]\w*", "the name of a resource; `qconf -sc` lists them")


def resource(value: object) -> str:
    """A resource of each slot, `name=value` or `name`, as `-l` takes it."""
    from .directives import TABLE

    text = str(value)
    if not re.fullmatch(r"[A-Za-z]\w*(=[A-Za-z0-9_.:+@%/*?!|&-]+)?", text):
        raise ValueError("must be name=value in plain characters, such as arch=lx-amd64")
    name = text.partition("=")[0]
    option = TABLE.option(f"-l {name}")
    if option is not None and option.parameter != "resources":
        raise ValueError(f"must not say {name}: {option.way}")
    return text


def _says(asked: Mapping[str, Any], name: str) -> bool:
    """Whether one of `resources` is this one, by any of its names."""
    from .directives import TABLE

    option = TABLE.option(f"-l {name}")
    names = [f"-l {name}"] if option is None else option.names
    return any(f"-l {said.partition('=')[0]}" in names for said in asked["resources"])


def _slots(asked: Mapping[str, Any]) -> int:
    """The slots on each node."""
    of_several = asked["pe_slots_per_node"] if asked["num_nodes"] > 1 else None
    return int(of_several or asked["slots_per_node"] or asked["ranks_per_node"] * asked["cpus_per_rank"])


def _gpus(asked: Mapping[str, Any]) -> int:
    """The GPUs on each node."""
    return int(asked["gpus_per_node"] or asked["gpus_on_node"])


def _gpus_do_not_divide(asked: Mapping[str, Any]) -> bool:
    return bool(asked["gpu_resource"] and asked["gpus_counted_by"] == "slot" and _gpus(asked) % _slots(asked))


class GridEngineTemplate(JobTemplate):
    """The job script's `#$` lines."""

    template_file = "job.sh.j2"
    log_folders = r"[^,:]+"  # a comma begins another path, and a colon ends a host
    refusals = (
        Refuse(
            lambda asked: re.search(r"[/:@%,]", str(asked.get("project") or "")),
            "has no project={project!r}: a name must not hold any of / : @ % ,",
            "`qconf -sprjl` lists the projects",
        ),
        Refuse(
            lambda asked: (
                (asked["num_nodes"] > 1 or _slots(asked) > 1)
                and not (asked["pe"] or (asked["num_nodes"] == 1 and asked["node_pe"]))
            ),
            "has more than one slot only in a parallel environment, which is not named",
            "`qconf -spl` lists those of this machine: -X pe=NAME",
            ("num_nodes", "ranks", "ranks_per_node", "cpus_per_rank"),
        ),
        Refuse(
            lambda asked: (
                asked["num_nodes"] > 1
                and 0 < (asked["pe_slots_per_node"] or 0) < asked["ranks_per_node"] * asked["cpus_per_rank"]
            ),
            "has {pe_slots_per_node} slots on each of several nodes, by the rule of its environment, and the job needs more",
            "fewer ranks on each node, on more nodes; or another environment: -X pe=NAME -X pe_slots_per_node=NUMBER",
        ),
        Refuse(
            lambda asked: _gpus(asked) and not asked["gpu_resource"],
            "has no resource for GPUs that is the same everywhere",
            "`qconf -sc` lists those of this machine: -X gpu_resource=NAME",
        ),
        Refuse(
            _gpus_do_not_divide,
            "asks for GPUs by the slot, and the GPUs of a node are no multiple of its slots",
            "-X gpus_counted_by=job or node, where the site counts them so (`qconf -sc`: consumable JOB or HOST)",
        ),
        Refuse(
            lambda asked: (
                (asked["memory_per_node"] or asked["memory_per_core"]) and _says(asked, asked["memory_resource"])
            ),
            "is asked for {memory_resource} by --mem, and must not be a second time by resources",
            "leave out one of them",
        ),
        Refuse(
            lambda asked: _gpus(asked) and _says(asked, asked["gpu_resource"]),
            "is asked for {gpu_resource} by the number of GPUs, and must not be a second time by resources",
            "leave out one of them",
        ),
        Refuse(
            lambda asked: asked.get("queue") and _says(asked, "qname"),
            "is asked for the queue {queue}, and must not be for a second one by resources",
            "leave out one of them",
        ),
    )
    optional_params = (
        Parameter("pe", None, [word], "parallel environment; its rule gives the job its nodes: `qconf -sp NAME`"),
        Parameter("node_pe", None, [word], "parallel environment of jobs on one node, in place of pe"),
        Parameter(
            "slots_per_node", None, [positive_int], "slots to ask for on each node (default: the cores of its ranks)"
        ),
        Parameter(
            "pe_slots_per_node",
            None,
            [positive_int],
            "slots to ask for on each of several nodes, by the rule of pe (default: slots_per_node)",
        ),
        Parameter(
            "gpus_per_node", None, [positive_int], "GPUs to ask for on each node (default: those of its ranks)"
        ),
        Parameter("memory_resource", "h_vmem", [_RESOURCE], "resource for memory, of which each slot has its part"),
        Parameter("gpu_resource", None, [_RESOURCE], "resource for GPUs, e.g. gpu or ngpus"),
        Parameter("gpus_counted_by", "slot", [one_of("slot", "node", "job")], "what that resource is an amount for"),
        Parameter("resources", (), [list_of(resource)], "further resources, each a line -l name=value"),
        Parameter("reserve", False, [str2bool], "whether resources are reserved for it, so that smaller jobs wait"),
        Parameter("rerunnable", None, [str2bool], "whether it may be started again after its node died"),
        Parameter("priority", None, [matching(r"-?\d{1,4}", "a whole number, -1023 to 1024")], "among your own jobs"),
        Parameter("max_running", None, [positive_int], "how many elements of an array may run at once"),
        Parameter(
            "mail_events",
            None,
            [matching(r"n|[beas]{1,4}", "n, or letters of beas")],
            "when mail is sent, e.g. ae: a aborted, b begun, e ended, s suspended",
        ),
        Parameter("mail_user", None, [matching(r"[\w.+@,-]+", "addresses")], "whom it is sent to"),
    )

    @staticmethod
    def directive_quote(text: str) -> str:
        """As in the base class: qsub's parser has no quotes for every text. A negative number is no option."""
        return text if re.fullmatch(r"-\d+", text) else word(text)

    @classmethod
    def render(cls, *, given: Mapping[str, Any] | None = None, **parameters: Any) -> str:
        """As in the base class. The array indices become one range from 1, the dependencies the numbers of jobs."""
        fields = dict(given or {})
        if fields.get("array"):
            fields["array"] = array_range(fields["array"], base=1)
        if fields.get("after"):
            by_element = [text for text in fields["after"] if text.startswith("afteranycorr:")]
            others = [text for text in fields["after"] if text not in by_element]
            fields["after"] = [",".join(dict.fromkeys(map(_number, texts))) for texts in (others, by_element)]
        return super().render(given=fields, **parameters)


def _number(after: str) -> str:
    """The number of the job in `afterany:123.4`: one task of an array cannot be waited for, all of them can."""
    number, _, task = after.rpartition(":")[2].partition(".")
    if not re.fullmatch(r"\d+", number) or not re.fullmatch(r"\d*", task):
        raise InvalidRequest(
            f"after={after!r} is refused: it must be the number of a job of Grid Engine, such as 123"
        )
    return number
