"""OAR's parameters; the script itself is job.sh.j2."""

from __future__ import annotations

from psij_parsl.platforms.templates.parameters import Parameter
from psij_parsl.platforms.templates.template import JobTemplate, Refuse
from psij_parsl.validators import list_of, matching, positive_int, str2bool, word

#: Types of jobs that are refused, and why.
TYPES = {
    "idempotent": "would have OAR submit the job again under another id, which our claim on the job ends at once",
    "noop": "never starts the script",
    "desktop_computing": "starts the script where the job's folder is not",
}
_PROPERTY = r"[A-Za-z_]\w*"


def job_type(value: object) -> str:
    """A type of jobs for `-t`, such as besteffort or inner=702."""
    text = word(value)
    if text.partition("=")[0] in TYPES:
        raise ValueError(f"must not be {text}, which {TYPES[text.partition('=')[0]]}")
    return text


def properties(value: object) -> str:
    """A condition of SQL on the properties of resources, on one line. OAR takes the line as it stands."""
    rule = matching(r"[A-Za-z_('][\w '\".,()<>=!%+*/-]*[\w')\"]", "a condition such as cluster='a' AND memnode>64000")
    text = str(rule(value))
    if "--" in text or "/*" in text:
        raise ValueError("must not hold a comment of SQL")
    if text.count("'") % 2 or text.count('"') % 2 or text.count("(") != text.count(")"):
        raise ValueError("must close its quotes and brackets")
    return text


class OARTemplate(JobTemplate):
    """The job script's `#OAR` lines: OAR takes the rest of a line as it stands, and knows no quotes."""

    template_file = "job.sh.j2"
    log_folders = r"[A-Za-z0-9_./-]+"  # OAR refuses other characters in that path, and % begins a placeholder
    optional_params = (
        Parameter("exclusive", False, [str2bool], "whole nodes, with all their cores"),
        Parameter(
            "core_property",
            "resource_id",
            [matching(_PROPERTY, "a property of resources")],
            "what a core is called in `-l`: core on most sites; resource_id is there on all",
        ),
        Parameter(
            "gpu_property",
            "gpu",
            [matching(_PROPERTY, "a property of resources")],
            "what a GPU is called in `-l`, where the site has any",
        ),
        Parameter("gpus_per_node", None, [positive_int], "GPUs on each node (default: those of the ranks)"),
        Parameter(
            "memory_property",
            None,
            [matching(_PROPERTY, "a property of resources")],
            "which property tells a node's memory in MB, e.g. memnode, where the site has one",
        ),
        Parameter(
            "properties", None, [properties], "condition on the nodes, e.g. cluster='a' AND cputype='b'", raw=True
        ),
        Parameter("types", (), [list_of(job_type)], "types of the job (-t), e.g. besteffort"),
        Parameter("checkpoint", None, [positive_int], "seconds before the wall time's end at which it gets USR2"),
        Parameter(
            "notify",
            None,
            [matching(r"mail:[\w.+@-]+|exec:[\w./-]+", "mail:ADDRESS or exec:PROGRAM")],
            "whom OAR tells of its states, e.g. mail:me@lab.org",
        ),
    )
    refusals = (
        Refuse(
            lambda asked: asked["memory_per_node"] and not asked["memory_property"],
            "cannot ask for memory where its site gives nodes no property for it",
            "say it with -X memory_property=NAME; a job has the memory of its cores, or with -X exclusive=yes the node's",
        ),
    )
