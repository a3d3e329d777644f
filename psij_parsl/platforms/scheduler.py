"""One resource manager's command line: `qsub`, `qstat`, `qdel` over the platform's tables and pure functions.

A platform says which argv to run and how to read one record of the answer. Everything that is the same for all
managers, and that the field learnt the hard way, is done here: time limits, retries, telling a refusal from
silence, isolating one bad record, never reading silence as "no jobs".
"""

from __future__ import annotations

import logging
import re
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from ..errors import Ambiguous, NotWaitedFor, Rejected, SchedulerError, Unavailable, Unsupported
from ..job import DEPENDENCY_KINDS
from ..states import EndReason, JobStatus, signal_name, sound
from ..system.bounds import MEMORY_MB, Bounds
from ..system.commands import CommandRunner, Output, Runner, RunningCommand, backoff, client_environment
from ..system.job_names import CLUSTER_PREFIX, OUR_ID

log = logging.getLogger(__name__)

UNSTARTED = "jobs that were cancelled before they started"
UNSTARTED_ELEMENTS = "elements of arrays that were cancelled before they started"
_QUESTIONS = 20  # about what is gone, in one answer; whoever is left over is asked about next time


class SchedulerRecord(NamedTuple):
    """One job in a manager's answer.

    `tag` is what we put on it at submission, as the manager gives it back; `output` the path to which the manager
    writes its own log, which carries our tag too; `submitted` the manager's own time of submission, in seconds since
    the epoch; `cluster` where the job is, if the answer says. `moved`: it was handed on to another server, and what
    this one says is no word about how it is. `leftover`: it has failed for certain, as `status` says, and stays in
    the manager's books, where it could be started again, until it is dropped. Of an array's element whose id is no
    function of the array's own, `whole` is the array's id and `place` its place among the elements, from 0. `alias` is
    another id, as `Scheduler.plain_id` has it, by which the manager's commands reach the same job.
    """

    id: str
    status: JobStatus
    tag: str = ""
    submitted: float | None = None
    output: str = ""
    cluster: str = ""
    moved: bool = False
    leftover: bool = False
    foreign: bool = False
    whole: str = ""
    place: int | None = None
    alias: str = ""


_sound_kinds: set[tuple[type, ...]] = set()  # of the parts of records that were looked at: of ten thousand few differ


def _check(record: Any) -> None:
    """Raise `TypeError` for what a platform's reader gave that is no record of a job."""
    if not isinstance(record, SchedulerRecord) or not isinstance(record.status, JobStatus):
        raise TypeError(f"{type(record).__name__} is no Record with a JobStatus")
    status = record.status
    kinds = (*map(type, record), type(status.state), type(status.native), type(status.message), type(status.nodes))
    if kinds in _sound_kinds and record.id:
        return
    texts = (record.id, record.tag, record.output, record.cluster, record.whole, record.alias)
    numbers = isinstance(record.submitted, int | float | None) and isinstance(record.place, int | None)
    if not (record.id and all(isinstance(text, str) for text in texts) and numbers and sound(status)):
        raise TypeError("a Record with fields of wrong kinds")
    _sound_kinds.add(kinds)


class Accepted(NamedTuple):
    """What a submit command that ended well printed: the `ids` that it may have meant, the likeliest first.

    `alone`: nothing else was printed, so it needs no proof. `elements` are the ids of an array's
    elements, in their order, where these are no function of the array's own id.
    """

    ids: Sequence[str]
    alone: bool
    elements: Sequence[str] = ()


class Wish(NamedTuple):
    """What a variable of the manager's own says of jobs: a job's field or a parameter of the platform, and its value.

    `value` is None where the variable cannot be followed.
    """

    variable: str
    name: str = ""
    value: str | None = None


class Queue(NamedTuple):
    """A queue and its limits; None means none, or not told. `minutes` is the longest wall time."""

    name: str
    up: bool = True
    default: bool = False
    max_nodes: int | None = None
    minutes: int | None = None
    min_nodes: int | None = None


@dataclass(frozen=True)
class Query:
    """A question, and how to read the answer one record at a time.

    `parse` returns None for a record that tells nothing, and may raise for one that it cannot read: that one
    alone is lost. `answers` are the exit codes with which the output counts as an answer. A query with a `name` that
    was said to be never answered here is not asked again.
    """

    argv: Sequence[str]
    parse: Callable[[Any], Any]
    split: Callable[[str], Iterable[Any]] = str.splitlines
    answers: Collection[int] = (0,)
    name: str = ""


