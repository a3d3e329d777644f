"""The jobs of an acceptance: what each runs, when it is cancelled, and what its end says."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import Error, Rejected
from ...job import Job
from ...jobs.executor import Submission, failure
from ...signals import should_exit
from ...states import EndReason, JobState, JobStatus
from .arrivals import Arrival, Arrivals, Seen
from .probes import FROM_NODE, NODE_VARIABLE, SEEN, node_words, variables
from .results import FAILED, PASSED, SKIPPED, Verdict
from .targets import Target

_FILE_LAG_S = 10.0  # that a shared file system may take to show a file
#: What a refusal names that concerns each job of a queue, whatever nodes it asks for.
OF_QUEUE = ("project", "queue", "qos", "account limits")
_REFUSED = (
    "likely causes are an account (-A) that is not yours or is not charged here, a queue (-q) that is not open to you or"
    " to that account, and a limit of yours that is reached"
)
_OF_TYPE = "correct the node type in the file, or the node types of the queue"
_SHARED = (
    "`spool` must be a directory that nodes and this host share; if nodes have another path to it, say `on_nodes`"
)


class Trial(ABC):
    """One job, and the checks that its end answers."""

    checks: tuple[str, ...] = ()
    #: Whether its job is the least that can be asked for.
    smallest = False

    def __init__(self, target: Target, job: Job) -> None:
        self.target = target
        self.job = job.with_(name=f"site-test-{self.checks[0]}")
        self.submission: Submission | None = None
        self.status = JobStatus()
        self.began = self.ended = 0.0
        self.cancel_sent = False
        self.arrivals: Arrivals | None = None

    @property
    def where(self) -> str:
        """The queue, and the type of nodes."""
        return self.target.where

    @property
    def seconds(self) -> float:
        """From its submission until its end was seen, or until now."""
        return (self.ended or time.monotonic()) - self.began if self.began else 0.0

    @property
    def to_cancel(self) -> bool:
        """Whether the trial has come to where the job is cancelled."""
        return False

    def verdicts(self, submission: Submission) -> Iterator[Verdict]:
        """What the end of the job says."""
        if self.status.state is JobState.COMPLETED:
            yield from self._of_the_type(list(self.judged(submission)), submission)
        else:
            yield from self.not_completed(submission)

    def _of_the_type(self, verdicts: Sequence[Verdict], submission: Submission) -> Iterator[Verdict]:
        """The verdicts, of which none counts for the type of the target if the job came to a node of another one."""
        arrival = (
            self.arrivals.judged(self.target, self.hosts(submission)) if self.arrivals is not None else Arrival()
        )
        for verdict in verdicts:
            if arrival.other:
                yield Verdict(verdict.check, SKIPPED, arrival.other)
            elif verdict.check != "node":
                yield verdict
            elif arrival.wrong:
                yield Verdict("node", FAILED, arrival.wrong, hint=_OF_TYPE)
            else:
                yield verdict._replace(text="; ".join(filter(None, (verdict.text, arrival.remark))))

    def hosts(self, submission: Submission) -> Sequence[str]:
        """The nodes on which the job ran, as far as its output tells."""
        return ()

    @abstractmethod
    def judged(self, submission: Submission) -> Iterator[Verdict]:
        """What a job says that has ended well."""

    def not_completed(self, submission: Submission) -> Iterator[Verdict]:
        """What a job says that has not ended well."""
        text, details, hint = ended_badly(submission, self.status)
        for check in self.checks:
            yield Verdict(check, FAILED, text, details, hint)

    def unfinished(self, why: str) -> Iterator[Verdict]:
        """What is known of a job that had not ended when the waiting did."""
        reason = f" ({self.status.message})" if self.status.message not in ("", "None") else ""
        state = (
            f"its job is still {self.status.state.name}{reason}" if self.submission else "its job was not submitted"
        )
        for check in self.checks:
            yield Verdict(check, FAILED, f"not known: {state} {why}")

    def refused(self, error: Error) -> Iterator[Verdict]:
        """The verdicts on a job that could not be submitted."""
        hint = error.hint
        if isinstance(error, Rejected) and error.limit in ("", *OF_QUEUE):
            hint = "; ".join(filter(None, (_REFUSED, hint)))
        for check in self.checks:
            yield Verdict(check, FAILED, error.message, getattr(error, "output", ""), hint)

    def not_asked_for(self) -> Iterator[Verdict]:
        """The verdicts on a job that was not submitted, for even the smallest one was refused."""
        for check in self.checks:
            yield Verdict(check, SKIPPED, "not submitted: the smallest job was refused there, see above")


class HoldTrial(Trial):
    """A job that waits on hold until it is cancelled: the queue, the project and the options are right."""

    checks = ("hold",)
    smallest = True

    @property
    def where(self) -> str:
        """The queue, of which all node types are meant."""
        return self.target.name

    @property
    def to_cancel(self) -> bool:
        return self.submission is not None

    def judged(self, submission: Submission) -> Iterator[Verdict]:
        yield Verdict("hold", FAILED, "the job ran although it was submitted on hold")

    def not_completed(self, submission: Submission) -> Iterator[Verdict]:
        if self.status.state is JobState.CANCELED:
            yield Verdict("hold", PASSED, f"taken as {submission.native_id} on hold, and cancelled")
        else:
            yield from super().not_completed(submission)


class PlainTrial(Trial):
    """A job without the site's setup and environment, whose faults are not its own."""

    def __init__(self, target: Target, job: Job) -> None:
        super().__init__(target, job.with_(setup=(), environment={}))


