"""What a platform defines about its manager: tables of properties, builders of commands, parsers of their output."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..dependency import DEPENDENCY_KINDS
from ..states import EndReason
from ..system.bounds import MEMORY_MB
from ..system.commands import Output, client_environment
from ..system.job_names import CLUSTER_PREFIX, OUR_ID
from .queries import ErrorPattern, Query, Wish, chunks


class ManagerTables:
    """A manager's properties, as class attributes with defaults; a platform sets those that differ."""

    #: The commands that must be on PATH.
    commands: ClassVar[Sequence[str]] = ()
    #: Patterns of environment variables that configure the client and reach every command.
    keep_env: ClassVar[Sequence[str]] = ()
    #: Variables that each of its commands is given, to choose how it prints or how long it waits.
    set_env: ClassVar[Mapping[str, str]] = {}
    #: Patterns of variables that belong to a job of this manager and never leak into another one.
    drop_env: ClassVar[Sequence[str]] = ()
    #: The user's variables that set options of jobs, as `wished` reads them. A job that submits jobs gets them too.
    wish_env: ClassVar[Sequence[str]] = ()
    #: Patterns of variables that its nodes set for a job, and that override those of the submitting shell. "*": all
    #: variables that differ in the script from what the client was given; not where a login shell runs before it.
    node_env: ClassVar[Sequence[str]] = ()
    #: Variables that it sets only if they would be missing: NAME=VALUE, or a pattern of it.
    stopgaps: ClassVar[Sequence[str]] = ()
    #: Its error texts and their meanings; the first that matches counts.
    error_patterns: ClassVar[Sequence[ErrorPattern]] = ()
    #: Seconds between two status queries of one user, where the site sets none.
    poll_s: ClassVar[float] = 15.0
    #: After a start or an end shows in a job's folder, the manager is queried early: so many seconds later.
    early_poll_delays_s: ClassVar[Sequence[float]] = (0.4, 1.2, 3.0, 8.0)
    #: How many ids go into one command.
    chunk: ClassVar[int] = 200
    #: MB of memory that the processes of one query may use, where the site sets none.
    query_memory_mb: int = MEMORY_MB
    #: How many elements a job array may have.
    array_max: ClassVar[int] = 1000
    #: Whether it refuses to hold or release an array with ended elements; the others are then held one by one.
    holds_elements: ClassVar[bool] = False

    # How it takes a submission

    #: The command that submits a script reads it from its standard input, where it cannot be given a file.
    script_on_stdin: ClassVar[bool] = False
    #: The script must be executable.
    executable_script: ClassVar[bool] = False
    #: A pattern of the lines in which the submit command itself refuses a job, where `error_patterns` may match other
    #: texts too; '' where they cannot.
    refusal: ClassVar[str] = ""
    #: The form of our tag that the manager returns unchanged: a text with {} for our id.
    tag_form: ClassVar[str] = "psij:{}"
    #: The kinds of dependencies that it has. Where it has only afterany, the script implements the others. Beside kinds
    #: of ours: `after+`, some minutes after a start; `?`, one of several is enough; `afteranycorr`, any end of the
    #: element with the same index.
    dependencies: ClassVar[Collection[str]] = DEPENDENCY_KINDS
    #: Whether the indices of both arrays must be the same where element follows element.
    same_elements: ClassVar[bool] = False
    #: Whether a job can be sent to another cluster, which the template's parameter `cluster` names.
    names_clusters: ClassVar[bool] = False

    # How its jobs end

    #: Seconds for which a job may be unknown to it before the job counts as lost.
    grace_s: ClassVar[float] = 120.0
    #: The ended jobs that it keeps no record of: `UNSTARTED` or `UNSTARTED_ELEMENTS`.
    forgets: ClassVar[str] = ""
    #: Whether it may report 0 for a job that ended otherwise. Then the exit file is waited for, `exit_lag_s` seconds.
    zero_may_lie: ClassVar[bool] = False
    exit_lag_s: ClassVar[float] = 60.0
    #: Whether the count of starts in a record is the one that the script sees.
    counts_attempts: ClassVar[bool] = True
    #: Exit codes that it takes as commands (to requeue the job, say). The script exits with 1 in their place.
    own_codes: ClassVar[Collection[int]] = ()
    #: Lines of its log that show how it ended a job: a pattern, and the reason; None for a job that somebody deleted.
    #: A group `text` is the part of the line to show, a group `code` the exit code of a job that ended by itself.
    log_signs: ClassVar[Sequence[tuple[str, EndReason | None]]] = ()
    #: Whether its CPU times are those of its last look at the processes: what the script saw may be more.
    samples_cpu_time: ClassVar[bool] = False
    #: Whether jobs hold whole nodes: then the cores that they ask for are not those that they hold.
    gives_whole_nodes: ClassVar[bool] = False
    #: Whether its records of ended jobs, or also of running ones, have `usage`.
    tells_usage: ClassVar[bool] = False
    #: Whether history queries are expensive; then there is none about a job that left an exit file.
    history_is_dear: ClassVar[bool] = False

    # The owner of its commands: see `command_owners`

    #: The manager's name in messages, as in "PBS Pro's qsub".
    product: ClassVar[str] = ""
    #: Commands that show their owner and change nothing, the submit command first; a pattern of this manager's answer.
    probes: ClassVar[Sequence[Sequence[str]]] = ()
    probe_answer: ClassVar[str] = ""
    #: A command that succeeds only if this host's client has a cluster configured; () if the first probe does that.
    cluster_argv: ClassVar[Sequence[str]] = ()
    #: Whether other managers have commands of these names. Then their owner is checked before the first submission.
    shared_names: ClassVar[bool] = False
    product_known = False


