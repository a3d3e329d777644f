"""Error patterns of PBS's commands; the first that matches counts, so the most specific come first."""

from __future__ import annotations

from psij_parsl.platforms.queries import ErrorPattern
from psij_parsl.platforms.tools import UNREACHABLE

DEAD_NODE = "its node does not answer: wait for it, or take the job out of PBS's books with `qdel -W force ID`"

ERROR_PATTERNS = (
    ErrorPattern(r"qstat: .*invalid option -- 'E'|(?m:^qstat: illegal option -- E)", permanent=True),  # an old one
    ErrorPattern(  # qsub's usage text follows, which matches many other patterns
        r"illegal -\w value|directive error|invalid option|script contains|script file|[Cc]annot be used with",
        hint="`psij-run render` shows what it refused",
    ),
    ErrorPattern(  # the question never left
        rf"{UNREACHABLE}|[Ii]nvalid credential",
        transient=True,
        hint="PBS's server does not answer; `qstat -B` shows when it does again",
    ),
    ErrorPattern(
        r"[Pp]remature end|End of [Ff]ile|Connection (reset|timed out)|Broken pipe|Communication failure"
        r"|[Pp]rotocol error|timed out",
        transient=True,
        accepted=True,
        hint="PBS may have taken it; it is looked for before it is sent again",
    ),
    ErrorPattern(
        r"cannot allocate|[Tt]ry again|[Ss]erver (is )?(too )?busy|[Ss]erver shutting down",
        transient=True,
        hint="PBS's server is busy; `qstat -B` shows when it answers again",
    ),
    ErrorPattern(r"could not connect to MOM|No route to host", transient=True, hint=DEAD_NODE),
    ErrorPattern(
        r"Unknown queue|Queue is not enabled|[Qq]ueue.*(disabled|not exist)",
        limit="queue",
        hint="choose another --queue; `qstat -Q` lists them",
    ),
    ErrorPattern(
        r"rejected by all possible destinations",
        limit="queue",
        hint="no queue behind this one takes so many nodes, or so long: `qstat -Qf` shows the limits",
    ),
    ErrorPattern(
        r"would exceed|[Mm]aximum number of jobs|per-user limit|too many jobs",
        limit="account limits",
        hint="a limit on your jobs: wait for some to end",
    ),
    ErrorPattern(
        r"violates queue and/or server resource limits",
        limit="queue limits",
        hint="ask for less with -t or -N, or choose another --queue; `qstat -Qf` shows the limits",
    ),
    ErrorPattern(r"Array job exceeds", limit="array", hint="`qstat -Bf | grep max_array_size` tells the limit"),
    ErrorPattern(
        r"([Ii]nvalid|[Uu]nknown|[Nn]o|[Ee]xpired|[Bb]ad|not).{0,40}\b(account|project|allocation)\b"
        r"|\b([Aa]ccount|[Pp]roject|[Aa]llocation)\b.{0,60}\b(invalid|unknown|not|expired|exhausted|negative)",
        limit="project",
        hint="choose another --account",
    ),
    ErrorPattern(
        r"Unknown resource",
        limit="resources",
        hint="this PBS has no such resource: see -X resources, chunk and filesystems",
    ),
    ErrorPattern(r"Illegal attribute or resource value", limit="resources", hint="see -X resources and -X chunk"),
    ErrorPattern(r"Bad GID|group_list", limit="group_list", hint="`id -Gn` lists your groups"),
    ErrorPattern(r"[Dd]epend", limit="after", hint="see that the job which it is to follow exists"),
    ErrorPattern(
        r"Unauthorized Request|not authorized",
        limit="permission",
        hint="you may not use that queue or project, or only an administrator may: a wall time, for one, you can lower",
    ),
)