class NodeTrial(PlainTrial):
    """`hostname` on a node, in a folder that both this host and the node see."""

    checks = ("node", "spool")
    smallest = True

    def __init__(self, target: Target, job: Job, word: str, on_nodes: Path | None) -> None:
        super().__init__(target, job)
        self.word, self.on_nodes = word, on_nodes

    def _spool(self, submission: Submission) -> str:
        """Where jobs' folders lie, with what nodes call it if that is another path."""
        here = submission.folder.parent
        return f"{here}, which is {self.on_nodes} on nodes" if self.on_nodes not in (None, here) else str(here)

    def hosts(self, submission: Submission) -> Sequence[str]:
        said = printed(submission.stdout)
        names = said.split()[:1]
        if self.arrivals is not None and names:
            self.arrivals.tell(names[0], Seen(*node_words(said)))
        return names

    def judged(self, submission: Submission) -> Iterator[Verdict]:
        said = printed(submission.stdout).strip()
        if said:
            yield Verdict("node", PASSED, f"{said.splitlines()[0]} ran hostname")
        else:
            yield Verdict("node", FAILED, f"the job ended well, and its output is not in {submission.stdout}")
        spool = self._spool(submission)
        word, host, folder = (text_of(submission.folder / FROM_NODE).splitlines() + [""] * 3)[:3]
        if word != self.word:
            text = f"what a node wrote is not seen here, in {spool}"
            yield Verdict("spool", FAILED, text, hint=_SHARED)
        elif Path(folder) != (self.on_nodes or submission.folder.parent) / submission.folder.name:
            yield Verdict("spool", FAILED, f"{host} wrote in {folder}, and not in {spool}", hint=_SHARED)
        else:
            yield Verdict("spool", PASSED, f"{host} read and wrote in {spool}")

    def not_completed(self, submission: Submission) -> Iterator[Verdict]:
        node, _ = super().not_completed(submission)
        yield node
        if not os.path.lexists(submission.folder / "claim"):
            text = f"nodes do not see {self._spool(submission)}: none has written into the job's folder"
            yield Verdict("spool", FAILED, text, hint=_SHARED)
        elif text_of(submission.folder / FROM_NODE).startswith(self.word):
            yield Verdict("spool", PASSED, f"a node read and wrote in {self._spool(submission)}")
        else:
            yield Verdict("spool", SKIPPED, "the job ended before it could tell")


