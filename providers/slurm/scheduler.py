"""sbatch, squeue, sacct, scancel and scontrol.

States: https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES and slurm_protocol_defs.c
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.scheduler import (
    UNSTARTED_ELEMENTS,
    ErrorPattern,
    Query,
    Queue,
    Scheduler,
    SchedulerRecord,
    Wish,
)
from psij_parsl.resources.hostlist import compress
from psij_parsl.states import EndReason, JobState, JobStatus
from psij_parsl.system.commands import Output, Runner
from psij_parsl.system.job_names import CLUSTER_PREFIX, cluster_in

_Q, _A, _C, _F, _X = JobState.QUEUED, JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED, JobState.CANCELED

STATES: Mapping[str, JobState] = {
    **dict.fromkeys(("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "POWER_UP_NODE", "EXPEDITING"), _Q),
    **dict.fromkeys(("REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"), _Q),
    **dict.fromkeys(("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "STAGE_OUT", "RESIZING", "SIGNALING"), _A),
    "UPDATE_DB": _A,
    "COMPLETED": _C,
    "FAILED": _F,
    "CANCELLED": _X,
    "REVOKED": JobState.UNKNOWN,
}
_MOVED = frozenset(("REVOKED",))  # a sibling cluster of a federation has it
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
#: However a version writes it: JobHeldUser, JobHoldMaxRequeue, launch_failed_requeued_held, job requeued in held state.
_HELD = re.compile(r"held|JobHoldMaxRequeue", re.IGNORECASE)
#: Reasons that tell why a job ended. All others are why it waited, and stay when it is cancelled while it does.
_ENDED_BY = re.compile(
    r"TimeLimit|NodeDown|NodeFail\w*|OutOfMemory|DependencyNeverSatisfied|BadConstraints|SystemFailure|InvalidAccount"
    r"|InvalidQOS|InactiveLimit|DeadLine|Deadline|Prolog\w*|launch.failed.*|AccountNotAllowed|\w*BurstBuffer\w*|Raised.*"
    r"|Reservation\w*"
)
#: Reasons that say no more than the exit code and the signal. Before 23.02 a script that a signal ended had
#: JobLaunchFailure, since then it has RaisedSignal:9(Killed).
_EMPTY = re.compile(r"None|\(null\)|NonZeroExitCode|JobLaunchFailure|RaisedSignal:\d+(\(.*\))?")
_NEVER_STARTED = 53  # the signal that slurmd reports for a script it could not start


@lru_cache(maxsize=32768)
def status(
    native: str, exit_code: int | None, signal: int, nodes: str, message: str, attempt: int, started: str, ended: str
) -> JobStatus:
    """A status from Slurm's own words; `exit_code` and `signal` are the two halves of its exit status.

    A job that ended without ever having had a node is said to have started when it ended: it never did.
    """
    reason = REASONS.get(native)
    state = STATES.get(native, _F if reason else JobState.UNKNOWN)
    if state is _F and signal == _NEVER_STARTED:
        reason = EndReason.LAUNCH_FAILED
    if state is _X and message == "DependencyNeverSatisfied":  # "Dependency" alone is why it waited
        reason = EndReason.DEPENDENCY
    if _EMPTY.fullmatch(message) or (state.final and not _ENDED_BY.fullmatch(message)):
        message = ""
    had_nodes = state >= _A and bool(nodes or not state.final)
    own = state is _C or (state is _F and reason is None)  # the script's own end, not the manager's doing
    return JobStatus(
        state,
        native,
        exit_code=exit_code if own and not signal else None,
        signal=signal or None if own else None,
        reason=reason,
        message=message,
        nodes=nodes,
        attempt=attempt,
        started=_time(started) if had_nodes else None,
        ended=_time(ended) if state.final else None,
        held=native in HELD_STATES or (state is _Q and _HELD.search(message) is not None),
    )


@lru_cache(maxsize=32768)
def _time(text: str) -> float | None:
    """`2026-11-26T04:02:58`, in this host's time zone; None for N/A, Unknown and None."""
    hour = _hour(text[:13])
    try:
        return None if hour is None else hour + int(text[14:16]) * 60 + int(text[17:19])
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _hour(text: str) -> float | None:
    try:
        return datetime.fromisoformat(f"{text}:00:00").timestamp()
    except ValueError:
        return None


@lru_cache(maxsize=1024)
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


