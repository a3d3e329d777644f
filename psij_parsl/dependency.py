"""What a job may wait for, as a text: `afterok:12`, `after:12+5`, `aftercorr:12`, `singleton`, or several of one is enough."""

from __future__ import annotations

import re
from typing import NamedTuple

from .errors import InvalidRequest, nearest

#: What a job may ask of another that it comes after: that it ended well, ended at all, failed, has started.
DEPENDENCY_KINDS = ("afterok", "afterany", "afternotok", "after")
#: Each element comes after the element with the same index of another array, which must end well.
BY_ELEMENT = "aftercorr"
#: After all jobs of the same name.
SINGLETON = "singleton"
#: What stands between jobs of which one is enough.
ONE_OF = "?"
#: What a manager may know beside kinds: to wait some minutes after a start.
WITH_DELAY = "after+"
_KINDS = (*DEPENDENCY_KINDS, BY_ELEMENT, SINGLETON)


class Dependency(NamedTuple):
    """What a job comes after: another job, and how that is to end; `minutes` after its start."""

    kind: str
    job: str = ""
    minutes: int = 0

    @property
    def text(self) -> str:
        """The same as `Job.after` has it."""
        if self.kind == SINGLETON:
            return SINGLETON
        return f"{self.kind}:{self.job}" + (f"+{self.minutes}" if self.minutes else "")


def read_dependencies(text: str, name: str = "-d") -> tuple[str, ...]:
    """Each dependency of a text with commas between, such as `12,afterany:13:14`. Errors call the text by that name.

    Jobs of which one is enough, `12?13`, are one. Raises `InvalidRequest`.
    """
    if ONE_OF in text:
        if "," in text:
            raise InvalidRequest(
                f"{name} {text}: a comma and {ONE_OF} are in one list, of which all jobs must end, or one of them",
                hint=f"leave out one of the two; `psij-run wait` waits for the rest: for example {name} 12{ONE_OF}13",
            )
        return (ONE_OF.join(one.text for part in text.split(ONE_OF) for one in _read(part, text, name)),)
    return tuple(one.text for part in text.split(",") for one in _read(part, text, name))


def alternatives(text: str) -> tuple[Dependency, ...]:
    """The jobs that one dependency names, of which one is enough: mostly one. Raises `InvalidRequest`."""
    return tuple(one for part in text.split(ONE_OF) for one in _read(part, text, "after"))


def _read(part: str, whole: str, name: str) -> list[Dependency]:
    """The dependencies in a part of a text: `12`, `afterok:12`, `afterok:12:13`."""
    part = part.strip()
    if not part:
        what = f"{name} {whole} names no job next to one of its commas" if "," in whole else f"{name} {whole}".strip()
        what = f"{what} names no job next to {ONE_OF}" if ONE_OF in whole else what
        raise InvalidRequest(
            what if whole.strip() else f"{name} is empty: it names no job",
            hint="was the submission of that job refused? For example: -d last",
        )
    kind, colon, ids = part.partition(":")
    if part == SINGLETON:
        return [Dependency(SINGLETON)]
    if not colon and kind not in _KINDS:
        kind, ids = "afterok", part
    if kind not in _KINDS:
        raise InvalidRequest(f"{name} {whole}: unknown kind of dependency {kind!r}", hint=nearest(kind, _KINDS))
    if kind == SINGLETON:
        raise InvalidRequest(
            f"{name} {whole}: {SINGLETON} waits for the jobs of this job's name, and names none itself",
            hint=f"say {SINGLETON} alone, or afterany:{ids}",
        )
    if not all(ids.split(":")):
        raise InvalidRequest(f"{name} {whole} names no job after {kind!r}", hint=f"for example {name} {kind}:last")
    if kind != "after":
        return [Dependency(kind, job) for job in ids.split(":")]
    return [_after(job, whole, name) for job in ids.split(":")]


def _after(text: str, whole: str, name: str) -> Dependency:
    job, plus, minutes = text.partition("+")
    if plus and not (job and re.fullmatch(r"[0-9]{1,8}", minutes)):
        raise InvalidRequest(
            f"{name} {whole}: {minutes!r} is no number of minutes after the start of {job or 'a job'}",
            hint=f"for example {name} after:{job or 'last'}+10",
        )
    return Dependency("after", job, int(minutes or 0))