class EnvironmentTrial(Trial):
    """The site's modules, setup and environment, and what a job has of it."""

    checks = ("environment",)

    def hosts(self, submission: Submission) -> Sequence[str]:
        return [name] if (name := self._seen(submission).get(NODE_VARIABLE)) else []

    def _seen(self, submission: Submission) -> dict[str, str]:
        path = submission.folder / SEEN
        wait_for_file(path)
        return variables(path.read_bytes() if path.is_file() else b"")

    def judged(self, submission: Submission) -> Iterator[Verdict]:
        seen = self._seen(submission)
        wrong = [name for name, value in self.job.environment.items() if seen.get(name) != value]
        if wrong:
            text = f"a job does not have the value of the file for {', '.join(wrong)}"
            yield Verdict("environment", FAILED, text, hint="a setup or a module may have changed it")
            return
        loads = [text.removeprefix("module load ") for text in self.job.setup if text.startswith("module load ")]
        loaded = seen.get("LOADEDMODULES", "").split(":")
        missing = [
            name for text in loads for name in text.split() if name[0] not in "-+" and not _among(name, loaded)
        ]
        if missing:
            yield Verdict(
                "environment", FAILED, f"not loaded in a job, though no error was told: {', '.join(missing)}"
            )
            return
        setups = len(self.job.setup) - len(loads)
        parts = ((len(loads), "module"), (setups, "setup text"), (len(self.job.environment), "variable"))
        counted = [f"{number} {what}{'s' * (number > 1)}" for number, what in parts if number]
        yield Verdict("environment", PASSED, f"{' and '.join(counted)} worked")


class CancelTrial(PlainTrial):
    """A job that is cancelled while it runs."""

    checks = ("cancel",)

    @property
    def to_cancel(self) -> bool:
        return self.status.state is JobState.ACTIVE

    def judged(self, submission: Submission) -> Iterator[Verdict]:
        yield Verdict("cancel", FAILED, "the job ended as COMPLETED before it was cancelled")

    def not_completed(self, submission: Submission) -> Iterator[Verdict]:
        if self.cancel_sent and self.status.state is JobState.CANCELED:
            yield Verdict("cancel", PASSED, "a running job was cancelled, and ended CANCELED")
        else:
            yield from super().not_completed(submission)


class WallTimeTrial(PlainTrial):
    """A job that runs longer than its wall time."""

    checks = ("walltime",)

    def judged(self, submission: Submission) -> Iterator[Verdict]:
        yield Verdict("walltime", FAILED, "the job ran to its end, beyond its wall time")

    def not_completed(self, submission: Submission) -> Iterator[Verdict]:
        if self.status.reason is EndReason.TIMEOUT:
            yield Verdict("walltime", PASSED, f"ended with TIMEOUT after {self.job.wall_time_min} min of wall time")
        else:
            yield from super().not_completed(submission)


def ended_badly(submission: Submission, status: JobStatus) -> tuple[str, str, str]:
    """A sentence on an end, the last lines of the job's output, and a hint."""
    _, _, tail = failure(submission, status).message.partition("\n")
    return f"its job ended {status.describe()}", tail, status.reason.hint if status.reason else ""


def wait_for_file(path: Path) -> None:
    """Until a file that a job has written is seen here and not empty, or that takes too long."""
    deadline = time.monotonic() + _FILE_LAG_S
    while time.monotonic() < deadline and not (path.is_file() and path.stat().st_size):
        if should_exit(0.1):
            return


def text_of(path: Path) -> str:
    """The text of a file, as soon as it is seen here; '' if it is not."""
    wait_for_file(path)
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def printed(path: Path | None) -> str:
    """What a job has printed."""
    return text_of(path) if path is not None else ""


def _among(name: str, loaded: list[str]) -> bool:
    """Whether a module is loaded, which may be named without its version."""
    return any(one == name or one.startswith(f"{name}/") for one in loaded)