_LIVE = ("State", "exit_code", "RestartCnt", "SubmitTime", "StartTime", "EndTime", "NodeList", "Comment", "StdOut")


def read_squeue(line: str, cluster: str = "") -> SchedulerRecord | None:
    """A line of `live()`; None for one that names the cluster alone.

    An element of an array has a number of its own, too, by which scancel knows it: 12_3/15. A foreign comment may hold
    anything, and so may the path that follows; the reason comes last.
    """
    if line.startswith("CLUSTER: ") or not line:
        return None
    job_id, native, code, restarts, submitted, started, ended, nodes, tag, rest = line.split("|", 9)
    job_id, _, number = job_id.partition("/")
    output, _, message = rest.rpartition("|")
    found = status(native, *exit_status(code), _known(nodes), message.rstrip(), int(restarts or 0), started, ended)
    alias = number if number != job_id else ""
    if cluster:
        job_id = _at(job_id, cluster)
    return SchedulerRecord(
        job_id, found, _known(tag), _time(submitted), output, cluster, native in _MOVED, alias=alias
    )


def _at(job_id: str, cluster: str) -> str:
    """An id as it is kept: with the cluster, where one was named."""
    return f"{job_id};{cluster}" if cluster else job_id


_PAST = "JobID,State,ExitCode,Submit,Start,End,NodeList,Comment,Reason"
_SUBMIT_LINE = "SubmitLine"  # since 21.08; our tag stands in it, whether or not the site keeps comments
_TAG_IN_LINE = re.compile(r"--comment=(psij:\w+)")
#: How we submit, where something on the way took the tag out of it.
_OUR_LINE = re.compile(r"(\S*/)?sbatch --parsable( -M \S+)?( --comment=\S*)?( \S.*/script\.sh)?")


def read_sacct(line: str, cluster: str = "", *, commanded: bool = False) -> SchedulerRecord | None:
    """A line of accounting. It lags behind squeue, so only an end counts. `commanded`: the submit line is the last."""
    if not line:
        return None
    job_id, native, code, submitted, started, ended, nodes, tag, message = line.split("|", 8)
    foreign = False
    if commanded:
        message, _, command = message.partition("|")
        told = _TAG_IN_LINE.search(command)
        tag = told[1] if told else tag
        foreign = bool(command) and not _OUR_LINE.fullmatch(command)
    native = native.split()[0]  # "CANCELLED by 1001"
    found = status(native, *exit_status(code), _known(nodes), message, 0, started, ended)
    if not found.final and native not in _MOVED:
        return None
    return SchedulerRecord(
        _at(job_id, cluster), found, _known(tag), _time(submitted), "", cluster, native in _MOVED, foreign=foreign
    )


def fields(line: str) -> dict[str, str]:
    """`Key=value` pairs of a line of `scontrol -o`; a value may hold blanks, but not ` Key=`."""
    parts = re.split(r"(?:^|\s)([A-Z][A-Za-z:/_.-]*)=", line)
    return {key: value.strip() for key, value in zip(parts[1::2], parts[2::2], strict=True)}


def read_scontrol(line: str, cluster: str = "") -> SchedulerRecord | None:
    """A line of `scontrol -o show job`."""
    if not line.strip() or "JobId=" not in line:
        return None
    data = fields(line)
    job_id = data["JobId"]
    if "ArrayJobId" in data and "ArrayTaskId" in data:
        job_id = f"{data['ArrayJobId']}_{data['ArrayTaskId']}"
    found = status(
        data["JobState"],
        *exit_status(data.get("ExitCode", "")),
        _known(data.get("NodeList", "")),
        data.get("Reason", ""),
        int(data.get("Restarts", 0)),
        data.get("StartTime", ""),
        data.get("EndTime", ""),
    )
    return SchedulerRecord(
        _at(job_id, cluster),
        found,
        _known(data.get("Comment", "")),
        _time(data.get("SubmitTime", "")),
        _known(data.get("StdOut", "")),
        cluster,
        data["JobState"] in _MOVED,
    )


