"""Runs a manager's queries, parses the answers record by record, and classifies errors.

A failed, empty or unreadable answer is no information about any job, and a bad record affects one job only.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import Ambiguous, NotWaitedFor, Rejected, SchedulerError, Unavailable, Unsupported
from ..states import signal_name
from ..system.bounds import Bounds
from ..system.commands import CommandRunner, Output, Runner
from .manager_commands import ManagerCommands
from .queries import Answer, ErrorPattern, Query, Queue, SchedulerRecord, check_record

log = logging.getLogger(__name__)

_MAX_HISTORY_QUERIES = 20  # for vanished jobs, in one answer; the jobs beyond it are asked about next time


class QueryRunner(ManagerCommands):
    """Asks the manager about jobs, queues and end times."""

    def __init__(self, run: Runner | None = None, home: Path | None = None, cluster: str = "") -> None:
        """`home` is our state directory, for a manager that keeps its own state there.

        `cluster` is the cluster that all commands are for, '' for their default.
        """
        self.run: Runner = run or CommandRunner(keep_env=self.keep_env, set_env=self.set_env)
        self.cluster_name = cluster
        self.queries = 0  # how many queries were sent
        self._warned: set[str] = set()
        self._never_answered: set[str] = set()  # the names of queries that will never be answered

    def qstat(
        self,
        vanished_from: Callable[[Mapping[str, SchedulerRecord]], Collection[str]],
        since: float = 0.0,
        arrays: Sequence[str] = (),
    ) -> Answer:
        """Query all of the user's live jobs, then history about those that have vanished.

        `vanished_from(live)` is called with the live records by id and returns the other ids to look up. `arrays`
        are the ids of open arrays, for managers whose answer shows arrays as a whole. Raises `Unavailable` if there
        was no usable answer: then nothing is known about any job.
        """
        before = self.queries
        live, unread = self._ask(self.live(), jobs=True)
        records = {self.plain_id(record.id): record for record in live}
        for group in self.grouped([array_id for array_id in arrays if self.plain_id(array_id) in records]):
            if (query := self.elements_query(group)) is not None:
                elements, unread_elements = self._ask(query, jobs=True)
                unread += unread_elements
                records |= {self.plain_id(record.id): record for record in elements}
        answer = Answer(records, plain_id=self.plain_id)
        unheard: set[str] = set()
        for number, ids in enumerate(self.grouped(list(vanished_from(records)))):
            if number >= _MAX_HISTORY_QUERIES:
                unheard.update(ids)
                continue
            past, unread_history = self._query_history(ids, since)
            for record in past:
                answer.past.setdefault(self.plain_id(record.id), []).append(record)
            # A job without a record may be one that no query could answer, or whose record we could not read. A
            # record of its id in history proves nothing: it may be of another job, which had that id before.
            unheard.update(
                job_id
                for job_id in ids
                if unread_history is None or any(job_id in text for text in (*unread, *unread_history))
            )
        for job_id, past in answer.past.items():
            records.setdefault(job_id, past[-1])
        answer.unheard, answer.queries = frozenset(unheard), self.queries - before
        return answer

    def _query_history(self, ids: Sequence[str], since: float) -> tuple[list[SchedulerRecord], Sequence[str] | None]:
        """Records of vanished jobs, and the texts that could not be read (None if history did not answer this time)."""
        unanswered = False
        wanted = {self.plain_id(job_id) for job_id in ids}
        for query in self.history(ids, since):
            if query.name in self._never_answered:
                continue
            try:
                past, unread = self._ask(query, jobs=True)
                return [r for r in past if self.plain_id(r.id) in wanted], None if unanswered else unread
            except NotWaitedFor:  # the next query would not be waited for, either
                return [], None
            except Unavailable as error:
                unanswered = unanswered or not error.permanent
                self.warn_once(f"history: {error.message}" if not error.permanent else "")
        return [], None if unanswered else ()

    def end_time(self, job_id: str) -> float | None:
        """When a job's wall time ends, in seconds since the epoch; None if never.

        Raises `Unsupported` where the manager cannot say, `Unavailable` where it does not answer.
        """
        query = self.end_query(job_id)
        if query is None:
            raise Unsupported("this platform does not tell when a job ends", hint="ask the manager's own commands")
        return next(iter(self.ask(query)), None)

    def queues(self) -> list[Queue]:
        """The queues and their limits. Raises `Unsupported` where the manager does not list them."""
        query = self.queues_query()
        if query is None:
            raise Unsupported("this platform does not tell its queues", hint="ask the machine's documentation")
        return list(self.ask(query))

    # ---- parsing of answers ------------------------------------------------------------------------------

    def ask(self, query: Query) -> Iterator[Any]:
        """Run a query and return its records. Raises `Unavailable` if the output is no answer."""
        return iter(self._ask(query)[0])

    def _ask(self, query: Query, *, jobs: bool = False) -> tuple[list[Any], list[str]]:
        """The records as from `ask`, and the pieces that could not be read.

        `jobs`: the records must be valid `SchedulerRecord`s.
        """
        self.queries += 1
        # Only a query is bounded: a submit command may hand its own limits on to the job.
        bounds = {"bounds": Bounds(self.query_memory_mb)} if isinstance(self.run, CommandRunner) else {}
        output = self.run(query.argv, **bounds)
        if output.rc is not None and query.no_records(output.text):
            return [], []
        if output.rc not in query.answers or (not output.stdout.strip() and output.stderr.strip()):
            pattern = self._error_pattern(output.text) if output.rc is not None else None
            permanent = pattern is not None and pattern.permanent
            if permanent and query.name:
                self._never_answered.add(query.name)
            raise Unavailable(
                f"{query.argv[0]} gave no answer: {first_line(output)}",
                output=output.text,
                hint=pattern.hint
                if pattern is not None and permanent
                else "states stay as they were; it is asked again later",
                permanent=permanent,
            )
        return self._read_records(query, output, jobs=jobs)

    def _read_records(self, query: Query, output: Output, *, jobs: bool) -> tuple[list[Any], list[str]]:
        records: list[Any] = []
        unread: list[str] = []
        try:
            pieces = list(query.split(output.stdout))
        except SchedulerError:
            raise
        except Exception as error:  # no document, or one of another form: none of the records can be read
            raise Unavailable(
                f"{query.argv[0]} printed nothing that can be read: {error}", output=output.stdout[:2000]
            ) from error
        if query.cut_short(output.stdout):
            unread.append(pieces.pop())
            self.warn_once(f"{query.argv[0]}: the answer is cut short, at {unread[-1][-200:]!r}")
        for piece in pieces:
            try:
                record = query.parse(piece)
                if jobs and record is not None:
                    check_record(record)
            except Exception as error:  # noqa: BLE001 - unforeseen text may raise anything: only that record is lost
                unread.append(str(piece))
                self.warn_once(f"{query.argv[0]}: cannot read {str(piece)[:200]!r} ({type(error).__name__}: {error})")
                continue
            if record is not None:
                records.append(record)
        if unread and not records:
            raise Unavailable(f"{query.argv[0]} printed nothing that can be read", output=output.stdout[:2000])
        return records, unread

    def classify_error(self, output: Output, action: str, own_words: str = "") -> SchedulerError:
        """The error that a failed command stands for, with the manager's own text.

        `own_words` is the part of the output that is classified, '' for all of it.
        """
        name = output.argv[0]
        if output.rc is None:
            return Ambiguous(
                f"{name} did not answer within {output.seconds:.0f} s",
                output=output.text,
                hint="the manager may be busy",
            )
        if output.rc < 0:
            return Ambiguous(
                f"{name} was killed by {signal_name(-output.rc)}", output=output.text, hint="see who did that"
            )
        pattern = self._error_pattern(own_words or output.text)
        text = f"could not {action}: {first_line(output)}"
        if pattern is None:
            return Rejected(text, output=output.text)
        if pattern.accepted:
            return Ambiguous(f"{name}: {first_line(output)}", output=output.text, hint=pattern.hint)
        if pattern.transient:
            return Unavailable(text, output=output.text, hint=pattern.hint)
        server = bool(pattern.limit) and not pattern.client
        return Rejected(text, output=output.text, limit=pattern.limit, hint=pattern.hint, answered=server)

    def _error_pattern(self, text: str) -> ErrorPattern | None:
        return next((pattern for pattern in self.error_patterns if re.search(pattern.pattern, text)), None)

    def warn_once(self, text: str) -> None:
        """Log a warning, but each text only once per executor."""
        if text and text not in self._warned:
            self._warned.add(text)
            log.warning("%s", text)


def first_line(output: Output) -> str:
    """The most informative line of a command's output: the last error line, else the first line."""
    if output.over:
        return f"{output.over}, and was ended"
    if output.rc is None:
        return f"no answer within {output.seconds:.0f} s"
    lines = [line.strip() for line in output.text.splitlines() if line.strip()]
    if errors := [line for line in lines if "error" in line.lower()]:
        return errors[-1]
    if own := [line for line in lines if line.startswith(f"{output.argv[0]}: ")]:
        return own[0]  # a line before it is from the system, and names no command
    if lines and ":" not in lines[0]:
        return ": ".join(lines[:2])
    return lines[0] if lines else f"exit code {output.rc}, without a word"
