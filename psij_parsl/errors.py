"""Every error that psij-parsl raises, in one tree.

::

    Error                     .hint: what to do next; .exit_status: what `psij-run` exits with
    ├── TemplateError         a template or its parameters are wrong (its author's fault; raised when it is defined)
    ├── InvalidRequest    2   the job, as described, cannot be asked for
    │   ├── DoesNotFit        it can never run in this allocation, however long one waits
    │   └── NeverSatisfied    it comes after a job that has ended, but not as was asked
    ├── SiteError         3   a site or configuration file
    ├── PluginError       3   a platform or launcher that cannot be loaded
    ├── JournalError      3   our own records: no room, no permission, damaged
    ├── AllocationError   3   what the environment says of the job's nodes cannot be understood
    ├── UnknownJob        2   no such job
    ├── SchedulerError    4   the resource manager; .output holds its output verbatim
    │   ├── Rejected          it refused: asking again will not help; .limit names what was hit
    │   ├── Unavailable       it did not answer: asking again may help
    │   │   └── NotWaitedFor      the process that asked had to end before it could answer
    │   └── Ambiguous         it may or may not have taken the job
    ├── Unsupported       4   this platform has no such operation
    ├── JobFailed         1   raised by `Submission.result()`; .status says how it ended
    │   └── LostJob       5   it ended, and how is not known
    ├── LaunchError     125   a command could not be started
    └── Unwritten         6   all was done, and stdout does not take the answer
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .states import JobStatus


class Error(Exception):
    """Base of all. The message says what happened and to what; `hint` says what to do next."""

    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        between = "\n" if "\n" in self.message else " "  # a hint stands apart from the last line of several
        return f"{self.message}{between}({self.hint})" if self.hint else self.message


class TemplateError(Error):
    """A job template that would not do what it says; raised when its class is made."""

    exit_status = 3


class InvalidRequest(Error):
    """A job that cannot be asked for as it is described. Nothing was submitted.

    `about` names the fields of the job that are at fault, where they are known.
    """

    exit_status = 2

    def __init__(self, message: str, *, hint: str = "", about: Iterable[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.about = frozenset(about)


class DoesNotFit(InvalidRequest):
    """A request that this allocation can never fulfil, even when all of it is idle."""


class NeverSatisfied(InvalidRequest):
    """A job that comes after another one, which has ended, but not as was asked: it could never start."""


class SiteError(Error):
    """A site file, or a setting, that is wrong."""

    exit_status = 3


class PluginError(Error):
    """A platform or launcher that is unknown or cannot be loaded."""

    exit_status = 3


class JournalError(Error):
    """Our own records cannot be read or written."""

    exit_status = 3


class AllocationError(Error):
    """What the environment says of the current allocation cannot be understood."""

    exit_status = 3


class UnknownJob(Error):
    """No job goes by that name."""

    exit_status = 2


class SchedulerError(Error):
    """The resource manager refused, or did not answer. `output` holds its output, verbatim."""

    exit_status = 4

    def __init__(self, message: str, *, hint: str = "", output: str = "") -> None:
        super().__init__(message, hint=hint)
        self.output = output


class Rejected(SchedulerError):
    """A refusal that stays one. `limit` names the parameter that was over a limit, where that is known.

    `answered`: the manager's server said so, not the command by itself.
    """

    def __init__(
        self, message: str, *, hint: str = "", output: str = "", limit: str = "", answered: bool = False
    ) -> None:
        super().__init__(message, hint=hint, output=output)
        self.limit = limit
        self.answered = answered


class Unavailable(SchedulerError):
    """No usable answer. It says nothing about any job; asking again may help, unless it is `permanent`."""

    def __init__(self, message: str, *, hint: str = "", output: str = "", permanent: bool = False) -> None:
        super().__init__(message, hint=hint, output=output)
        self.permanent = permanent


class NotWaitedFor(Unavailable):
    """A query given up for a signal to the process that asked, or for its deadline. The manager may be well."""


class Ambiguous(SchedulerError):
    """What was asked was cut short: the manager may do it yet, or have done it.

    `job_id` is our own id, where the job has one. `unknown`: the manager's answer is none that was foreseen, most
    likely a refusal.
    """

    def __init__(
        self, message: str, *, hint: str = "", output: str = "", job_id: str = "", unknown: bool = False
    ) -> None:
        super().__init__(message, hint=hint, output=output)
        self.job_id = job_id
        self.unknown = unknown


class Unsupported(Error):
    """The platform has no such operation."""

    exit_status = 4


class JobFailed(Error):
    """The job ended without success. `status` is its last `JobStatus`; of an array, `elements` are the handles of
    those that did not end well."""

    exit_status = 1

    def __init__(
        self, message: str, *, hint: str = "", status: JobStatus | None = None, elements: Sequence[Any] = ()
    ) -> None:
        from .states import JobStatus

        super().__init__(message, hint=hint)
        self.status = status or JobStatus()
        self.elements = elements


class LostJob(JobFailed):
    """The job is gone, and how it ended is not known."""

    exit_status = 5


class LaunchError(Error):
    """A command could not be started."""

    exit_status = 125


class Unwritten(Error):
    """What was asked for has been done, and stdout does not take the answer."""

    exit_status = 6


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The hint "did you mean ...?" or, when nothing is near, the list of the names."""
    names = sorted(set(candidates))
    import difflib

    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else ""
