"""Error patterns of Flux's commands; the first that matches counts, so the most specific come first."""

from __future__ import annotations

from psij_parsl.platforms.queries import ErrorPattern
from psij_parsl.platforms.tools import UNREACHABLE

ERROR_PATTERNS = (
    ErrorPattern(  # the question never left
        rf"Unable to connect to Flux|broker socket .* not found|flux_open|{UNREACHABLE}",
        transient=True,
        hint="no Flux instance answers here; `flux uptime` shows when one does",
    ),
    ErrorPattern(
        r"Connection (reset|timed out)|Broken pipe|[Hh]ost is unreachable|No route to host|timed out"
        r"|[Rr]esource temporarily unavailable",
        transient=True,
        accepted=True,
        hint="Flux may have taken the job; it is looked for before it is sent again",
    ),
    ErrorPattern(
        r"Function not implemented|service not available|shutting down",  # a module that is being reloaded
        transient=True,
        hint="a part of Flux is not running; `flux uptime` shows more",
    ),
    ErrorPattern(
        r"argument parsing failed|unrecognized arguments|does not appear to|orphan '|sentinel changed|[Uu]nknown directive"
        r"|unclosed triple quote|are missing|must be specified|must not be greater|standard duration",
        client=True,
        hint="`psij-run render` shows what it refused",
    ),
    ErrorPattern(
        r"[Ii]nvalid queue|is not a valid queue|named queue is required|job submission.* is disabled",
        limit="queue",
        hint="choose another --queue; `flux queue list` lists them",
    ),
    ErrorPattern(
        r"exceeds remaining instance lifetime",
        limit="wall_time_min",
        hint="ask for less with -t: it would outlast the job in which it is submitted",
    ),
    ErrorPattern(
        r"(exceeds|is under) policy limit",
        limit="queue limits",
        hint="ask for less with -t or -N, or choose another --queue; `flux queue list` shows the limits",
    ),
    ErrorPattern(
        r"[Uu]nsatisfiable|[Ii]nfeasible|not feasible",
        limit="resources",
        hint="no node has so much; `flux resource list` shows what there is",
    ),
    ErrorPattern(
        r"max(imum)? (number of )?(active|running)? ?(jobs|nodes|cores)",
        limit="account limits",
        hint="a limit on your jobs: wait for some to end",
    ),
    ErrorPattern(
        r"\b([Bb]ank|[Pp]roject|[Aa]ccount(ing)?|association)\b", limit="project", hint="choose another --account"
    ),
    ErrorPattern(r"\bdependency\b|\bafter\w*: ", limit="after", hint="see that the job which it is to follow exists"),
    ErrorPattern(r"\burgency\b", limit="urgency", hint="0 to 16, and above only for the owner of the Flux instance"),
    ErrorPattern(r"constraint|--requires", limit="requires", hint="see -X requires"),
    ErrorPattern(
        r"[Pp]ermission denied|not permitted|guests (may|can)|instance owner|immutable",
        limit="permission",
        hint="only the owner of the Flux instance may do that",
    ),
    ErrorPattern(r"unknown job|job is inactive|job is not running|not found"),
    ErrorPattern(r"\[Errno 22\]|Invalid argument", hint="`psij-run render` shows what was submitted"),
)
