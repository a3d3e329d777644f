"""Error patterns of Grid Engine's commands; the first that matches counts, so the most specific come first."""

from __future__ import annotations

from psij_parsl.platforms.queries import ErrorPattern
from psij_parsl.platforms.tools import UNREACHABLE

ERROR_PATTERNS = (
    ErrorPattern(  # qsub exits with 1, and yet has submitted it: no host is up just now, say
        r"(?m)^Unable to run job: warning: ",
        accepted=True,
        hint="Grid Engine has a warning, and may have taken it; it is looked for before it is sent again",
    ),
    ErrorPattern(  # qacct's usage text follows, which matches other patterns: an old one, without -m
        r"(?m)^usage: qacct", permanent=True
    ),
    ErrorPattern(
        r"invalid option argument|argument to -\w+ option|Numerical value invalid|Unable to read script file"
        r"|no script in your request|not allowed in objectname",
        client=True,
        hint="`psij-run render` shows what it refused",
    ),
    ErrorPattern(
        r"unable to sync state with remote execd",
        transient=True,
        hint="its node does not answer: wait for it, or have an administrator delete the job with `qdel -f ID`",
    ),
    ErrorPattern(  # the request was sent, and no answer came
        r"failed receiving gdi request|got (syncron message )?re(ad|ceive)\b.*(error|timeout)|\b[Tt]imed out\b|\b[Tt]ime-?out\b"
        r"|connection (was )?(closed|reset)|closing .*connection",
        transient=True,
        accepted=True,
        hint="Grid Engine may have taken it; it is looked for before it is sent again",
    ),
    ErrorPattern(
        rf"{UNREACHABLE}|unable to (send message to|connect to) qmaster|commlib error|got send error",
        transient=True,
        hint="Grid Engine's qmaster does not answer; `qstat` shows when it does again",
    ),
    ErrorPattern(
        r"unknown queue|[Qq]ueue \S+ does not exist|not (allowed|permitted) .*\bqueue",
        limit="queue",
        hint="choose another --queue; `qconf -sql` lists them",
    ),
    ErrorPattern(
        r"\bproject\b.*(does not exist|unknown|no access|not allowed)|(no|not|without).*\bproject\b",
        limit="project",
        hint="choose another --account; `qconf -sprjl` lists the projects",
    ),
    ErrorPattern(
        r"parallel environment",
        limit="pe",
        hint="choose another with -X pe=NAME; `qconf -spl` lists them, `qconf -sp NAME` shows one",
    ),
    ErrorPattern(
        r"no suitable queues",
        limit="queue limits",
        hint="no queue has so many slots, or so much time: ask for less, or choose another --queue",
    ),
    ErrorPattern(
        r"unknown resource|attribute \"?\S+ is not a \w+ value|consumable|not requestable|resource quota",
        limit="resources",
        hint="`qconf -sc` lists the resources; see -X resources, memory_resource and gpu_resource",
    ),
    ErrorPattern(
        r"[Oo]nly \S+ jobs are allowed|[Tt]oo many jobs|[Jj]obs? .*limit|exceeds.*jobs",
        limit="account limits",
        hint="a limit on your jobs: wait for some to end",
    ),
    ErrorPattern(
        r"(array|tasks?\b).*(allowed|exceeds|limit)", limit="array", hint="`qconf -sconf` tells max_aj_tasks"
    ),
    ErrorPattern(
        r"submission priority|invalid priority",
        limit="priority",
        hint="users can lower theirs only: -X priority=-100",
    ),
    ErrorPattern(
        r"no(t| )(submit|admin) host|neither submit nor admin host|not allowed|privileges|permission|no access",
        limit="permission",
        hint="you may not do that, or not from this host",
    ),
    ErrorPattern(r"(?m)^(Unable to run job: |denied: )|job rejected", hint="`psij-run render` shows what it refused"),
)
