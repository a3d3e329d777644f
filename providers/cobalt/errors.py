"""Error patterns of Cobalt's commands, from the texts in its source; the first that matches counts.

What the queue manager refuses comes as `<Fault 1001: "text">`, the exception that the client got. An error that begins
with `component error` is of a request before the submission, which has then not been sent.
"""

from __future__ import annotations

from psij_parsl.platforms.queries import ErrorPattern
from psij_parsl.platforms.tools import UNREACHABLE

ERROR_PATTERNS = (
    ErrorPattern(
        r"non-existent queue|[Qq]ueue '.*' does not exist|The '.*' queue is (draining|dead)"
        r"|not allowed to submit to the|queue restriction",
        limit="queue",
        hint="choose another --queue; `qstat -Q` lists them",
    ),
    ErrorPattern(
        r"Walltime (greater|less) than",
        limit="wall_time_min",
        hint="`qstat -Q` shows the queues' MinTime and MaxTime",
    ),
    ErrorPattern(
        r"[Nn]ode count out of|Maximum permitted size|proccount",
        limit="num_nodes",
        hint="ask for fewer nodes with -N",
    ),
    ErrorPattern(
        r"The limit of .* per user", limit="account limits", hint="a limit on your jobs: wait for some to end"
    ),
    ErrorPattern(
        r"(mcdram|numa) .* not valid|argument to attrs",
        limit="attrs",
        hint="see -X attrs, e.g. mcdram=flat:numa=quad",
    ),
    ErrorPattern(
        r"([Ii]nvalid|[Uu]nknown|[Nn]o|[Ee]xpired|not).{0,40}\b([Aa]ccount|[Pp]roject|[Aa]llocation)\b"
        r"|\b([Aa]ccount|[Pp]roject|[Aa]llocation)\b.{0,60}\b(invalid|required|unknown|not|expired|exhausted|negative)",
        limit="project",
        hint="choose another --account",
    ),
    ErrorPattern(
        r"qsub(\.py)?: error: |not executable|not found, or is not a file|^directory .* does not exist|not provided"
        r"|invalid time specification|[Ii]mproperly formatted|[Ff]ilter .*fail",
        client=True,
        hint="`psij-run render` shows what it refused",
    ),
    ErrorPattern(
        r"cannot change .* of a running job|while running is currently not supported",
        limit="wall_time_min",
        hint="Cobalt changes a job only while it waits",
    ),
    ErrorPattern(  # looked up, and not there: `qsub.py:L#210:cn:queue-manager`
        rf"component error|:cn:[\w-]+|{UNREACHABLE}",
        transient=True,
        hint="Cobalt's server does not answer; `qstat -Q` shows when it does again",
    ),
    ErrorPattern(  # its client has tried four times, and does not tell what became of the others
        r"<Fault 20:|Server Failure|ProtocolError|timed out|Connection reset|Broken pipe|[Ee]rrno",
        transient=True,
        accepted=True,
        hint="Cobalt may have taken it; it is looked for before it is sent again",
    ),
)
