"""sbatch, squeue, sacct, scancel and scontrol.

States: https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES and slurm_protocol_defs.c
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from psij_parsl.command import Output
from psij_parsl.resources.hostlist import compress
from psij_parsl.scheduler import Complaint, Query, Queue, Record, Scheduler, Wish
from psij_parsl.states import EndReason, JobState, JobStatus

_Q, _A, _C, _F, _X = JobState.QUEUED, JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED, JobState.CANCELED

STATES: Mapping[str, JobState] = {
    **dict.fromkeys(("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "POWER_UP_NODE", "EXPEDITING"), _Q),
    **dict.fromkeys(("REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"), _Q),
    **dict.fromkeys(("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "STAGE_OUT", "RESIZING", "SIGNALING"), _A),
    "UPDATE_DB": _A,
    "COMPLETED": _C,
    "FAILED": _F,
    "CANCELLED": _X,
    "REVOKED": _X,
}
REASONS: Mapping[str, EndReason] = {
    "TIMEOUT": EndReason.TIMEOUT,
    "DEADLINE": EndReason.DEADLINE,
    "OUT_OF_MEMORY": EndReason.OUT_OF_MEMORY,
    "NODE_FAIL": EndReason.NODE_FAILURE,
    "BOOT_FAIL": EndReason.NODE_FAILURE,
    "PREEMPTED": EndReason.PREEMPTED,
    "LAUNCH_FAILED": EndReason.LAUNCH_FAILED,
    "RECONFIG_FAIL": EndReason.LAUNCH_FAILED,
}
HELD_STATES = frozenset(("REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"))
HELD_REASONS = ("JobHeld", "job requeued in held state", "job_requeued_in_held_state")
#: Reasons that say no more than the exit code and the signal. Before 23.02 a script that a signal ended had
#: JobLaunchFailure, since then it has RaisedSignal:9(Killed).
_EMPTY = re.compile(r"None|\(null\)|NonZeroExitCode|JobLaunchFailure|RaisedSignal:\d+(\(.*\))?")
_NEVER_STARTED = 53  # the signal that slurmd reports for a script it could not start


@lru_cache(maxsize=32768)
def status(
    native: str, exit_code: int | None, signal: int, nodes: str, message: str, attempt: int, started: str, ended: str
) -> JobStatus:
    """A status from Slurm's own words; `exit_code` and `signal` are the two halves of its exit status."""
    reason = REASONS.get(native)
    state = STATES.get(native, _F if reason else JobState.UNKNOWN)
    if state is _F and signal == _NEVER_STARTED:
        reason = EndReason.LAUNCH_FAILED
    if state is _X and message.startswith("Dependency"):
        reason = EndReason.DEPENDENCY
    own = state is _C or (state is _F and reason is None)  # the script's own end, not the manager's doing
    return JobStatus(
        state, native,
        exit_code=exit_code if own and not signal else None, signal=signal or None if own else None,
        reason=reason, message="" if _EMPTY.fullmatch(message) else message, nodes=nodes, attempt=attempt,
        started=_time(started) if state >= _A else None, ended=_time(ended) if state.final else None,
        held=native in HELD_STATES or (state is _Q and message.startswith(HELD_REASONS)),
    )  # fmt: skip


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:  # N/A, Unknown, None
        return None


def exit_status(text: str) -> tuple[int | None, int]:
    """Slurm's exit status as (exit code, signal); (None, 0) where it is not known.

    `3:0` and `0:9` since 23.02 and in accounting; before, squeue printed the status of wait(2): `768` and `9`.
    """
    code, colon, signal = text.strip().partition(":")
    if not code.isdigit() or (colon and not signal.isdigit()):
        return None, 0
    return (int(code), int(signal)) if colon else (int(code) >> 8, int(code) & 127)


def _known(text: str) -> str:
    """A field's text; '' for the words by which Slurm says that there is none."""
    return "" if text in ("(null)", "None assigned", "N/A") else text


def _wished(variable: str, text: str) -> str | None:
    """The value that one of sbatch's variables gives; None for one that we have no word for."""
    if variable == "SBATCH_EXCLUSIVE":
        return "yes" if text in ("", "exclusive") else None  # not user, mcs, topo
    if variable in ("SBATCH_REQUEUE", "SBATCH_NO_REQUEUE"):
        return "no" if variable == "SBATCH_NO_REQUEUE" else "yes"
    if variable == "SBATCH_MEM_PER_NODE" and text == "0":  # all of it
        return None
    return time_limit(text) if variable == "SBATCH_TIMELIMIT" else text