class ManagerCommands(ManagerTables, ABC):
    """Builders of a manager's commands, and parsers of their output. Nothing here runs a command."""

    cluster_name = ""  # the cluster that all commands are for; '': the commands' default

    @abstractmethod
    def submit_argv(self, script: Path) -> Sequence[str]:
        """The command that submits a script."""

    def waiting_argv(self, tag: str) -> Sequence[str]:
        """A command that submits the script on its standard input, where the manager has one: see `waiting`."""
        return ()

    @abstractmethod
    def job_id(self, stdout: str) -> str:
        """The job's id in the submit command's output; '' if there is none."""

    def job_ids(self, stdout: str) -> Sequence[str]:
        """All texts in that output that may be the id, the likeliest first: a site's notices have numbers too."""
        job_id = self.job_id(stdout)
        return [job_id] if re.fullmatch(r"(?=.*\d)\S+", job_id) else []

    def says_only(self, stdout: str, job_id: str) -> bool:
        """Whether that output is only this id and the manager's own text: then the id needs no proof."""
        return stdout.strip() == job_id

    def element_ids(self, stdout: str, count: int) -> Sequence[str]:
        """The ids of an array's elements in that output, for a manager where they do not follow from the array's id.

        A platform that overrides this method sets `SchedulerRecord.whole` and `SchedulerRecord.place` too.
        """
        return ()

    @property
    def lone_elements(self) -> bool:
        """Whether the ids of an array's elements do not follow from the array's id."""
        return type(self).element_ids is not ManagerCommands.element_ids

    @abstractmethod
    def live(self) -> Query:
        """The query of all the user's jobs that have not ended, and of ended ones that the manager still shows."""

    @abstractmethod
    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        """The command that cancels jobs."""

    def in_words(self, reason: str) -> str:
        """Why a job waits, for people, from what the manager calls it; what is not known stays as it is."""
        return reason

    def unknown_ids(self, output: Output) -> set[str]:
        """The ids that do not exist, by a cancel command's output."""
        return set()

    def ended_ids(self, output: Output) -> set[str]:
        """The ids of jobs that have ended, by a cancel command's output, where the command takes that as an error."""
        return set()

    def later_ids(self, output: Output) -> set[str]:
        """The ids of jobs that will be cancelled later, for their nodes do not answer, by a cancel command's output."""
        return set()

    def elements_query(self, ids: Sequence[str]) -> Query | None:
        """A further query about the elements of arrays, if `live` shows arrays as a whole; else None.

        `ids` are some of our own open submissions that `live` shows: a group that `grouped` has made.
        """
        return None

    def grouped(self, ids: Sequence[str]) -> Iterator[Sequence[str]]:
        """The ids in groups, each for one query of `elements_query` or `history`."""
        return chunks(ids, self.chunk)

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        """Queries about jobs that are no longer live; the first that gets an answer counts.

        An answer may have several records of one id, where the manager has used an id again.

        `since` is the time, in seconds since the epoch, before which none of them was submitted.
        """
        return ()

    def usage_queries(self, ids: Sequence[str], since: float, *, running: bool) -> Sequence[Query]:
        """Queries about what jobs have used, running or ended ones; their records are `UsageRecord`s, or such with
        the same fields.

        The next is asked while figures are missing. A record may be one of another job that had the same id.
        """
        if not self.tells_usage:
            return ()
        return (self.live(),) if running else self.history(ids, since)

    def threads_query(self, nodes: Sequence[str]) -> Query | None:
        """A query whose records are pairs of a node and the hardware threads that its cores have, for a manager whose
        figures of usage count these; None for one that counts cores.
        """
        return None

    def failure(self, output: Output) -> str:
        """The error in the output of a command that exits with 0 even if it has failed; '' if there is none."""
        return ""

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
        """A query whose one record is when a running job's wall time ends, in seconds since the epoch."""
        return None

    def queues_query(self) -> Query | None:
        """A query whose records are `Queue`s; None where the manager has none."""
        return None

    def element(self, job_id: str, index: int) -> str:
        """The id of one element of a job array."""
        return f"{job_id}_{index}"

    def whole(self, element_id: str) -> str:
        """The opposite of `element`: the id of the submission that an element's id belongs to."""
        return element_id.partition("_")[0]

    def plain_id(self, job_id: str) -> str:
        """The part of an id that all its forms share (with or without the server's domain, ...), to compare ids."""
        return job_id

    def same_id(self, one: str, other: str) -> bool:
        """Whether two ids are of one job."""
        return one == other or self.plain_id(one) == self.plain_id(other)

    def spoken(self, job_id: str) -> str:
        """The form of an id that the manager's commands take, without the cluster."""
        return job_id

    def named_cluster(self, job_id: str) -> str:
        """The cluster that is part of an id, '' if none is."""
        return ""

    def tag(self, our_id: str) -> str:
        """The tag that the manager is given with a submission, by which we recognize the job."""
        return self.tag_form.format(our_id)

    def tagged(self, tag: str) -> str:
        """The opposite of `tag`: our id, '' for a text that is no tag of ours."""
        before, _, after = self.tag_form.partition("{}")
        middle = tag[len(before) : len(tag) - len(after)]
        return middle if tag == f"{before}{middle}{after}" and OUR_ID.fullmatch(middle) else ""

    def cluster(self, environ: Any) -> str:
        """A text that identifies this manager's cluster among those that the user can reach; '' for the only one."""
        return "|".join(f"{name}={environ[name]}" for name in sorted(self.keep_env) if environ.get(name))

    def given(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The environment that its commands get, which is all that they see of ours."""
        return client_environment(self.keep_env, environ, self.set_env)

    def wished(self, environ: Mapping[str, str], parameters: Mapping[str, Any]) -> Sequence[Wish]:
        """What the variables of `wish_env` set; `parameters` are the platform's parameters given by other means."""
        return ()

    def cluster_key(self, environ: Any) -> str:
        """`cluster`, with the name of the cluster that all commands are for."""
        key = self.cluster(environ)
        return "|".join(filter(None, (key, f"{CLUSTER_PREFIX}{self.cluster_name}"))) if self.cluster_name else key
