"""Runs a manager's queries and reads the answers record by record; tells a refusal from silence.

A failed, empty or unreadable answer is no information, and one bad record harms one job.
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

_QUESTIONS = 20  # about what is gone, in one answer; whoever is left over is asked about next time


class QueryRunner(ManagerCommands):
    """Asks the manager about jobs, queues and ends."""

    def __init__(self, run: Runner | None = None, home: Path | None = None, cluster: str = "") -> None:
        """`home` is our state directory, for a manager that keeps its own state there.

        `cluster` is the cluster that all commands are for, '' for the one that they take by themselves.
        """
        self.run: Runner = run or CommandRunner(keep_env=self.keep_env)
        self.cluster_name = cluster
        self.queries = 0  # how many questions were asked
        self._warned: set[str] = set()
        self._never: set[str] = set()  # the names of queries that will never be answered

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
            past, silent = self._from_history(ids, since)
            for record in past:
                answer.past.setdefault(self.plain_id(record.id), []).append(record)
            # A job that is not found may be what nobody could tell us, or what we could not read. That history has
            # told of its id is no answer either: it may have been of another job, which had that id before.
            unheard.update(
                job_id for job_id in ids if silent is None or any(job_id in text for text in (*unread, *silent))
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
            pattern = self._error_pattern(output.text) if output.rc is not None else None
            never = pattern is not None and pattern.permanent
            if never and query.name:
                self._never.add(query.name)
            raise Unavailable(
                f"{query.argv[0]} gave no answer: {first_line(output)}",
                output=output.text,
                hint=pattern.hint
                if pattern is not None and never
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
                    check_record(record)
            except Exception as error:  # noqa: BLE001 - a parser meets text that nobody foresaw: it costs that record
                bad.append(str(piece))
                self.warn_once(f"{query.argv[0]}: cannot read {str(piece)[:200]!r} ({type(error).__name__}: {error})")
                continue
            if record is not None:
                good.append(record)
        if bad and not good:
            raise Unavailable(f"{query.argv[0]} printed nothing that can be read", output=output.stdout[:2000])
        return good, bad

    def classify_error(self, output: Output, action: str, own_words: str = "") -> SchedulerError:
        """What a failed command means, as an error with the manager's own words; `own_words` are those that count."""
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
        return next((known for known in self.error_patterns if re.search(known.pattern, text)), None)

    def warn_once(self, text: str) -> None:
        """Say a thing once per executor, however often it is seen."""
        if text and text not in self._warned:
            self._warned.add(text)
            log.warning("%s", text)


def first_line(output: Output) -> str:
    """The most telling line of a command's output: the last error line, else the first line."""
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
