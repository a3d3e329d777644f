"""HTCondor's parameters; the script itself is job.sh.j2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.templates.parameters import Parameter
from psij_parsl.platforms.templates.template import JobTemplate, Refuse
from psij_parsl.system.job_names import MANAGER_LOG
from psij_parsl.validators import list_of, matching, memory, one_of, positive_int

CONCURRENCY_LIMIT_DEFAULT = 2308032
"""HTCondor's own, where a pool has set none."""
_LIMIT = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?(:\d+(\.\d+)?)?"
_SAYS_LIMITS = re.compile(r"#HTCONDOR\s+(concurrency_limits(_expr)?|(\+|MY\.)ConcurrencyLimits)\s*=", re.IGNORECASE)
_EXPRESSION = r"[\w.()&|!<>=+*/?:, \"-]+"


def attribute(value: object) -> str:
    """An attribute of the job's ad, `Name=value`, as a line of a description has it: words are put into quotes.

    One that a command sets is refused, for it would win over the command.
    """
    match = re.fullmatch(r"([A-Za-z]\w*)=([\w.:@+/-]+)", str(value))
    if match is None:
        raise ValueError("must be name=value in plain characters, such as JobFlavour=longlunch")
    from .directives import TABLE

    if (row := TABLE.option(f"+{match[1]}")) and row.way and row.parameter != "attributes":
        raise ValueError(f"must not be {match[1]}: {row.way}")
    is_word = re.fullmatch(r"(?i)true|false|[+-]?\d+(\.\d+)?", match[2]) is None
    return f'MY.{match[1]} = "{match[2]}"' if is_word else f"MY.{match[1]} = {match[2]}"


class HTCondorTemplate(JobTemplate):
    """The script's `#HTCONDOR` lines, which are the job's description.

    https://htcondor.readthedocs.io/en/latest/man-pages/condor_submit.html
    """

    template_file = "job.sh.j2"
    log_folders = r"[^\s$\"\\]+"  # a file name has no blanks here, and $ begins a macro
    optional_params = (
        Parameter(
            "requirements", None, [matching(_EXPRESSION, "an expression of ads")], 'e.g. OpSysAndVer == "AlmaLinux9"'
        ),
        Parameter("request_disk", None, [memory], "scratch space to ask for, e.g. 10G"),
        Parameter("priority", None, [matching(r"-?\d{1,9}", "a whole number")], "among your own jobs"),
        Parameter(
            "concurrency_limits", (), [list_of(matching(_LIMIT, "a limit, e.g. matlab:2"))], "e.g. licenses: matlab:2"
        ),
        Parameter(
            "concurrency_limit_default",
            CONCURRENCY_LIMIT_DEFAULT,
            [positive_int],
            "what the pool has of a limit that it does not name, for --array 0-9%4: its CONCURRENCY_LIMIT_DEFAULT",
        ),
        Parameter("attributes", (), [list_of(attribute)], "the job's own attributes, e.g. JobFlavour=longlunch"),
        Parameter(
            "vacate_s", None, [positive_int], "seconds between SIGTERM and SIGKILL (default: as the pool has it)"
        ),
        Parameter(
            "should_transfer_files",
            "NO",
            [one_of("NO", "IF_NEEDED", "YES")],
            "whether the script is copied to hosts that are not known to share the submit host's file systems",
        ),
    )
    refusals = (
        Refuse(
            lambda asked: asked["num_nodes"] > 1,
            "runs jobs on one host, not {num_nodes}",
            "ask for more ranks with -n, or submit an array",
        ),
        Refuse(
            lambda asked: asked["queue"],
            "has no queues, so none is called {queue!r}",
            "leave --queue out; -X requirements says which hosts, and -X attributes what the pool's rules look at",
        ),
        Refuse(
            lambda asked: asked.get("array_limit") and any(map(_SAYS_LIMITS.match, asked.get("option_lines", ()))),
            "tells by concurrency_limits how many elements of an array run at a time, and an option line has some already",
            "say -X concurrency_limits=LIMITS in the place of that line",
            ("array_limit",),
        ),
    )

    @staticmethod
    def directive_quote(text: str) -> str:
        """A description quotes nothing: a value is the rest of its line. `$` begins a macro."""
        if text != text.strip() or re.search(r"\$|\\$", text) or not text:
            raise ValueError("must not be empty, hold a $, or begin or end with a blank or end with a backslash")
        return text

    @classmethod
    def render(cls, *, given: Mapping[str, Any] | None = None, **parameters: Any) -> str:
        """As in the base class. HTCondor takes \\ for another /, and makes one of two that follow each other."""
        folder = str((given or {}).get("folder", ""))
        if re.search(r"\\[\\/]|[\0-\x1f]", folder):
            raise InvalidRequest(
                f"{f'{folder}/{MANAGER_LOG}'!r} is refused: HTCondor has no folder of a job with control characters, or"
                " with a backslash before another one or a slash, in its path",
                hint="choose another place for the state directory, or for the site's spool",
            )
        return super().render(given=given, **parameters)
