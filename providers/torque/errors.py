"""Error patterns of Torque's commands; the first that matches counts, so the most specific come first.

The texts are recorded ones, and further ones of Torque's source (src/include/pbs_error_db.h).
"""

from __future__ import annotations

from psij_parsl.platforms.queries import ErrorPattern
from psij_parsl.platforms.tools import UNREACHABLE

ERROR_PATTERNS = (
    ErrorPattern(
        r"can not be run as root", limit="user", hint="Torque takes no jobs of root: submit as an ordinary user"
    ),
    ErrorPattern(  # qsub's usage text follows, which matches many other patterns
        r"illegal -\w value|directive error|invalid option|script file '|script not a file|illegally formed destination"
        r"|cannot form a valid job name",
        hint="`psij-run render` shows what it refused",
    ),
    ErrorPattern(
        r"administratively rejected", client=True, hint="the site's submit filter refused it; its words stand above"
    ),
    ErrorPattern(  # qsub tries again by itself then, so there may even be two jobs
        r"Time out|timed out|Premature End|End of File|Broken pipe|Batch protocol error|DIS based Request"
        r"|Socket close|(writing|reading) data (to|from) socket|[Cc]ommunication failure|Connection reset",
        transient=True,
        accepted=True,
        hint="Torque may have taken it; it is looked for before it is sent again",
    ),
    ErrorPattern(  # the question never left
        rf"{UNREACHABLE}|[Ii]nvalid credential|Expired credential|not establish connection"
        r"|[Cc]ould not connect to (trqauthd|batch server)",
        transient=True,
        hint="Torque's server does not answer; `qstat -B` shows when it does again",
    ),
    ErrorPattern(
        r"No free connections|[Tt]emporarily unavailable|[Ss]erver busy|[Ss]erver shutting down",
        transient=True,
        hint="Torque's server is busy; `qstat -B` shows when it answers again",
    ),
    ErrorPattern(
        r"could not connect to MOM|Mom is down", transient=True, hint="its node does not answer: wait for it"
    ),
    ErrorPattern(
        r"Unknown queue|Queue is not enabled|Access to queue|Queue is currently not available|No default queue"
        r"|Queue does not allow",
        limit="queue",
        hint="choose another --queue; `qstat -q` lists them",
    ),
    ErrorPattern(
        r"rejected by all possible destinations",
        limit="queue",
        hint="no queue behind this one takes so many nodes, or so long: `qstat -q` shows the limits",
    ),
    ErrorPattern(
        r"Maximum number of jobs", limit="account limits", hint="a limit on your jobs: wait for some to end"
    ),
    ErrorPattern(  # too many nodes, cores of a node, GPUs; too long
        r"exceeds queue resource limits|Resource limit exceeds|cannot locate feasible nodes|Unknown node ",
        limit="queue limits",
        hint="ask for less with -t, -N or -n, or choose another --queue; `qstat -q` shows the limits",
    ),
    ErrorPattern(r"Job Array Request|job array", limit="array", hint="`qstat -Bf` tells max_job_array_size"),
    ErrorPattern(
        r"Invalid Account|[Pp]roject.{0,40}(invalid|unknown|not)", limit="project", hint="choose another --account"
    ),
    ErrorPattern(
        r"Unknown resource type", limit="resources", hint="this Torque has no such resource: see -X resources"
    ),
    ErrorPattern(r"Illegal attribute or resource value", limit="resources", hint="see -X resources and -t"),
    ErrorPattern(r"Bad GID|group_list", limit="group_list", hint="`id -Gn` lists your groups"),
    ErrorPattern(
        r"[Dd]ependency",
        limit="after",
        hint="Torque must still know the job which it is to follow: it forgets ended ones after keep_completed seconds",
    ),
    ErrorPattern(
        r"Unauthorized Request|Bad UID|not allowed|Cannot set attribute|Cannot modify",
        limit="permission",
        hint="you may not use that queue or host, or only an administrator may: a wall time, for one, you can lower",
    ),
)
