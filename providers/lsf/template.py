"""LSF's parameters; the script itself is job.sh.j2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from psij_parsl.dependency import BY_ELEMENT
from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.templates.parameters import Parameter
from psij_parsl.platforms.templates.template import JobTemplate, Refuse
from psij_parsl.validators import list_of, matching, non_negative_int, one_of, positive_int, str2bool, word

_EXPRESSION = re.compile(r"[\w.:=<>!&|()\[\]*+,/@% -]+", re.ASCII)
_PLAIN = re.compile(r"[\w.:=+,/@%-]+", re.ASCII)
_REQUIREMENT = r"[a-z]+\[[\w.:=<>!&|()*+,/ -]+\](:\d+)?"
_GPU_OPTIONS = r"[a-z_]+=[\w,./!-]+(:[a-z_]+=[\w,./!-]+)*"
#: The kinds of dependencies: ours -> LSF's.
CONDITIONS: Mapping[str, str] = {"afterok": "done", "afterany": "ended", "afternotok": "exit", "after": "started"}
_BY_ELEMENT = "done({0}[*])"
_SECTION = matching(_REQUIREMENT, "a section such as select[type==any]")


def requirement(value: object) -> str:
    """A section of `-R`. That of hosts has no blanks, for it is compared with ours."""
    text = str(_SECTION(value))
    return text.replace(" ", "") if text.startswith("span[") else text


def _in_slots(asked: Mapping[str, Any]) -> bool:
    return bool(asked["nodes_option"] == "slots")


def _other_span(asked: Mapping[str, Any]) -> bool:
    """Whether one of the requirements spreads the job over hosts in another way than its nodes and ranks do."""
    slots = asked["slots_per_node"] or asked["ranks_per_node"] * asked["cpus_per_rank"] * asked["threads_per_core"]
    same = {f"span[ptile={slots}]", *(["span[hosts=1]"] if asked["num_nodes"] == 1 else [])}
    return any(one.startswith("span[") and one not in same for one in asked["requirements"])


def _reserves(asked: Mapping[str, Any], resource: str) -> bool:
    """Whether one of the requirements reserves what this pattern is the name of."""
    return any(re.match(rf"rusage\[(.*[^\w.])?{resource}=", one) for one in asked["requirements"])


class LSFTemplate(JobTemplate):
    """The job script's `#BSUB` lines."""

    template_file = "job.sh.j2"
    log_folders = r"[\w./:=@,+-]+"  # % begins a placeholder of LSF
    optional_params = (
        Parameter(
            "nodes_option",
            "slots",
            [one_of("slots", "nnodes")],
            "how nodes are asked for: as slots, so many on each host, or with -nnodes (Summit and its like: CSM)",
        ),
        Parameter("slots_per_node", None, [positive_int], "slots on each node (default: the cores of the ranks)"),
        Parameter("exclusive", False, [str2bool], "hosts for this job alone"),
        Parameter("requirements", (), [list_of(requirement)], "further resource requirements, each a line -R"),
        Parameter(
            "memory_for",
            "host",
            [one_of("host", "slot")],
            "what an amount of memory is for at this site; slot: RESOURCE_RESERVE_PER_TASK=Y",
        ),
        Parameter(
            "memory_unit",
            "named",
            [one_of("named", "KB", "MB", "GB")],
            "LSF_UNIT_FOR_LIMITS, for versions before 10.1.0.2, which take bare numbers only",
        ),
        Parameter(
            "gpus_per_node", None, [positive_int], "GPUs to ask for on each node (default: those of the ranks)"
        ),
        Parameter(
            "gpu_options",
            "j_exclusive=yes",
            [matching(_GPU_OPTIONS, "options such as mode=shared:gmem=10G")],
            "what -gpu says besides their number",
        ),
        Parameter(
            "charge_to",
            "project",
            [one_of("project", "group")],
            "what the project is to LSF: its project (-P) or its user group (-G)",
        ),
        Parameter("application", None, [word], "application profile"),
        Parameter("reservation", None, [word], "advance reservation"),
        Parameter("rerunnable", None, [str2bool], "whether LSF may start it again after its host failed"),
        Parameter("requeue_codes", (), [list_of(non_negative_int)], "exit codes with which it is to be run again"),
        Parameter("alloc_flags", (), [list_of(word)], "CSM: flags of the allocation, e.g. gpumps or smt4"),
    )
    refusals = (
        Refuse(
            lambda asked: asked["nodes_left"] and asked["num_ranks"] > 1 and asked["gpus_on_node"],
            "gives GPUs to hosts, whose number is left to it",
            "say -N",
        ),
        Refuse(
            lambda asked: asked["nodes_left"] and (asked["nodes_option"] == "nnodes" or asked["cpus_per_rank"] > 1),
            "spreads slots over hosts without regard to ranks of several cores",
            "say -N, or ranks of one core",
        ),
        Refuse(
            lambda asked: asked["nodes_option"] == "nnodes" and asked.get("memory_per_node"),
            "gives whole nodes here, with all their memory",
            "leave --mem out",
        ),
        Refuse(
            lambda asked: asked["nodes_option"] == "nnodes" and (asked["exclusive"] or asked["slots_per_node"]),
            "gives whole nodes here",
            "leave exclusive and slots_per_node out",
        ),
        Refuse(
            lambda asked: _in_slots(asked) and _other_span(asked),
            "has the hosts that nodes and ranks ask for, and must not be asked for others by requirements",
            "leave span[...] out: -N and --ntasks-per-node say it",
        ),
        Refuse(
            lambda asked: _in_slots(asked) and asked.get("memory_per_node") and _reserves(asked, "mem"),
            "is asked for memory by --mem, and must not be a second time by requirements",
            "leave out one of them",
        ),
        Refuse(
            lambda asked: (
                _in_slots(asked)
                and (asked["gpus_per_node"] or asked["gpus_on_node"])
                and _reserves(asked, r"ngpus_\w+")
            ),
            "is asked for GPUs by their number, and must not be a second time by requirements",
            "leave out one of them",
        ),
    )

    @staticmethod
    def directive_quote(text: str) -> str:
        """A plain word as it is, an expression of LSF's in double quotes. No shell reads the line."""
        return f'"{text}"' if _EXPRESSION.fullmatch(text) and not _PLAIN.fullmatch(text) else word(text)

    @classmethod
    def render(cls, *, given: Mapping[str, Any] | None = None, **parameters: Any) -> str:
        """As in the base class. Array indices are counted from 1, and dependencies become one expression.

        bsub reads `#BSUB` lines in the whole script. So a line of an argument that looks like one is broken up, by
        two quotes inside its own quotes, which change nothing for the shell.
        """
        fields = dict(given or {})
        if fields.get("array"):
            fields["array"] = re.sub(r"\d+", lambda number: str(int(number[0]) + 1), fields["array"])
        if fields.get("after"):
            fields["after"] = [*map(condition, fields["after"])]
        directives, mark, body = super().render(given=fields, **parameters).partition("# ---- your job ----")
        return f"{directives}{mark}" + re.sub(r"^(\s*)#(?=[ \t]*BSUB)", r"\1''#", body, flags=re.MULTILINE)


def condition(after: str) -> str:
    """`done(123)` from `afterok:123`. Raises `InvalidRequest` for a text that is no id."""
    kind, _, job_id = after.rpartition(":")
    if not re.fullmatch(r"\d+(\[\d+\])?", job_id):
        raise InvalidRequest(
            f"after={job_id!r} is refused: it must be the id of a job of LSF, such as 123 or 123[4]",
            hint="several dependencies are given one by one",
        )
    if kind == BY_ELEMENT:
        return _BY_ELEMENT.format(job_id)
    return f"{CONDITIONS[kind or 'afterok']}({job_id})"