_LIVE = ("JobArrayID", "State", "exit_code", "RestartCnt", "StartTime", "EndTime", "NodeList", "Comment")


def read_squeue(line: str) -> Record:
    """A line of `live()`. The reason comes last, for it may hold anything."""
    job_id, native, code, restarts, started, ended, nodes, tag, message = line.split("|", 8)
    found = status(native, *exit_status(code), _known(nodes), message.rstrip(), int(restarts or 0), started, ended)
    return Record(job_id, found, _known(tag))


_PAST = "JobID,State,ExitCode,Start,End,NodeList,Comment,Reason"


def read_sacct(line: str) -> Record | None:
    """A line of accounting. It lags behind squeue, so only an end counts."""
    job_id, native, code, started, ended, nodes, tag, message = line.split("|", 7)
    found = status(native.split()[0], *exit_status(code), _known(nodes), message, 0, started, ended)
    return Record(job_id, found, _known(tag)) if found.final else None  # "CANCELLED by 1001": the first word


def fields(line: str) -> dict[str, str]:
    """`Key=value` pairs of a line of `scontrol -o`; a value may hold blanks, but not ` Key=`."""
    parts = re.split(r"(?:^|\s)([A-Z][A-Za-z:/_.-]*)=", line)
    return {key: value.strip() for key, value in zip(parts[1::2], parts[2::2], strict=True)}


def read_scontrol(line: str) -> Record | None:
    """A line of `scontrol -o show job`."""
    if not line.strip() or "JobId=" not in line:
        return None
    data = fields(line)
    job_id = data["JobId"]
    if "ArrayJobId" in data and "ArrayTaskId" in data:
        job_id = f"{data['ArrayJobId']}_{data['ArrayTaskId']}"
    found = status(
        data["JobState"], *exit_status(data.get("ExitCode", "")), _known(data.get("NodeList", "")),
        data.get("Reason", ""), int(data.get("Restarts", 0)), data.get("StartTime", ""), data.get("EndTime", ""),
    )  # fmt: skip
    return Record(job_id, found, _known(data.get("Comment", "")))


def read_partition(line: str) -> Queue | None:
    """A line of `scontrol -o show partition`."""
    if "PartitionName=" not in line:
        return None
    data = fields(line)

    def number(key: str) -> int | None:
        return int(data[key]) if data.get(key, "").isdigit() else None

    return Queue(
        data["PartitionName"], data.get("State") == "UP", data.get("Default") == "YES", number("MaxNodes"),
        _minutes(data.get("MaxTime", "")), number("MinNodes"),
    )  # fmt: skip


def _minutes(text: str) -> int | None:
    days, dash, clock = text.rpartition("-")
    try:
        hours, minutes, _ = (int(part) for part in clock.split(":"))
        return (int(days) if dash else 0) * 1440 + hours * 60 + minutes
    except ValueError:  # UNLIMITED, NONE
        return None