def read_partition(line: str) -> Queue | None:
    """A line of `scontrol -o show partition`."""
    if "PartitionName=" not in line:
        return None
    data = fields(line)

    def number(key: str) -> int | None:
        return int(data[key]) if data.get(key, "").isdigit() else None

    return Queue(
        data["PartitionName"],
        data.get("State") == "UP",
        data.get("Default") == "YES",
        number("MaxNodes"),
        _minutes(data.get("MaxTime", "")),
        number("MinNodes"),
    )


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
    "SBATCH_ACCOUNT": "project",
    "SBATCH_PARTITION": "queue",
    "SBATCH_QOS": "qos",
    "SBATCH_TIMELIMIT": "wall_time_min",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_RESERVATION": "reservation",
    "SBATCH_EXCLUSIVE": "exclusive",
    "SBATCH_GRES": "gres",
    "SBATCH_MEM_PER_NODE": "memory_per_node",
    "SBATCH_THREADS_PER_CORE": "threads_per_core",
    "SBATCH_JOB_NAME": "name",
    "SBATCH_REQUEUE": "requeue",
    "SBATCH_NO_REQUEUE": "requeue",
}
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
    refusal = r"Batch job submission failed|^sbatch: (unrecognized|(error|fatal): )"
    forgets = UNSTARTED_ELEMENTS  # a plain job that is cancelled while it waits leaves a record
    names_clusters = True
    holds_elements = True
    log_signs = (
        (r"(?P<text>Exceeded \w* ?memory limit.*|exceeded memory limit.*)", EndReason.OUT_OF_MEMORY),
        (
            r"(?i)(?P<text>detected \d+ oom.?kill.*|oom.?kill event.*|some of (your|the step) (processes|tasks).*(killed|OOM).*)",
            EndReason.OUT_OF_MEMORY,
        ),
        (r"DUE TO TIME LIMIT", EndReason.TIMEOUT),
        (r"DUE TO NODE FAILURE", EndReason.NODE_FAILURE),
        (r"DUE TO PREEMPTION", EndReason.PREEMPTED),
    )
    poll_s = 15.0
    product = "Slurm"
    probes = (("sbatch", "--version"), ("squeue", "--version"))  # which since 22.05 fail where no cluster is known
    probe_answer = r"^slurm\S* \d+\.\d+"
    error_patterns = (
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
        ErrorPattern(
            r"time limit", limit="wall_time_min", hint="ask for less time with -t, or choose another --queue"
        ),
        ErrorPattern(r"[Nn]ode count|[Tt]oo many nodes", limit="num_nodes", hint="ask for fewer nodes with -N"),
        ErrorPattern(
            r"Memory specification can not be satisfied",
            limit="memory_per_node",
            hint="no node has so much memory: ask for less with --mem",
        ),
        ErrorPattern(r"[Nn]ode name", limit="nodelist", hint="`sinfo -N` lists the nodes"),
        ErrorPattern(
            r"More processors requested", hint="more nodes or cores than there are: ask for fewer of either"
        ),
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

    def __init__(self, run: Runner | None = None, home: Path | None = None, cluster: str = "") -> None:
        """A single name in $SLURM_CLUSTERS is as one that was given. Raises `InvalidRequest` for a list of names."""
        super().__init__(run, home, cluster or os.environ.get("SLURM_CLUSTERS") or cluster_in(_parents(os.environ)))
        if not re.fullmatch(r"([A-Za-z0-9_][\w.-]*)?", self.cluster_name) or self.cluster_name == "all":
            raise InvalidRequest(
                f"{self.cluster_name!r} is not the name of one cluster of Slurm",
                hint="choose one: where the job went would not be known, nor how it is there",
            )

    def _of_cluster(self) -> list[str]:
        return ["-M", self.cluster_name] if self.cluster_name else []

    def submit_argv(self, script: Path) -> Sequence[str]:
        return ["sbatch", "--parsable", *self._of_cluster(), f"--comment={self.tag(script.parent.name)}", str(script)]

    def waiting_argv(self, tag: str) -> Sequence[str]:
        return ["sbatch", "--parsable", *self._of_cluster(), f"--comment={tag}"]

    def job_id(self, stdout: str) -> str:
        """`123`, or `123;cluster` where a cluster was chosen; a site's notices may stand on lines around it."""
        return next(iter(self.job_ids(stdout)), "")

    def job_ids(self, stdout: str) -> Sequence[str]:
        """As `job_id`; what stands with its cluster is likelier than a number alone."""
        lines = (line.strip() for line in stdout.splitlines())
        found = dict.fromkeys(line for line in lines if re.fullmatch(r"\d+(;[\w.-]+)?", line))
        return sorted(found, key=lambda job_id: ";" not in job_id)

    def plain_id(self, job_id: str) -> str:
        return job_id.partition(";")[0]

    def spoken(self, job_id: str) -> str:
        return job_id.partition(";")[0]

    def named_cluster(self, job_id: str) -> str:
        return job_id.partition(";")[2]

    def element(self, job_id: str, index: int) -> str:
        number, semicolon, cluster = job_id.partition(";")
        return f"{number}_{index}{semicolon}{cluster}"

    def whole(self, element_id: str) -> str:
        number, semicolon, cluster = element_id.partition(";")
        return f"{re.split('[_+]', number)[0]}{semicolon}{cluster}"  # 12+1 is a part of a heterogeneous job

    def live(self) -> Query:
        """With `--all`, for without it squeue hides a user's own jobs in partitions that are hidden or closed to them."""
        columns = ",".join(("JobArrayID:/", "JobID:|", *(f"{name}:|" for name in _LIVE), "Reason: "))
        argv = ["squeue", *self._of_cluster(), "--all", "-h", "-r", "--me", "-t", "all", "-O", columns]
        return Query(argv, partial(read_squeue, cluster=self.cluster_name))

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        """Accounting with all records of an id that has begun again (-D), and what the controller still has."""
        start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(max(0.0, since - 86400)))
        wanted = ",".join(map(self.spoken, ids))
        sacct = [*self._of_cluster(), "-n", "-P", "-X", "-D", "-S", start, "-j", wanted, "-o"]
        name = self.cluster_name
        return (
            Query(
                ["sacct", *sacct, f"{_PAST},{_SUBMIT_LINE}"],
                partial(read_sacct, cluster=name, commanded=True),
                name="submit lines",
            ),
            Query(["sacct", *sacct, _PAST], partial(read_sacct, cluster=name), name="accounting"),
            Query(
                ["scontrol", *self._of_cluster(), "--all", "-o", "show", "job"], partial(read_scontrol, cluster=name)
            ),
        )

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["scancel", *self._of_cluster(), "-v", *map(self.spoken, ids)]  # silent about unknown ids without -v

    def unknown_ids(self, output: Output) -> set[str]:
        return set(re.findall(r"job id (\S+): Invalid job id", output.stderr))

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["scontrol", *self._of_cluster(), "hold", ",".join(map(self.spoken, ids))]

    def release_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["scontrol", *self._of_cluster(), "release", ",".join(map(self.spoken, ids))]

    def signal_argv(self, job_id: str, signal: str) -> Sequence[str]:
        return ["scancel", *self._of_cluster(), "--batch", "--signal", signal, self.spoken(job_id)]

    def extend_argv(self, job_id: str, minutes: int) -> Sequence[str]:
        return ["scontrol", *self._of_cluster(), "update", f"JobId={self.spoken(job_id)}", f"TimeLimit={minutes}"]

    def release_nodes_argv(self, job_id: str, keep: Sequence[str]) -> Sequence[str]:
        """A running job shrinks to the nodes named. https://slurm.schedmd.com/faq.html#job_size"""
        return [
            "scontrol",
            *self._of_cluster(),
            "update",
            f"JobId={self.spoken(job_id)}",
            f"NodeList={compress(keep)}",
        ]

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
        return Query(["squeue", *self._of_cluster(), "--all", "-h", "-j", self.spoken(job_id), "-o", "%e"], _time)

    def queues_query(self) -> Query:
        return Query(["scontrol", *self._of_cluster(), "-o", "show", "partition"], read_partition)

    def cluster(self, environ: Any) -> str:
        """The cluster is told by its configuration file, not by a token; that of a chosen name is added to it.

        On a job's nodes slurmd sets SLURM_CONF to a file of its own, so a job in a job is of the cluster that its
        parent was sent to; that of a parent which is not ours is taken for the one that login nodes need no
        variable for.
        """
        if "SLURMD_NODENAME" in environ and not environ.get("SLURM_CLUSTERS"):
            return _parents(environ).partition(CLUSTER_PREFIX)[0].rstrip("|")
        return f"SLURM_CONF={environ['SLURM_CONF']}" if environ.get("SLURM_CONF") else ""


def _parents(environ: Mapping[str, str]) -> str:
    """The cluster key of the job that one stands in; '' outside of one, or in one that is not ours."""
    return environ.get("PSIJ_JOB_CLUSTER", "") if "SLURMD_NODENAME" in environ else ""