@dataclass(frozen=True)
class ErrorPattern:
    """An error text of the manager, and what it means.

    `transient`: asking again may help, and what was asked has certainly not been done. `accepted`: it may have been
    done all the same. `limit`: the parameter that was at fault. `permanent` of a query: it will never be answered
    on this machine. `client`: the command itself complains, and the server was not asked.
    """

    pattern: str
    transient: bool = False
    accepted: bool = False
    permanent: bool = False
    client: bool = False
    limit: str = ""
    hint: str = ""


@dataclass
class Answer:
    """What the manager knows: records by `Scheduler.plain_id`, of live jobs before those of history.

    `past` has all that history told of an id, for ids begin again. `unheard` are ids that could not be asked about
    just now, `queries` counts the commands that it took.
    """

    records: dict[str, SchedulerRecord] = field(default_factory=dict)
    past: dict[str, list[SchedulerRecord]] = field(default_factory=dict)
    unheard: frozenset[str] = frozenset()
    queries: int = 1
    plain_id: Callable[[str], str] = str

    def of(self, job_id: str) -> SchedulerRecord | None:
        """The record of that id, in whatever spelling; None if there is none."""
        return self.records.get(self.plain_id(job_id))


class Scheduler(ABC):
    """One manager. A subclass gives tables and pure functions; the verbs below are built from them."""

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

    def __init__(self, run: Runner | None = None, home: Path | None = None, cluster: str = "") -> None:
        """`home` is our state directory, for a manager that keeps its own state there.

        `cluster` is the cluster that all commands are for, '' for the one that they take by themselves.
        """
        self.run: Runner = run or CommandRunner(keep_env=self.keep_env)
        self.cluster_name = cluster
        self.queries = 0  # how many questions were asked
        self._warned: set[str] = set()
        self._never: set[str] = set()  # the names of queries that will never be answered

    # ---- what the platform says: pure functions ----------------------------------------------------------

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
        return type(self).element_ids is not Scheduler.element_ids

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

    # ---- the verbs ---------------------------------------------------------------------------------------

    def waiting(self, tag: str) -> RunningCommand | None:
        """The submit command, started and waiting for a script, so that its start-up costs no time of its own.

        What it is given must be given whole: killed halfway, nobody may leave it with a part of a script. Hence
        `qsub` writes it in one step, into a pipe that holds it all. Without a script it does nothing.
        """
        argv = self.waiting_argv(tag)
        if not argv or not isinstance(self.run, CommandRunner):
            return None
        return self.run.start(argv, cwd="/")  # a directory that the job's node has too

    def qsub(self, script: Path, *, timeout_s: float = 60.0) -> str:
        """Submit a script and return the manager's id for it, an opaque string. Raises as `submit` does."""
        answer = self.submit(script, timeout_s=timeout_s)
        if len(answer.ids) > 1:
            raise Ambiguous(f"the answer has several ids: {', '.join(answer.ids)}", hint="its words are kept")
        return answer.ids[0]

    def submit(
        self, script: Path, *, waiting: RunningCommand | None = None, array: int = 0, timeout_s: float = 60.0
    ) -> Accepted:
        """Submit a script, of an array of so many elements or of a plain job (0), and return what was answered.

        What certainly has not arrived is tried again, with growing pauses. Raises `Rejected` when the manager
        refuses, `Unavailable` when it cannot be reached and certainly has not taken the job, and `Ambiguous` when
        it may have: the caller must look for the job before it submits again.
        """
        argv = self.submit_argv(script)
        pauses = backoff(first_s=0.5, most_s=8.0, tries=4)
        while True:
            if waiting is not None and waiting.fits_in_pipe(script.stat().st_size):
                output = waiting.finish(script.read_bytes(), timeout_s=timeout_s)
            elif self.script_on_stdin:
                output = self.run(argv, timeout_s=timeout_s, cwd=str(script.parent), stdin=script)
            else:
                output = self.run(argv, timeout_s=timeout_s, cwd=str(script.parent))
            waiting = None
            ids = self.job_ids(output.stdout)
            if output.rc == 0 and ids:
                elements = self.element_ids(output.stdout, array) if array else ()
                elements = elements if len(elements) == array else ()  # those that it did not say are told later
                return Accepted(ids, self.says_only(output.stdout, ids[0]), elements)
            error = self._unsubmitted(output, ids)
            if not isinstance(error, Unavailable):
                raise error
            try:
                time.sleep(next(pauses))
            except StopIteration:
                raise error from None

    def _unsubmitted(self, output: Output, ids: Sequence[str]) -> SchedulerError:
        """What a submit command that gave no sure id means: only its own words make a refusal certain."""
        if output.rc == 0:
            return Ambiguous(
                f"{output.argv[0]} ended well but printed no job id", output=output.text, hint="its words are kept"
            )
        own = self._own_words(output.text)
        error = self.classify_error(output, "submit the job", own)
        if isinstance(error, Ambiguous):
            return error
        if ids:
            return Ambiguous(
                f"{output.argv[0]} failed, and yet printed {ids[0]}: {_first_line(output)}", output=output.text
            )
        certain = self._error_pattern(own) is not None
        if isinstance(error, Rejected) and not (certain and re.search(self.refusal, own, re.MULTILINE)):
            return Ambiguous(error.message, output=error.output, hint=error.hint, unknown=True)
        return error

    def _own_words(self, said: str) -> str:
        """The lines in which the submit command itself says no; all of them where none is known to be one.

        A site's notices stand beside them, and may have any words: of accounts, of servers that refuse a connection.
        """
        lines = said.splitlines() if self.refusal else []
        return "\n".join(line for line in lines if re.search(self.refusal, line)) or said

    def qstat(
        self,
        vanished_from: Callable[[Mapping[str, SchedulerRecord]], Collection[str]],
        since: float = 0.0,
        arrays: Sequence[str] = (),
    ) -> Answer:
        """Ask about all of the user's jobs, then history about those that are gone.

        `vanished_from(live)` is called with the live records by id and says which others to look up. `arrays` are
        the ids of open arrays, for managers whose answer shows them as a whole. Raises `Unavailable` when there was
        no usable answer: then nothing is known about any job.
        """
        before = self.queries
        live, unread = self._ask(self.live(), jobs=True)
        records = {self.plain_id(record.id): record for record in live}
        for group in self.grouped([each for each in arrays if self.plain_id(each) in records]):
            if (query := self.elements_query(group)) is not None:
                elements, torn = self._ask(query, jobs=True)
                unread += torn
                records |= {self.plain_id(record.id): record for record in elements}
        answer = Answer(records, plain_id=self.plain_id)
        unheard: set[str] = set()
        for number, ids in enumerate(self.grouped(list(vanished_from(records)))):
            if number >= _QUESTIONS:
                unheard.update(ids)
                continue
            found, silent = self._from_history(ids, since)
            for record in found:
                answer.past.setdefault(self.plain_id(record.id), []).append(record)
            # A job that is not found may be what nobody could tell us, or what we could not read.
            unheard.update(
                job_id
                for job_id in ids
                if self.plain_id(job_id) not in answer.past
                and (silent is None or any(job_id in text for text in (*unread, *silent)))
            )
        for job_id, past in answer.past.items():
            records.setdefault(job_id, past[-1])
        answer.unheard, answer.queries = frozenset(unheard), self.queries - before
        return answer

    def _from_history(self, ids: Sequence[str], since: float) -> tuple[list[SchedulerRecord], Sequence[str] | None]:
        """Records of vanished jobs, and the texts that could not be read; None if history did not answer just now."""
        silent = False
        wanted = {self.plain_id(job_id) for job_id in ids}
        for query in self.history(ids, since):
            if query.name in self._never:
                continue
            try:
                past, unread = self._ask(query, jobs=True)
                return [r for r in past if self.plain_id(r.id) in wanted], None if silent else unread
            except NotWaitedFor:  # the next question would not be, either
                return [], None
            except Unavailable as error:
                silent = silent or not error.permanent
                self.warn_once(f"history: {error.message}" if not error.permanent else "")
        return [], None if silent else ()

    def qdel(self, ids: Collection[str]) -> set[str]:
        """Cancel jobs; those already ended are fine. Returns the ids that the manager does not know."""
        unknown: set[str] = set()
        for group in chunks(sorted(ids), self.chunk):
            output = self._command(self.cancel_argv(group), "cancel", tolerate=group)
            unknown |= self._meant(self.unknown_ids(output), group)
            for job_id in sorted(self._meant(self.later_ids(output), group)):
                complaint = self._error_pattern(output.text)
                hint = complaint.hint if complaint is not None else output.text
                self.warn_once(f"{job_id} is out of reach just now, and is cancelled when that is over; {hint}")
        return unknown

    def _meant(self, said: Collection[str], ids: Collection[str]) -> set[str]:
        """Those of the ids that a command named, in whatever spelling."""
        plain = {self.plain_id(each) for each in said}
        return {job_id for job_id in ids if self.plain_id(job_id) in plain}

    def hold(self, ids: Collection[str]) -> None:
        """Keep queued jobs from starting. Raises `Unsupported` where the manager cannot."""
        for group in chunks(sorted(ids), self.chunk):
            self._optional(self.hold_argv(group), "hold jobs")

    def release(self, ids: Collection[str]) -> None:
        """Let held jobs start. Raises `Unsupported` where the manager cannot."""
        for group in chunks(sorted(ids), self.chunk):
            self._optional(self.release_argv(group), "release jobs")

    def signal(self, job_id: str, signal: str) -> None:
        """Send a signal to the job's script. Raises `Unsupported` where the manager cannot."""
        self._optional(self.signal_argv(job_id, signal), "send signals")

    def extend(self, job_id: str, minutes: int) -> None:
        """Set the wall time limit. Raises `Unsupported` or, when the user may not, `Rejected`."""
        self._optional(self.extend_argv(job_id, minutes), "change a wall time")

    def release_nodes(self, job_id: str, keep: Sequence[str]) -> None:
        """Give back all nodes of a running job but those. Raises `Unsupported` or `Rejected`, likewise."""
        with tempfile.TemporaryDirectory() as scratch:  # for scripts that some managers leave where they are called
            self._optional(self.release_nodes_argv(job_id, keep), "give back nodes of a running job", cwd=scratch)

    def request_nodes(self, job_id: str, number: int) -> None:
        """Ask for more nodes for a running job. Raises `Unsupported` or `Rejected`, likewise."""
        self._optional(self.request_nodes_argv(job_id, number), "add nodes to a running job")

    def end_time(self, job_id: str) -> float | None:
        """When a job's wall time ends, in seconds since the epoch; None if never.

        Raises `Unsupported` where the manager cannot say, `Unavailable` where it does not answer.
        """
        query = self.end_query(job_id)
        if query is None:
            raise Unsupported("this platform does not tell when a job ends", hint="ask the manager's own commands")
        return next(iter(self.ask(query)), None)

    def queues(self) -> list[Queue]:
        """The queues and their limits. Raises `Unsupported` where the manager cannot say."""
        query = self.queues_query()
        if query is None:
            raise Unsupported("this platform does not tell its queues", hint="ask the machine's documentation")
        return list(self.ask(query))

    # ---- how answers are read ----------------------------------------------------------------------------

    def ask(self, query: Query) -> Iterator[Any]:
        """Run a query and read it record by record. Raises `Unavailable` when the answer is no answer."""
        return iter(self._ask(query)[0])

    def _ask(self, query: Query, *, jobs: bool = False) -> tuple[list[Any], list[str]]:
        """As `ask`, and the texts of the records that could not be read; `jobs`: they must be sound `SchedulerRecord`s."""
        self.queries += 1
        # Only a question is bounded: what submits may hand its own limits on to the job.
        bounds = {"bounds": Bounds(self.query_memory_mb)} if isinstance(self.run, CommandRunner) else {}
        output = self.run(query.argv, **bounds)
        if output.rc not in query.answers or (not output.stdout.strip() and output.stderr.strip()):
            complaint = self._error_pattern(output.text) if output.rc is not None else None
            never = complaint is not None and complaint.permanent
            if never and query.name:
                self._never.add(query.name)
            raise Unavailable(
                f"{query.argv[0]} gave no answer: {_first_line(output)}",
                output=output.text,
                hint=complaint.hint
                if complaint is not None and never
                else "states stay as they were; it is asked again later",
                permanent=never,
            )
        return self._read(query, output, jobs=jobs)

    def _read(self, query: Query, output: Output, *, jobs: bool) -> tuple[list[Any], list[str]]:
        good: list[Any] = []
        bad: list[str] = []
        try:
            pieces = list(query.split(output.stdout))
        except SchedulerError:
            raise
        except Exception as error:  # no document, or none of that form: the same as below, for the whole answer
            raise Unavailable(
                f"{query.argv[0]} printed nothing that can be read: {error}", output=output.stdout[:2000]
            ) from error
        for piece in pieces:
            try:
                record = query.parse(piece)
                if jobs and record is not None:
                    _check(record)
            except Exception as error:  # noqa: BLE001 - a parser meets text that nobody foresaw: it costs that record
                bad.append(str(piece))
                self.warn_once(f"{query.argv[0]}: cannot read {str(piece)[:200]!r} ({type(error).__name__}: {error})")
                continue
            if record is not None:
                good.append(record)
        if bad and not good:
            raise Unavailable(f"{query.argv[0]} printed nothing that can be read", output=output.stdout[:2000])
        return good, bad

    def classify_error(self, output: Output, doing: str, words: str = "") -> SchedulerError:
        """What a failed command means, as an error with the manager's own words; `words` are those that count."""
        said = output.text
        name = output.argv[0]
        if output.rc is None:
            return Ambiguous(
                f"{name} did not answer within {output.seconds:.0f} s", output=said, hint="the manager may be busy"
            )
        if output.rc < 0:
            return Ambiguous(f"{name} was killed by {signal_name(-output.rc)}", output=said, hint="see who did that")
        complaint = self._error_pattern(words or said)
        text = f"could not {doing}: {_first_line(output)}"
        if complaint is None:
            return Rejected(text, output=said)
        if complaint.accepted:
            return Ambiguous(f"{name}: {_first_line(output)}", output=said, hint=complaint.hint)
        if complaint.transient:
            return Unavailable(text, output=said, hint=complaint.hint)
        server = bool(complaint.limit) and not complaint.client
        return Rejected(text, output=said, limit=complaint.limit, hint=complaint.hint, answered=server)

    def _error_pattern(self, said: str) -> ErrorPattern | None:
        return next((each for each in self.error_patterns if re.search(each.pattern, said)), None)

    def warn_once(self, text: str) -> None:
        """Say a thing once per executor, however often it is seen."""
        if text and text not in self._warned:
            self._warned.add(text)
            log.warning("%s", text)

    def _optional(self, argv: Sequence[str] | None, doing: str, cwd: str | None = None) -> None:
        if argv is None:
            raise Unsupported(f"this platform cannot {doing}", hint="`psij-run platform list` shows what each can")
        self._command(argv, doing, cwd=cwd)

    def _command(
        self, argv: Sequence[str], doing: str, tolerate: Collection[str] = (), cwd: str | None = None
    ) -> Output:
        output = self.run(argv, cwd=cwd) if cwd else self.run(argv)
        if output.rc != 0:
            error = self.classify_error(output, doing)
            if isinstance(error, Rejected) and self._meant(
                self.unknown_ids(output) | self.ended_ids(output), tolerate
            ):
                return output
            if isinstance(error, Unavailable) and self._meant(self.later_ids(output), tolerate):
                return output
            if isinstance(error, Ambiguous):
                raise Ambiguous(error.message, output=error.output, hint=error.hint or "try again in a minute")
            raise error
        return output


def chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The items in groups of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _first_line(output: Output) -> str:
    """The most telling line of a command's words: the last error line, else the first line."""
    if output.over:
        return f"{output.over}, and was ended"
    if output.rc is None:
        return f"no answer within {output.seconds:.0f} s"
    lines = [line.strip() for line in output.text.splitlines() if line.strip()]
    if errors := [line for line in lines if "error" in line.lower()]:
        return errors[-1]
    if own := [line for line in lines if line.startswith(f"{output.argv[0]}: ")]:
        return own[0]  # what stands before it is the system's word, which names nobody
    if lines and ":" not in lines[0]:
        return ": ".join(lines[:2])
    return lines[0] if lines else f"exit code {output.rc}, without a word"
