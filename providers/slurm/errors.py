"""Error patterns of Slurm's commands; the first that matches counts, so the most specific come first."""

from __future__ import annotations

from psij_parsl.platforms.queries import ErrorPattern

ERROR_PATTERNS = (
    ErrorPattern(  # the question never left
        r"connect failure|Munge encode failed",
        transient=True,
        hint="Slurm's controller does not answer; `scontrol ping` shows when it does again",
    ),
    ErrorPattern(
        r"Socket timed out|Zero Bytes were transmitted|Unexpected message received|receive failure|send failure"
        r"|shutdown failure|authentication error|Munge decode failed|Unable to contact slurm controller(?! \(connect failure\))"
        r"|Communication (connection|message|shutdown) \w+",
        transient=True,
        accepted=True,
        hint="Slurm may have taken the job; it is looked for before it is sent again",
    ),
    ErrorPattern(r"accounting storage is disabled", permanent=True),
    ErrorPattern(
        r"(squeue|sacct|scontrol): .*(unrecognized option|invalid option|[Ii]nvalid field|[Ii]nvalid job format)",
        permanent=True,
        hint="this Slurm is older than 20.11, and its squeue cannot be asked",
    ),
    ErrorPattern(
        r"unrecognized option|Unable to open file|Batch script (contains|is empty)|does not look like a batch script",
        client=True,
        hint="`psij-run render` shows what it refused",
    ),
    ErrorPattern(
        r"establish.*config.*source|failed to fetch config|Unable to process configuration file",
        hint="Slurm's commands are here but know no cluster: set SLURM_CONF, or choose another --platform",
    ),
    ErrorPattern(  # the question never left: sbatch first looks the cluster up
        r"is an invalid entry for --cluster",
        client=True,
        limit="cluster",
        hint="`sacctmgr list clusters` lists them; one that is there cannot be reached just now",
    ),
    ErrorPattern(
        r"DB index is being set",
        transient=True,
        hint="Slurm is still recording an earlier change; without accounting 22.05 never ends that",
    ),
    ErrorPattern(
        r"[Tt]emporarily|try again|backup controller|slurm_persist_conn|[Cc]onnection refused",
        transient=True,
        hint="Slurm's controller does not answer; `scontrol ping` shows when it does again",
    ),
    ErrorPattern(
        r"[Aa]ccess/permission denied|Invalid user id",
        limit="permission",
        hint="the job is not yours, or only an administrator may: a wall time, for one, you can only lower",
    ),
    ErrorPattern(r"[Ii]nvalid partition", limit="queue", hint="choose another --queue"),
    ErrorPattern(r"[Pp]artition.*(down|drain|inactive)", limit="queue", hint="choose another --queue"),
    ErrorPattern(
        r"QOSMax|AssocMax|QOSGrp|AssocGrp|MaxSubmit|job submit limit|Job violates accounting",
        limit="account limits",
        hint="a limit of your account or QOS: wait for jobs to end, or ask for less",
    ),
    ErrorPattern(r"[Ii]nvalid account|account.*(invalid|not)", limit="project", hint="choose another --account"),
    ErrorPattern(r"[Ii]nvalid qos|qos", limit="qos", hint="`sacctmgr show assoc user=$USER` lists yours"),
    ErrorPattern(r"time limit", limit="wall_time_min", hint="ask for less time with -t, or choose another --queue"),
    ErrorPattern(r"[Nn]ode count|[Tt]oo many nodes", limit="num_nodes", hint="ask for fewer nodes with -N"),
    ErrorPattern(
        r"Memory specification can not be satisfied",
        limit="memory_per_node",
        hint="no node has so much memory: ask for less with --mem",
    ),
    ErrorPattern(r"[Nn]ode name", limit="nodelist", hint="`sinfo -N` lists the nodes"),
    ErrorPattern(r"More processors requested", hint="more nodes or cores than there are: ask for fewer of either"),
    ErrorPattern(
        r"node configuration.*not available",
        limit="num_nodes",
        hint="no nodes like that: ask for fewer nodes, cores, GPUs or less memory",
    ),
    ErrorPattern(r"[Ii]nvalid (generic resource|gres)|[Gg]res", limit="gres", hint="`sinfo -o %G` lists them"),
    ErrorPattern(r"[Ii]nvalid feature", limit="constraint", hint="`sinfo -o %f` lists them"),
    ErrorPattern(
        r"reservation is invalid|[Ii]nvalid reservation",
        limit="reservation",
        hint="`scontrol show reservation` lists them",
    ),
    ErrorPattern(r"[Ii]nvalid license", limit="licenses", hint="`scontrol show licenses` lists them"),
    ErrorPattern(r"--mail-type", client=True, limit="mail_type", hint="e.g. BEGIN, END, FAIL or ALL"),
    ErrorPattern(r"[Dd]ependency", limit="after", hint="see that the job which it is to follow exists"),
    ErrorPattern(r"array", limit="array", hint="`scontrol show config | grep MaxArraySize` tells the limit"),
)
