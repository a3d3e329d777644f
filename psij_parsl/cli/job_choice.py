"""Which jobs `list` and `status` show, and in which order: their flags for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import InvalidRequest, nearest
from ..jobs.record_filter import HELD, RecordFilter
from ..states import EndReason, JobState
from .flags import Flag, empty_value
from .job_row import JobRow

if TYPE_CHECKING:
    from .ordering import Order

OPEN_STATES = frozenset((HELD, *(state.name for state in JobState if not state.final)))
STATES = (*(state.name for state in JobState), HELD, *EndReason.__members__)
_OTHER_WORDS = {  # what others call them -> our name
    "PENDING": "QUEUED",
    "WAITING": "QUEUED",
    "RUNNING": "ACTIVE",
    "DONE": "COMPLETED",
    "CANCELLED": "CANCELED",
    "OOM": "OUT_OF_MEMORY",
    "NODE_FAIL": "NODE_FAILURE",
    "ENDED": "COMPLETED,FAILED,CANCELED",
}
SORT_KEYS: Mapping[str, str] = {  # what people type -> key of a row's data
    "submitted": "submitted",
    "started": "started",
    "ended": "ended",
    "wait": "queue_s",
    "run": "run_s",
    "id": "id",
    "name": "name",
    "state": "state",
    "site": "where",
}


def states(texts: Sequence[str]) -> frozenset[str]:
    """States, and reasons for an end, in words with commas between them."""
    return frozenset(map(_state, _words("--state", texts)))


def _state(text: str) -> str:
    word = text.upper().replace("-", "_")
    if word not in STATES:
        near = f"did you mean {_OTHER_WORDS[word]}?" if word in _OTHER_WORDS else nearest(word, STATES)
        raise InvalidRequest(f"--state {text}: there is no such state, and no such reason for an end", hint=near)
    return word


def sites(texts: Sequence[str]) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(_words("--site", texts))


def names(texts: Sequence[str]) -> tuple[str, ...]:
    """Patterns of names."""
    if "" in texts:
        raise empty_value("--name")
    return tuple(texts)


def order(text: str) -> Order:
    """What to sort by: names of `SORT_KEYS` with commas between them, each with `-` before it for the reverse."""
    found = []
    for word in _words("--sort", [text]):
        name = word.lower().removeprefix("-")
        if name not in SORT_KEYS:
            near = nearest(name, SORT_KEYS)
            raise InvalidRequest(f"--sort {text}: jobs cannot be sorted by {name!r}", hint=near)
        found.append((SORT_KEYS[name], word.startswith("-")))
    return found


def _words(flag: str, texts: Sequence[str]) -> list[str]:
    words = [word.strip() for text in texts for word in text.split(",")]
    if "" in texts:
        raise empty_value(flag)
    if not all(words):
        raise InvalidRequest(f"{flag} {','.join(texts)}: a word is missing next to a comma", hint=f"{flag} A,B")
    return words


def wants(wanted: RecordFilter, row: JobRow) -> bool:
    """Whether that row, of a job or of an element, is wanted as it is now."""
    if row.key in ("", "*"):
        return wanted.matches_open(row.entry) and wanted.has_state(row.status, row.entry)
    return wanted.matches_open(row.entry) and wanted.has_this_state(row.status)


CHOICE = (
    Flag(
        "state",
        ("--state",),
        "STATE,...",
        "Show jobs in these states (QUEUED, FAILED, ...), held (HELD), or ended for these reasons (TIMEOUT, ...).",
        states,
        many=True,
        complete="states",
    ),
    Flag("name", ("--name",), "PATTERN", "Show jobs whose name matches, such as 'train-*'.", names, many=True),
    Flag(
        "site",
        ("--site",),
        "NAME,...",
        "Show jobs of these sites; of a platform, those without a site.",
        sites,
        many=True,
        complete="places",
    ),
)
SORT = Flag(
    "sort",
    ("--sort",),
    "KEY,...",
    f"Sort by {', '.join(SORT_KEYS)}; -KEY for the greatest first. By default the newest job is last.",
    order,
    complete="sort_keys",
)
