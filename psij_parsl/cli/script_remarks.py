"""Remarks on a job script that is going to run, for what may surprise its user."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence

from ..errors import InvalidRequest
from ..platforms.directives.reading import Directive
from ..platforms.directives.script import ScriptLines

_NOT_COPIED = ("NO", "IF_NEEDED", '""')
_CD = re.compile(r"^\s*(?:cd|chdir|pushd)\b", re.MULTILINE)


def starts_here(path: str, lines: ScriptLines) -> Iterator[str]:
    """A remark on a script that its manager starts elsewhere, such as in the user's home, and we where it was submitted."""
    habits, reading = lines.table.habits, lines.reading
    named = {one.option.name for one in reading.directives if one.option and one.value.upper() not in _NOT_COPIED}
    if copied := sorted(named & habits.copied_by):
        yield (
            f"{path}: starts in its directory, where nothing is copied ({copied[0]}), not in a scratch directory of its"
            f" own as by {lines.table.command}"
        )
    if not habits.starts_at_home or "directory" in reading.words or _CD.search(lines.text):
        return
    if habits.stays_by.isdisjoint(name for one in reading.directives if one.option for name in one.option.names):
        yield f"{path}: starts here, not in your home as by {lines.table.command}"


def no_interpreter(path: str, interpreter: Sequence[str]) -> Iterator[str]:
    """A remark on a script whose interpreter this host does not have."""
    if os.path.isabs(interpreter[0]) and not os.path.exists(interpreter[0]):
        yield f"{path}: there is no {interpreter[0]} here; the job fails unless there is one where it runs"


def calls(path: str, lines: ScriptLines, compat: str) -> list[str]:
    """Remarks on lines of the body that call programs of a manager that the job is not of: they are not on PATH here, or
    serve that manager's own jobs alone. `compat` is the platform for whose programs there are stand-ins.
    """
    from shutil import which

    from .bash_syntax import calls_of

    name, stand_ins = lines.platform.name, lines.platform.stand_ins
    programs = [one for one in lines.table.habits.commands if name != compat or one not in stand_ins]
    found = calls_of(lines.text, programs)
    missing = [call for call in found if which(call[1]) is None]
    useless = [call for call in found if call not in missing and call[1] in stand_ins]
    remarks = []
    if missing:
        text = f"{path} calls programs of {name} that are not on PATH here ({_places(missing)}): they end with 127"
        mended = [one for one in stand_ins if any(one == called for _, called in missing)]
        remarks.append(f"{text}; --compat {name} puts {' and '.join(mended)} there" if mended else text)
    if useless:
        text = f"{path} calls programs that serve {name}'s own jobs alone ({_places(useless)})"
        remarks.append(f"{text}; --compat {name} puts others in their place")
    return remarks


def _places(found: Sequence[tuple[int, str]]) -> str:
    places = ", ".join(f"line {number}: {name}" for number, name in found[:5])
    return places + (f", and {len(found) - 5} more" if len(found) > 5 else "")


def refusal(path: str, refused: Sequence[tuple[Directive, str]], what: str) -> InvalidRequest:
    """The error for options that cannot be, each with its line and the reason."""
    each = "; ".join(f"line {one.line}: {one.said} {_reason(why)}" for one, why in refused)
    return InvalidRequest(
        f"{path}, {each}: {what}",
        hint="change the line, or say it with flags; --ignore-directives reads none of these lines",
    )


def _reason(why: str) -> str:
    return (
        why
        if why.startswith(("has ", "is ", "names ", "asks ", "must ", "waits ", "stands ", "lacks ", "cannot "))
        else f"({why})"
    )


def named_options(directives: Iterable[Directive]) -> str:
    """Options with their lines."""
    return ", ".join(f"line {one.line} {one.said}" for one in directives)


def line_numbers(numbers: Sequence[int]) -> str:
    """Lines of a script, as people name them."""
    several = len(numbers) > 1
    shown_numbers = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    return f"line{'s' if several else ''} {shown_numbers}"
