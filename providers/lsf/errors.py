"""Error patterns of LSF's commands; the first that matches counts, so the most specific come first.

The texts are those of IBM's documentation, of OpenLava's source (a free LSF 4), and of reports of users.
"""

from __future__ import annotations

from psij_parsl.platforms.queries import ErrorPattern
from psij_parsl.platforms.tools import UNREACHABLE

ERROR_PATTERNS = (
    ErrorPattern(  # `bsub` adds "Job not submitted." to these, too; the request had been sent
        r"[Cc]ommunication time ?out|(sending|receiving) a message|socket operation|Connection (reset|timed out|is lost)"
        r"|Broken pipe|XDR|[Pp]rotocol error|End of file|[Ii]nternal library error|system call",
        transient=True,
        accepted=True,
        hint="LSF may have taken it; it is looked for before it is sent again",
    ),
    ErrorPattern(  # a client that waits for its licence or its server is told so, and nothing is submitted
        rf"{UNREACHABLE}|LSF is down|still trying|non-LSF host|daemon not responding"
        r"|LIM is down|[Mm]aster (LIM|host) unknown",
        transient=True,
        hint="LSF does not answer; `lsid` shows when it does again",
    ),
    ErrorPattern(
        r"LSF is processing your request|concurrent (job )?query limit|[Pp]ending job threshold reached. Retrying",
        transient=True,
        hint="LSF is busy; it is asked again",
    ),
    ErrorPattern(
        r"No such queue|[Qq]ueue (does not|has been|is) .*(closed|accept)|[Uu]ser cannot use the queue|[Bb]ad queue",
        limit="queue",
        hint="choose another --queue; `bqueues -u $USER` lists those that you may use",
    ),
    ErrorPattern(
        r"(RUNLIMIT|[Rr]un ?(time )?limit|[Tt]ime limit|walltime).*(exceed|too|larger|greater|beyond)"
        r"|Cannot exceed queue's hard limit",
        limit="wall_time_min",
        hint="ask for less with -t, or choose another --queue; `bqueues -l` shows the limits",
    ),
    ErrorPattern(
        r"Too many processors|Too many (tasks|hosts|nodes)|(PROC|TASK)LIMIT",
        limit="num_nodes",
        hint="ask for fewer nodes or ranks, or choose another --queue; `bqueues -l` shows the limits",
    ),
    ErrorPattern(
        r"[Pp]ending job (slot )?threshold|[Jj]ob limit|too many (pending )?jobs",
        limit="account limits",
        hint="a limit on your jobs: wait for some to end",
    ),
    ErrorPattern(
        r"[Jj]ob array (index|size)|too large.*array|MAX_JOB_ARRAY_SIZE",
        limit="array",
        hint="`bparams -a | grep MAX_JOB_ARRAY_SIZE` tells the highest index, which is one more than ours",
    ),
    ErrorPattern(
        r"([Ii]nvalid|[Uu]nknown|[Nn]o|[Nn]ot).{0,40}\b(project|account|user group|allocation)\b"
        r"|\b([Pp]roject|[Aa]ccount|[Uu]ser group|[Aa]llocation)\b.{0,60}\b(invalid|unknown|not|must|expired)",
        limit="project",
        hint="choose another --account",
    ),
    ErrorPattern(
        r"\[?\d+\]?: No matching job found\. Job not submitted|[Dd]ependency condition",
        limit="after",
        hint="a job that it is to follow is not in LSF's books any more",
    ),
    ErrorPattern(
        r"option -M|memory limit|option -R.*mem|MB.*rusage|in rusage section",
        limit="memory",
        hint="LSF before 10.1.0.2 takes no units: say -X memory_unit=KB, or what LSF_UNIT_FOR_LIMITS says",
    ),
    ErrorPattern(
        r"(select|order|span|same|cu|affinity)\W* (:|section|string)|resource requirement|span string|[Bb]ad resource|unknown resource",
        limit="resources",
        hint="see -X requirements; `lsinfo` lists the resources",
    ),
    ErrorPattern(
        r"[Bb]ad argument|illegal option|unknown option|conflict", hint="`psij-run render` shows what bsub refused"
    ),
    ErrorPattern(
        r"[Pp]ermission denied|not (the )?owner|[Cc]annot modify|already started|can only be modified",
        limit="permission",
        hint="only an administrator may; a wall time can be changed while a job waits",
    ),
    ErrorPattern(r"aborted by esub|^\*\* ", hint="a rule of the site's own"),
    ErrorPattern(r"[Jj]ob not modified", hint="the sentence is LSF's"),
)
