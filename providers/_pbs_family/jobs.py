"""Parameters, resources and dependencies of jobs, and what the family's logs tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.templates.parameters import Parameter
from psij_parsl.states import EndReason
from psij_parsl.validators import matching, str2bool

if TYPE_CHECKING:
    from psij_parsl.platforms.directives.table import DirectiveTable

LIMIT_SIGNS = (
    (r"=>> PBS: (?P<text>job killed: (walltime|p?cput)\b.* exceeded limit .*)", EndReason.TIMEOUT),
    (r"=>> PBS: (?P<text>job killed: p?v?mem\b.* exceeded limit .*)", EndReason.OUT_OF_MEMORY),
)
"""Lines of a job's log that the node's daemon writes when it ends the job for its limits: see `Scheduler.log_signs`."""

PARAMETERS = (
    Parameter("rerunnable", None, [str2bool], "whether it may be started again after its node died"),
    Parameter("priority", None, [matching(r"-?\d{1,4}", "a whole number, -1024 to 1023")], "among your own jobs"),
    Parameter(
        "mail_events",
        None,
        [matching(r"n|[abe]{1,3}", "n, or letters of abe")],
        "when mail is sent, e.g. ae: a aborted, b begun, e ended",
    ),
    Parameter("mail_user", None, [matching(r"[\w.+@,-]+", "addresses")], "whom it is sent to"),
)


def resource(value: object, table: DirectiveTable, example: str) -> str:
    """A resource, `name=value`, of those that the table has neither a flag nor a parameter of its own for."""
    match = re.fullmatch(r"([A-Za-z]\w*)=([A-Za-z0-9_.:+@%/-]+)", str(value))
    if match is None:
        raise ValueError(f"must be name=value in plain characters, such as {example}")
    option = table.option(f"-l {match[1]}")
    if option is not None and option.parameter != "resources":
        raise ValueError(f"must not say {match[1]}: {option.way}")
    return match[0]


def depend(after: Iterable[str], manager: str, job_ids: re.Pattern[str], kind_for: Callable[[str, str], str]) -> str:
    """The dependencies as `-W depend=` takes them, each kind once: `afterok:1.server:2.server,afterany:3.server`.

    `kind_for` makes the manager's kind of ours and the job's id. Raises `InvalidRequest` for a text that is no id: after
    a comma, `-W` takes further attributes.
    """
    kinds: dict[str, list[str]] = {}
    for text in after:
        kind, colon, job_id = text.partition(":")
        if not colon:
            kind, job_id = "afterok", text
        if not job_ids.fullmatch(job_id):
            raise InvalidRequest(
                f"after={job_id!r} is refused: it must be the id of a job of {manager}, such as 123.server",
                hint="several dependencies are given one by one",
            )
        kinds.setdefault(kind_for(kind, job_id), []).append(job_id)
    return ",".join(":".join((kind, *ids)) for kind, ids in kinds.items())
