"""The base class of all schedulers: `qsub`, `qstat` and `qdel` over a platform's tables and pure functions.

A platform defines which argv to run and how to parse one record of the answer. What is the same for all managers is
done here, and in `query_runner`: time limits, retries, distinguishing a refusal from a missing answer, isolating a
bad record, never taking a missing answer for "no jobs".
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from ..errors import Ambiguous, Rejected, SchedulerError, Unavailable, Unsupported
from ..system.commands import CommandRunner, Output, RunningCommand, backoff
from .queries import Accepted, EarlyCommand, chunks
from .query_runner import first_line
from .usage_queries import UsageQueries


class Scheduler(UsageQueries):
    """The scheduler of one manager: submits, queries, cancels and changes jobs.

    A subclass defines the tables and pure functions of `ManagerCommands`, from which the methods here are built.
    """

    # ---- submission --------------------------------------------------------------------------------------

    def waiting(self, tag: str) -> RunningCommand | None:
        """The submit command, started early and waiting for a script, so that its start-up takes no extra time.

        It must get the whole script or nothing: if this process is killed halfway, the command must not be left with
        a part of one. Hence `submit` writes the script in one step, and is given the command only where its pipe holds
        all of that. Without a script the command does nothing.
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
        self, script: Path, *, early: EarlyCommand | None = None, array: int = 0, timeout_s: float = 60.0
    ) -> Accepted:
        """Submit the script of an array of so many elements, or of a plain job (0), and return the answer.

        `early` is the command of `waiting`, which is tried first.
        A submission that certainly has not arrived is tried again, with growing pauses. Raises `Rejected` if the
        manager refuses the job, `Unavailable` if it cannot be reached and certainly has not accepted the job, and
        `Ambiguous` if it may have accepted it: the caller must look for the job before it submits again.
        """
        pauses = backoff(first_s=0.5, most_s=8.0, tries=4)
        while True:
            if early is not None:
                output = early.command.finish(early.text, timeout_s=timeout_s, meanwhile=early.meanwhile)
            else:
                stdin = {"stdin": script} if self.script_on_stdin else {}
                output = self.run(self.submit_argv(script), timeout_s=timeout_s, cwd=str(script.parent), **stdin)
            early = None
            ids = self.job_ids(output.stdout)
            if output.rc == 0 and ids:
                elements = self.element_ids(output.stdout, array) if array else ()
                elements = elements if len(elements) == array else ()  # if some are missing, later queries show them
                return Accepted(ids, self.says_only(output.stdout, ids[0]), elements)
            error = self._submission_error(output, ids)
            if not isinstance(error, Unavailable):
                raise error
            try:
                time.sleep(next(pauses))
            except StopIteration:
                raise error from None

    def _submission_error(self, output: Output, ids: Sequence[str]) -> SchedulerError:
        """The error of a submit command that printed no certain id. Only its own text makes a refusal certain."""
        if output.rc == 0 and not (self.refusal and re.search(self.refusal, output.text, re.MULTILINE)):
            return Ambiguous(
                f"{output.argv[0]} ended well but printed no job id", output=output.text, hint="its words are kept"
            )
        refusal_text = self._refusal_lines(output.text)
        error = self.classify_error(output, "submit the job", refusal_text)
        if isinstance(error, Ambiguous):
            return error
        if ids:
            return Ambiguous(
                f"{output.argv[0]} failed, and yet printed {ids[0]}: {first_line(output)}", output=output.text
            )
        certain = self._error_pattern(refusal_text) is not None
        if isinstance(error, Rejected) and not (certain and re.search(self.refusal, refusal_text, re.MULTILINE)):
            return Ambiguous(error.message, output=error.output, hint=error.hint, unknown=True)
        return error

    def _refusal_lines(self, text: str) -> str:
        """The lines in which the submit command itself refuses the job; the whole text if no line matches `refusal`.

        A site's notices may stand next to them with any text: about accounts, or servers that refuse a connection.
        """
        lines = text.splitlines() if self.refusal else []
        return "\n".join(line for line in lines if re.search(self.refusal, line)) or text

    # ---- changes of submitted jobs -----------------------------------------------------------------------

    def qdel(self, ids: Collection[str]) -> set[str]:
        """Cancel jobs; one that has already ended is no error. Returns the ids that the manager does not know."""
        unknown: set[str] = set()
        for group in chunks(sorted(ids), self.chunk):
            output = self._command(self.cancel_argv(group), "cancel", tolerate=group)
            unknown |= self._ids_among(self.unknown_ids(output), group)
            for job_id in sorted(self._ids_among(self.later_ids(output), group)):
                pattern = self._error_pattern(output.text)
                hint = pattern.hint if pattern is not None else output.text
                self.warn_once(f"{job_id} is out of reach just now, and is cancelled when that is over; {hint}")
        return unknown

    def _ids_among(self, named: Collection[str], ids: Collection[str]) -> set[str]:
        """Those of `ids` that a command named, in any form."""
        plain = {self.plain_id(job_id) for job_id in named}
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
        import tempfile

        with tempfile.TemporaryDirectory() as scratch:  # for scripts that some managers leave where they are called
            self._optional(self.release_nodes_argv(job_id, keep), "give back nodes of a running job", cwd=scratch)

    def request_nodes(self, job_id: str, number: int) -> None:
        """Ask for more nodes for a running job. Raises `Unsupported` or `Rejected`, likewise."""
        self._optional(self.request_nodes_argv(job_id, number), "add nodes to a running job")

    def _optional(self, argv: Sequence[str] | None, action: str, cwd: str | None = None) -> None:
        if argv is None:
            raise Unsupported(f"this platform cannot {action}", hint="`psij-run platform list` shows what each can")
        self._command(argv, action, cwd=cwd)

    def _command(
        self, argv: Sequence[str], action: str, tolerate: Collection[str] = (), cwd: str | None = None
    ) -> Output:
        output = self.run(argv, cwd=cwd) if cwd else self.run(argv)
        if output.rc == 0 and (text := self.failure(output)):
            raise Rejected(f"could not {action}: {text}", output=output.text)
        if output.rc != 0:
            error = self.classify_error(output, action)
            if isinstance(error, Rejected) and self._ids_among(
                self.unknown_ids(output) | self.ended_ids(output), tolerate
            ):
                return output
            if isinstance(error, Unavailable) and self._ids_among(self.later_ids(output), tolerate):
                return output
            if isinstance(error, Ambiguous):
                raise Ambiguous(error.message, output=error.output, hint=error.hint or "try again in a minute")
            raise error
        return output