def time_limit(text: str) -> str | None:
    """A time limit as Slurm reads it, in minutes: 30 or 30:00 are minutes; None for one without end.

    https://slurm.schedmd.com/sbatch.html#OPT_time
    """
    if text.upper() in ("UNLIMITED", "INFINITE", "-1"):
        return None
    days, dash, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdecimal() for part in (*parts, days or "0")) or len(parts) > 3:
        return text  # whoever reads it says what is wrong with it
    numbers = [*map(int, parts), 0, 0][: 3 if dash or len(parts) == 3 else 2]
    hours, minutes, seconds = numbers if len(numbers) == 3 else (0, *numbers)
    return str(-(-((int(days or 0) * 24 + hours) * 3600 + minutes * 60 + seconds) // 60))


#: sbatch's input variables (https://slurm.schedmd.com/sbatch.html#SECTION_INPUT-ENVIRONMENT-VARIABLES): what each says.
WISHES: Mapping[str, str] = {
    "SBATCH_ACCOUNT": "project", "SBATCH_PARTITION": "queue", "SBATCH_QOS": "qos", "SBATCH_TIMELIMIT": "wall_time_min",
    "SBATCH_CONSTRAINT": "constraint", "SBATCH_RESERVATION": "reservation", "SBATCH_EXCLUSIVE": "exclusive",
    "SBATCH_GRES": "gres", "SBATCH_MEM_PER_NODE": "memory_per_node", "SBATCH_THREADS_PER_CORE": "threads_per_core",
    "SBATCH_JOB_NAME": "name", "SBATCH_REQUEUE": "requeue", "SBATCH_NO_REQUEUE": "requeue",
}  # fmt: skip
#: What sbatch does with these is our own affair: how it talks, where it writes, what it hands on.
_NO_WISH = re.compile(
    r"SBATCH_(DEBUG|EXPORT|EXPORT_FILE|GET_USER_ENV|IGNORE_PBS|INPUT|OUTPUT|ERROR|OPEN_MODE|WAIT|\w+_BIND(_\w+)?)"
)


class SlurmScheduler(Scheduler):
    """Slurm's command line."""

    commands = ("sbatch", "squeue", "scancel")
    keep_env = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
    drop_env = ("SLURM_*", "SLURMD_*", "SBATCH_*", "SRUN_*", "SQUEUE_*", "SACCT_*", "SALLOC_*")
    wish_env = tuple(WISHES)
    node_env = ("*",)  # a prolog's or a task prolog's
    stopgaps = ("TMPDIR=/tmp",)  # slurmd's, where the client has told none or one that is not on the node
    stdin_argv = ("sbatch", "--parsable")
    poll_s = 15.0
    complaints = (
        Complaint(
            r"Socket timed out|Zero Bytes were transmitted|Unexpected message received",
            transient=True, accepted=True, hint="Slurm may have taken the job; it is looked for before it is sent again",
        ),
        Complaint(r"accounting storage is disabled", permanent=True),
        Complaint(
            r"establish.*config.*source|failed to fetch config|Unable to process configuration file",
            hint="Slurm's commands are here but know no cluster: set SLURM_CONF, or choose another --platform",
        ),
        Complaint(
            r"DB index is being set", transient=True,
            hint="Slurm is still recording an earlier change; without accounting 22.05 never ends that",
        ),
        Complaint(
            r"Unable to contact slurm controller|[Cc]onnection refused|connect failure|authentication error"
            r"|Munge|[Tt]emporarily|try again|Resource temporarily|backup controller|slurm_persist_conn",
            transient=True, hint="Slurm's controller does not answer; `scontrol ping` shows when it does again",
        ),
        Complaint(
            r"[Aa]ccess/permission denied|Invalid user id", limit="permission",
            hint="the job is not yours, or only an administrator may: a wall time, for one, you can only lower",
        ),
        Complaint(r"[Ii]nvalid partition", limit="queue", hint="choose another --queue"),
        Complaint(r"[Pp]artition.*(down|drain|inactive)", limit="queue", hint="choose another --queue"),
        Complaint(
            r"QOSMax|AssocMax|QOSGrp|AssocGrp|MaxSubmit|job submit limit|Job violates accounting",
            limit="account limits", hint="a limit of your account or QOS: wait for jobs to end, or ask for less",
        ),
        Complaint(r"[Ii]nvalid account|account.*(invalid|not)", limit="project", hint="choose another --account"),
        Complaint(r"[Ii]nvalid qos|qos", limit="qos", hint="`sacctmgr show assoc user=$USER` lists yours"),
        Complaint(r"time limit", limit="wall_time_min", hint="ask for less time with -t, or choose another --queue"),
        Complaint(r"[Nn]ode count|[Tt]oo many nodes", limit="num_nodes", hint="ask for fewer nodes with -N"),
        Complaint(
            r"Memory specification can not be satisfied", limit="memory_per_node",
            hint="no node has so much memory: ask for less with --mem",
        ),
        Complaint(r"[Nn]ode name", limit="nodelist", hint="`sinfo -N` lists the nodes"),
        Complaint(r"More processors requested", hint="more nodes or cores than there are: ask for fewer of either"),
        Complaint(
            r"node configuration.*not available", limit="num_nodes",
            hint="no nodes like that: ask for fewer nodes, cores, GPUs or less memory",
        ),
        Complaint(r"[Ii]nvalid (generic resource|gres)|[Gg]res", limit="gres", hint="`sinfo -o %G` lists them"),
        Complaint(r"[Ii]nvalid feature", limit="constraint", hint="`sinfo -o %f` lists them"),
        Complaint(r"reservation is invalid|[Ii]nvalid reservation", limit="reservation",
                  hint="`scontrol show reservation` lists them"),
        Complaint(r"[Ii]nvalid license", limit="licenses", hint="`scontrol show licenses` lists them"),
        Complaint(r"--mail-type", limit="mail_type", hint="e.g. BEGIN, END, FAIL or ALL"),
        Complaint(r"[Dd]ependency", limit="after", hint="see that the job which it is to follow exists"),
        Complaint(r"array", limit="array", hint="`scontrol show config | grep MaxArraySize` tells the limit"),
    )  # fmt: skip

    def submit_argv(self, script: Path) -> Sequence[str]:
        return ["sbatch", "--parsable", str(script)]

    def job_id(self, stdout: str) -> str:
        """`123`, or `123;cluster` in a federation; warnings may stand on lines before it."""
        for line in reversed(stdout.splitlines()):
            if match := re.fullmatch(r"(\d+)(;.*)?", line.strip()):
                return match[1]
        return ""

    def live(self) -> Query:
        columns = ",".join(f"{name}:|" for name in _LIVE) + ",Reason: "
        return Query(["squeue", "-h", "-r", "--me", "-t", "all", "-O", columns], read_squeue)

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(max(0.0, since - 86400)))
        return (
            Query(["sacct", "-n", "-P", "-X", "-S", start, "-j", ",".join(ids), "-o", _PAST], read_sacct),
            Query(["scontrol", "-o", "show", "job"], read_scontrol),
        )

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["scancel", "-v", *ids]  # silent about unknown ids without -v

    def unknown_ids(self, output: Output) -> set[str]:
        return set(re.findall(r"job id (\S+): Invalid job id", output.stderr))

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["scontrol", "hold", ",".join(ids)]

    def release_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["scontrol", "release", ",".join(ids)]

    def signal_argv(self, job_id: str, signal: str) -> Sequence[str]:
        return ["scancel", "--batch", "--signal", signal, job_id]

    def extend_argv(self, job_id: str, minutes: int) -> Sequence[str]:
        return ["scontrol", "update", f"JobId={job_id}", f"TimeLimit={minutes}"]

    def release_nodes_argv(self, job_id: str, keep: Sequence[str]) -> Sequence[str]:
        """A running job shrinks to the nodes named. https://slurm.schedmd.com/faq.html#job_size"""
        return ["scontrol", "update", f"JobId={job_id}", f"NodeList={compress(keep)}"]

    def wished(self, environ: Mapping[str, str], parameters: Mapping[str, Any]) -> Sequence[Wish]:
        """As the base says: SBATCH_ACCOUNT and its like."""
        found = []
        for variable in sorted(environ):
            if not variable.startswith("SBATCH_") or _NO_WISH.fullmatch(variable):
                continue
            name, value = WISHES.get(variable, ""), _wished(variable, environ[variable])
            if parameters.get("queue_as") == "qos":  # then a queue is a QOS, and there is no word for a partition
                name = {"SBATCH_QOS": "queue", "SBATCH_PARTITION": ""}.get(variable, name)
            if environ[variable] or value:
                found.append(Wish(variable, name, value if name else None))
        return found

    def end_query(self, job_id: str) -> Query:
        return Query(["squeue", "-h", "-j", job_id, "-o", "%e"], _time)

    def queues_query(self) -> Query:
        return Query(["scontrol", "-o", "show", "partition"], read_partition)

    def cluster(self, environ: Any) -> str:
        """The cluster is told by its configuration file and the chosen cluster names, not by a token.

        On a job's nodes slurmd sets SLURM_CONF to a file of its own, so a job in a job is of the cluster that its
        parent was sent to; that of a parent which is not ours is taken for the one that login nodes need no
        variable for.
        """
        if "SLURMD_NODENAME" in environ and not environ.get("SLURM_CLUSTERS"):
            return str(environ.get("PSIJ_JOB_CLUSTER", ""))
        return "|".join(f"{name}={environ[name]}" for name in ("SLURM_CONF", "SLURM_CLUSTERS") if environ.get(name))
