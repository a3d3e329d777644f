"""What `psij-run launch` says of a farm: a bar while it goes, a summary at its end, its exit code."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from ..farm.summary import Failed, Summary, told
from .command import TIMED_OUT
from .output import Renderer

_FAILED = 1
_NAMED = 10


class Bar:
    """A line on a terminal that says how far a farm is. Needs rich; without it there is none."""

    def __init__(self, out: Renderer) -> None:
        self._out = out
        self._progress: Any = None
        self._bar: Any = None
        if out.json or not out.err.isatty() or os.environ.get("TERM") == "dumb":
            return
        with suppress(ImportError):
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=Console(file=out.err),
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar = self._progress.add_task("", total=None)
            self._progress.start()

    @property
    def shown(self) -> bool:
        """Whether there is one."""
        return self._progress is not None

    def show(self, summary: Summary) -> None:
        """Draw it."""
        failed = f", {summary.failed} failed" if summary.failed else ""
        self._progress.update(
            self._bar,
            total=summary.total,
            completed=summary.ended + summary.before + summary.failed_before,
            description=f"{summary.running} running{failed}",
            refresh=True,
        )

    def clear(self) -> None:
        """Make room for a line of output; the next `show` draws it anew."""
        if self.shown:
            self._out.err.write("\r\x1b[2K")
            self._out.err.flush()

    def show_cursor(self) -> None:
        """Give the terminal its cursor back: the next signal may end this process at once. From a signal handler."""
        if self.shown:
            os.write(self._out.err.fileno(), b"\x1b[?25h")

    def end(self) -> None:
        """Take it away. Doing so twice is fine."""
        if self.shown:
            self._progress.stop()


def report(out: Renderer, summary: Summary, state: str) -> None:
    """The summary, on stderr for people, on stdout as JSON."""
    if out.json:
        out.answer("", {**told(summary), "state": state})
        return
    for failed in summary.first_failed:
        out.note(_failure(failed))
    if (more := summary.failed - sum(failed.known for failed in summary.first_failed)) > 0:
        out.note(f"{more} more failed; {state} names them")
    out.note(f"{_counted(summary)}; {summary.seconds:.1f} s{_rate(summary)}")
    for line in _advice(summary, state):
        out.note(line)


def exit_code(summary: Summary) -> int:
    """0 if all tasks are done; 128 + the signal that ended us; 124 at the end of the wall time; else 1."""
    if summary.reason.startswith("SIG"):
        return 128 + signal.Signals[summary.reason]
    if summary.reason == "wall time":
        return TIMED_OUT
    return 0 if summary.all_well else _FAILED


def _failure(failed: Failed) -> str:
    if not failed.known:
        return f"task {failed.index}: {failed.error}"
    code = failed.exit_code
    name = ""
    if code > 128:
        with suppress(ValueError):
            name = f" ({signal.Signals(code - 128).name})"
    where = f" on {failed.host}" if failed.host else ""
    why = f": {failed.error}" if failed.error else ""
    output = f"; its output is in {failed.output}" if failed.output and not failed.error else ""
    return f"task {failed.index} failed with exit code {code}{name}{where}{why}{output}"


def _counted(summary: Summary) -> str:
    done = summary.done + summary.before
    parts = [f"{done} done" + (f" ({summary.before} of them before)" if summary.before else "")]
    if failed := summary.failed + summary.failed_before:
        parts.append(f"{failed} failed" + (f" ({summary.failed_before} before)" if summary.failed_before else ""))
    if summary.stopped:
        parts.append(f"{summary.stopped} stopped")
    if summary.unknown:
        parts.append(f"{len(summary.unknown)} with an unknown end")
    if left := (summary.left or 0) - summary.stopped:
        parts.append(f"{left} not begun")
    total = "tasks: " if summary.total is None else f"{summary.total} task{'s' * (summary.total != 1)}: "
    return total + ", ".join(parts)


def _rate(summary: Summary) -> str:
    if not summary.ended or summary.seconds < 0.1:
        return ""
    rate = summary.ended / summary.seconds
    return f", {rate:.{0 if rate >= 10 else 1}f} tasks/s"


def _advice(summary: Summary, state: str) -> Iterator[str]:
    if summary.unknown:
        plural = "s" if len(summary.unknown) > 1 else ""
        yield (
            f"task{plural} {_listed(summary.unknown)} had begun when the farm or a node was lost, and nobody knows how"
            f" {'they' if plural else 'it'} ended: --again unknown runs {'them' if plural else 'it'} again"
        )
    if summary.reason:
        why = {"wall time": "the wall time ends", "halt": "--halt"}.get(summary.reason, summary.reason)
        yield f"stopped ({why}); the same command with --resume goes on from {state}"
    elif summary.failed or summary.failed_before:
        yield f"the same command with --again failed runs those that failed again, from {state}"


def _listed(indices: Sequence[int]) -> str:
    shown = ", ".join(map(str, indices[:_NAMED]))
    return shown + (f" and {len(indices) - _NAMED} more" if len(indices) > _NAMED else "")
