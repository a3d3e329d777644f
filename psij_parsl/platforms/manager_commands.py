"""What a platform says of its manager: tables, and pure functions from a request to a command and from text to data."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..job import DEPENDENCY_KINDS
from ..states import EndReason
from ..system.bounds import MEMORY_MB
from ..system.commands import Output, client_environment
from ..system.job_names import CLUSTER_PREFIX, OUR_ID
from .queries import ErrorPattern, Query, Wish, chunks


class ManagerTables:
    """How a manager behaves, as values: what a platform does not say is as usual."""

    #: The commands that must be on PATH.
    commands: ClassVar[Sequence[str]] = ()
    #: Patterns of environment variables that configure the client and reach every command.
    keep_env: ClassVar[Sequence[str]] = ()
    #: Patterns of variables that belong to a job of this manager and never leak into another one.
    drop_env: ClassVar[Sequence[str]] = ()
    #: Variables of the user's that say what a job is to have, as `wished` reads them: a job that submits finds them too.
    wish_env: ClassVar[Sequence[str]] = ()
    #: Patterns of variables that its nodes set for a job, and that win over those of the submitting shell. "*": all that
    #: the script finds and the client was not given, or given otherwise; not where a login shell runs before it.
    node_env: ClassVar[Sequence[str]] = ()
    #: What it sets only so that there is something: NAME=VALUE, or a pattern of it.
    stopgaps: ClassVar[Sequence[str]] = ()
    #: What it says when it says no, most telling first.
    error_patterns: ClassVar[Sequence[ErrorPattern]] = ()
    #: Seconds between two status queries of one user, where the site says nothing.
    poll_s: ClassVar[float] = 15.0
    #: Seconds after which the manager may know of a start or an end that shows in a job's folder, and is asked.
    early_poll_delays_s: ClassVar[Sequence[float]] = (0.4, 1.2, 3.0, 8.0)
    #: How many ids go into one command.
    chunk: ClassVar[int] = 200
    #: MB that the processes of one question may have in memory, where the site says nothing.
    query_memory_mb: int = MEMORY_MB
    #: How many elements a job array may have.
    array_max: ClassVar[int] = 1000
    #: Whether it refuses to hold or release an array of which elements have ended, and takes the others one by one.
    holds_elements: ClassVar[bool] = False

    # How it takes a submission

    #: The command that submits a script reads it from its standard input, where it cannot be given a file.
    script_on_stdin: ClassVar[bool] = False
    #: The script must be executable.
    executable_script: ClassVar[bool] = False
    #: What a line of its own refusal of a submission looks like, where `error_patterns` also fit other texts; '' where they
    #: do not.
    refusal: ClassVar[str] = ""
    #: How our tag is written so that the manager gives it back unchanged: a text with {} for our id.
    tag_form: ClassVar[str] = "psij:{}"
    #: The kinds of dependencies that it knows. Where there is only afterany, the script sees to the others.
    dependencies: ClassVar[Collection[str]] = DEPENDENCY_KINDS
    #: Whether a job can be sent to another cluster, which the template's parameter `cluster` names.
    names_clusters: ClassVar[bool] = False

    # How its jobs end

    #: Seconds for which it may not know a job before that is lost.
    grace_s: ClassVar[float] = 120.0
    #: What it keeps no record of, once it is over: `UNSTARTED` or `UNSTARTED_ELEMENTS`.
    forgets: ClassVar[str] = ""
    #: Whether it may tell 0 of a job that ended otherwise. Then the exit file is waited for, `exit_lag_s` seconds.
    zero_may_lie: ClassVar[bool] = False
    exit_lag_s: ClassVar[float] = 60.0
    #: Whether the count of starts in a record is the one that the script sees.
    counts_attempts: ClassVar[bool] = True
    #: Exit codes that it takes for orders of its own. The script ends with 1 in their place.
    own_codes: ClassVar[Collection[int]] = ()
    #: Lines of its log that tell why it ended a job: a pattern, and what it means.
    log_signs: ClassVar[Sequence[tuple[str, EndReason]]] = ()
    #: Whether its history is dear, so that a job that left an exit file is not asked about.
    history_is_dear: ClassVar[bool] = False

    # Whose its commands are: see `whose`

    #: The manager's name for people, as in "PBS Pro's qsub".
    product: ClassVar[str] = ""
    #: Commands that tell whose they are and change nothing, the submit command first; what ours say (a pattern).
    probes: ClassVar[Sequence[Sequence[str]]] = ()
    probe_answer: ClassVar[str] = ""
    #: A command that ends well only where this host's client knows its cluster; () if the first probe does.
    cluster_argv: ClassVar[Sequence[str]] = ()
    #: Other managers have commands of these names: it is seen whose they are before the first submission.
    shared_names: ClassVar[bool] = False
    product_known = False


class ManagerCommands(ManagerTables, ABC):
    """The commands of a manager, and how what they print is read. Nothing here runs anything."""

    cluster_name = ""  # the cluster that all commands are for; '': the one that they take by themselves

    @abstractmethod
    def submit_argv(self, script: Path) -> Sequence[str]:
        """The command that submits a script."""

    def waiting_argv(self, tag: str) -> Sequence[str]:
        """A command that submits the script on its standard input, where the manager has one: see `waiting`."""
        return ()

    @abstractmethod
    def job_id(self, stdout: str) -> str:
        """The id in what that command printed; '' if there is none."""

    def job_ids(self, stdout: str) -> Sequence[str]:
        """All texts in it that may be the id, the likeliest first: a site's notices have numbers too."""
        found = self.job_id(stdout)
        return [found] if re.fullmatch(r"(?=.*\d)\S+", found) else []

    def says_only(self, stdout: str, job_id: str) -> bool:
        """Whether what that command printed is that id and the manager's own words: then it needs no proof."""
        return stdout.strip() == job_id

    def element_ids(self, stdout: str, count: int) -> Sequence[str]:
        """The ids of an array's elements in what that command printed, where they are no function of its own id.

        A platform that writes this one gives `SchedulerRecord.whole` and `SchedulerRecord.place` too.
        """
        return ()

    @property
    def lone_elements(self) -> bool:
        """Whether each element of an array has an id that is no function of the array's own."""
        return type(self).element_ids is not ManagerCommands.element_ids

    @abstractmethod
    def live(self) -> Query:
        """All jobs of the user that the manager has at hand."""

    @abstractmethod
    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        """The command that cancels jobs."""

    def unknown_ids(self, output: Output) -> set[str]:
        """The ids that a cancel command said do not exist."""
        return set()

    def ended_ids(self, output: Output) -> set[str]:
        """The ids of which a cancel command said that they have ended, where it takes that for an error."""
        return set()

    def later_ids(self, output: Output) -> set[str]:
        """The ids of which a cancel command said that their nodes do not answer, and that it will be done later."""
        return set()

    def elements_query(self, ids: Sequence[str]) -> Query | None:
        """A further question about the elements of arrays that `live` shows as a whole; None where there are none.

        `ids` are some of our own open submissions, which it shows: a group that `grouped` has made.
        """
        return None

    def grouped(self, ids: Sequence[str]) -> Iterator[Sequence[str]]:
        """The ids in groups, each for one question about its elements, or about what became of it."""
        return chunks(ids, self.chunk)

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        """Questions about jobs that are no longer live; the first that gets an answer counts.

        An answer may have several records of one id, where ids have begun again.

        `since` is the time, in seconds since the epoch, before which none of them was submitted.
        """
        return ()

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str] | None:
        """The command that keeps queued jobs from starting; None where the manager has none."""
        return None

    def release_argv(self, ids: Sequence[str]) -> Sequence[str] | None:
        """The opposite of hold."""
        return None

    def signal_argv(self, job_id: str, signal: str) -> Sequence[str] | None:
        """The command that sends a signal (a name such as USR1) to the job's script."""
        return None

    def extend_argv(self, job_id: str, minutes: int) -> Sequence[str] | None:
        """The command that sets a job's wall time limit to so many minutes."""
        return None

    def release_nodes_argv(self, job_id: str, keep: Sequence[str]) -> Sequence[str] | None:
        """The command that gives back all nodes of a running job but those."""
        return None

    def request_nodes_argv(self, job_id: str, number: int) -> Sequence[str] | None:
        """The command that asks for so many more nodes for a running job."""
        return None

    def end_query(self, job_id: str) -> Query | None:
        """A question whose one record is when a running job's wall time ends, in seconds since the epoch."""
        return None

    def queues_query(self) -> Query | None:
        """A question whose records are `Queue`s; None where the manager cannot say."""
        return None

    def element(self, job_id: str, index: int) -> str:
        """The id of one element of a job array."""
        return f"{job_id}_{index}"

    def whole(self, element_id: str) -> str:
        """The opposite of `element`: the id of the submission that an element's id belongs to."""
        return element_id.partition("_")[0]

    def plain_id(self, job_id: str) -> str:
        """An id as all its spellings have it (with or without the server's domain, ...): ids are compared so."""
        return job_id

    def same_id(self, one: str, other: str) -> bool:
        """Whether two ids are of one job."""
        return one == other or self.plain_id(one) == self.plain_id(other)

    def spoken(self, job_id: str) -> str:
        """An id as the manager's commands for its cluster take it."""
        return job_id

    def named_cluster(self, job_id: str) -> str:
        """The cluster that is part of an id, '' where it says none."""
        return ""

    def tag(self, our_id: str) -> str:
        """What the manager is given to know a submission by."""
        return self.tag_form.format(our_id)

    def tagged(self, tag: str) -> str:
        """The opposite of `tag`: our id, '' for what is no tag of ours."""
        before, _, after = self.tag_form.partition("{}")
        middle = tag[len(before) : len(tag) - len(after)]
        return middle if tag == f"{before}{middle}{after}" and OUR_ID.fullmatch(middle) else ""

    def cluster(self, environ: Any) -> str:
        """What tells this manager's cluster from others that the user can reach; '' for the only one."""
        return "|".join(f"{name}={environ[name]}" for name in sorted(self.keep_env) if environ.get(name))

    def given(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The environment that its commands get, which is all that it knows of ours."""
        return client_environment(self.keep_env, environ)

    def wished(self, environ: Mapping[str, str], parameters: Mapping[str, Any]) -> Sequence[Wish]:
        """What such variables say; `parameters` are the platform's that are known otherwise."""
        return ()

    def cluster_key(self, environ: Any) -> str:
        """`cluster`, with the name of the cluster that all commands are for."""
        key = self.cluster(environ)
        return "|".join(filter(None, (key, f"{CLUSTER_PREFIX}{self.cluster_name}"))) if self.cluster_name else key
