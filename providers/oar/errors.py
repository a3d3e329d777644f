"""Error patterns of OAR's commands; the first that matches counts, so the most specific come first.

Most refusals end with `Oarsub failed, please verify your request syntax`, and print an id that is none: -5.
"""

from __future__ import annotations

from psij_parsl.platforms.queries import ErrorPattern
from psij_parsl.platforms.tools import UNREACHABLE

ERROR_PATTERNS = (
    ErrorPattern(  # the usage text has words of other patterns
        r"Unknown option|Usage: \S*oarsub|Cannot open the file",
        client=True,
        hint="`psij-run render` shows the script",
    ),
    ErrorPattern(  # it says "Job is killed", and yet the job waits in the database for the server to come back
        r"Cannot connect to executor",
        transient=True,
        accepted=True,
        hint="OAR's server does not answer, but the job is in its database; it is looked for before it is sent again",
    ),
    ErrorPattern(  # oardel: the request is in the database
        r"Could not connect to the socket",
        transient=True,
        hint="OAR's server does not answer; it carries the request out with the next cancel, anyone's, after it is back",
    ),
    ErrorPattern(
        rf"DBI connect\(|DB connection error|[Cc]ould not connect to server|{UNREACHABLE}",
        transient=True,
        hint="OAR's database does not answer; `oarstat` shows when it does again",
    ),
    ErrorPattern(
        r"server closed the connection|terminating connection|connection to server was lost|deadlock detected",
        transient=True,
        accepted=True,
        hint="OAR may have taken it; it is looked for before it is sent again",
    ),
    ErrorPattern(
        r"The queue \S+ does not exist|in the admin queue|queue .*(not allowed|forbidden)",
        limit="queue",
        hint="choose another --queue; the site's documentation lists them",
    ),
    ErrorPattern(
        r"not enough resources",
        limit="nodes",
        hint="OAR has never so many nodes or cores: ask for less with -N or -n; `oarnodes` shows what there is",
    ),
    ErrorPattern(
        r'column "\w+" does not exist|Unknown column',
        limit="resources",
        hint="this OAR has no resource of that name: see -X core_property, gpu_property and properties;"
        " `oarnodes` shows what there is",
    ),
    ErrorPattern(
        r"resource is not allowed|Bad resource request|Cannot recognize",
        limit="resources",
        hint="see -X core_property, gpu_property and properties; `psij-run render` shows what was asked for",
    ),
    ErrorPattern(
        r"Invalid std(out|err) file name", limit="stdout", hint="OAR takes plain letters in that path alone"
    ),
    ErrorPattern(r"[Ss]yntax for the notify|notification method", limit="notify", hint="see -X notify"),
    ErrorPattern(
        r"same ssh keys",
        limit="job key",
        hint="$OAR_JOB_KEY_FILE is that of a job which runs: take it out of the environment",
    ),
    ErrorPattern(
        r"([Ii]nvalid|[Uu]nknown|[Nn]o|[Ee]xpired|[Bb]ad|not).{0,40}\bproject\b"
        r"|\b[Pp]roject\b.{0,60}\b(invalid|unknown|not|expired|exhausted)",
        limit="project",
        hint="choose another --account",
    ),
    ErrorPattern(
        r"functionality is disabled|not allowed to (request|increase)",
        limit="permission",
        hint="this OAR lets nobody change a wall time: ask for enough when you submit",
    ),
    ErrorPattern(
        r"(?s)\[ADMISSION RULE\][^\n]*([Ee]rror|not allowed|[Oo]nly|cannot|exceed|limit).*(Oarsub failed|^\[?ERROR\]? ?:)",
        limit="admission rules",
        hint="a rule of this site refuses it",
    ),
    ErrorPattern(r"Oarsub failed", limit="request", hint="`psij-run render` shows what was asked for"),
)
