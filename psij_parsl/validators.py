"""Validators: callables that convert a parameter's value, or raise ValueError with the rule that it breaks.

A rule is worded to follow the parameter's name: "must be a whole number above 0". Any callable that raises
`ValueError` or `TypeError` is a validator (`int`, `float`, `str`); `describe` tells people what one takes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, time, timedelta
from signal import Signals
from typing import Any, TypeVar

Validator = Callable[[Any], Any]
_V = TypeVar("_V", bound=Validator)

PLAIN_PUNCTUATION = "._-+:=@%/,"
"""What a `word` may hold besides ASCII letters and digits: no manager's directive parser gives these a
meaning.
"""

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_MEMORY = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(?:([KMGT])(?:i?B)?)?", re.IGNORECASE)
_IN_MB = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}
_UNITS = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", re.I)
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_WORD = re.compile(rf"[A-Za-z0-9{re.escape(PLAIN_PUNCTUATION)}]+")
_PLAIN_NAMES: dict[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _described(description: str) -> Callable[[_V], _V]:
    def mark(validator: _V) -> _V:
        validator.description = description  # type: ignore[attr-defined]  # functions take attributes
        return validator

    return mark


def describe(validator: Validator) -> str:
    """What the validator takes, for a help line: its `description`, or else its name."""
    if isinstance(validator, type) and validator in _PLAIN_NAMES:
        return _PLAIN_NAMES[validator]
    name = getattr(validator, "__name__", type(validator).__name__)
    return str(getattr(validator, "description", name))


@_described("yes or no")
def str2bool(value: Any) -> bool:
    """True or False, also as yes/no, on/off, true/false, 1/0 in any case."""
    text = str(value).strip().lower() if isinstance(value, str | int) else ""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("must be yes or no")


def _whole(value: Any, rule: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(rule)
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(rule)
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?[0-9]+\s*", value):
        raise ValueError(rule)
    return int(value)


@_described("a whole number above 0")
def positive_int(value: Any) -> int:
    """A whole number above 0, also written as text."""
    rule = "must be a whole number above 0"
    number = _whole(value, rule)
    if number < 1:
        raise ValueError(rule)
    return number


@_described("a whole number, 0 or more")
def non_negative_int(value: Any) -> int:
    """A whole number, 0 or more, also written as text."""
    rule = "must be a whole number, 0 or more"
    number = _whole(value, rule)
    if number < 0:
        raise ValueError(rule)
    return number


def one_of(*choices: str) -> Validator:
    """One of these texts, exactly."""

    @_described(f"one of {', '.join(choices)}")
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(value)

    check.__name__ = "one_of"
    check.choices = choices  # type: ignore[attr-defined]  # for help and completion
    return check


@_described("a memory size such as 4G or 512MB (a bare number is MB)")
def memory(value: Any) -> int:
    """A memory size in MB (2**20 bytes), rounded up.

    Units are K, M, G, T, with or without "B" or "iB", in any case; each is 1024 times the one before, as
    every resource manager counts. A bare number is MB: `4G`, `512MB`, `4GiB`, `1.5 GB`, `4096`.
    """
    rule = "must be a memory size above 0 such as 4G or 512MB (a bare number is MB)"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(rule)
    match = _MEMORY.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(rule)
    size = math.ceil(float(match[1]) * _IN_MB[(match[2] or "M").upper()])
    if size < 1:
        raise ValueError(rule)
    return size


@_described("a memory size such as 4G or 512MB, a bare number is MB; 0 for all that a node has")
def memory_or_all(value: Any) -> int:
    """As `memory`; 0 stands for all that a node has."""
    return 0 if type(value) in (int, str) and str(value).strip() == "0" else memory(value)


_DURATION = "a duration such as 90 (minutes), 1h30m, 1:30:00 (H:M:S) or 2-12 (days-hours)"


@_described(_DURATION)
def duration(value: Any) -> int:
    """A length of time in seconds, rounded up.

    Forms are Slurm's, https://slurm.schedmd.com/sbatch.html#OPT_time: a bare number is minutes, `M:S` is
    minutes and seconds (not hours and minutes), `H:M:S`, `D-H`, `D-H:M`, `D-H:M:S`; and with units `2d`,
    `1h30m`, `90s`. Only the first figure may be larger than its clock allows (`90:00`), so that `1:90:00` is
    seen as the slip it is.
    """
    rule = f"must be {_DURATION}"
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(rule)
    else:
        seconds = _seconds(str(value).strip(), rule)
    if seconds <= 0:
        raise ValueError("must be longer than nothing")
    return math.ceil(seconds)


def _seconds(text: str, rule: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text) * 60
    units = _UNITS.fullmatch(text)
    if units and text:
        days, hours, minutes, rest = (float(part or 0) for part in units.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        raise ValueError(rule)
    parts = clock.groups()
    if parts[0] is not None:  # D-H[:M[:S]]
        numbers = [int(part or 0) for part in parts]
        limits = [None, 23, 59, 59]
    else:  # [H:]M:S
        figures = [int(part) for part in parts[1:] if part is not None]
        numbers = [0] * (4 - len(figures)) + figures
        limits = [None] * (5 - len(figures)) + [59] * (len(figures) - 1)
    for number, limit in zip(numbers, limits, strict=True):
        if limit is not None and number > limit:
            raise ValueError(f"{rule}; {number} is over {limit}")
    return ((numbers[0] * 24 + numbers[1]) * 60 + numbers[2]) * 60 + numbers[3]


@_described(_DURATION)
def wall_time(value: Any) -> int:
    """A `duration` as whole minutes, rounded up: what every manager can be asked for."""
    return math.ceil(duration(value) / 60)


def unambiguous(convert: Validator) -> Validator:
    """A reader of durations that refuses `A:B`, which has different meanings for different resource managers."""

    def read(value: Any) -> Any:
        stripped = value.strip() if isinstance(value, str) else ""
        if re.fullmatch(r"\d+:\d+", stripped):
            raise ValueError(f"could be hours and minutes ({stripped}:00), or minutes and seconds (0:{stripped})")
        return convert(value)

    return read


@_described("a plain word")
def word(value: Any) -> str:
    """A plain word, which means itself in any manager's directive line and in a shell.

    ASCII letters, digits and `PLAIN_PUNCTUATION`, at least one, the first not a `-` (it would be an option).
    So there is no blank, quote, backslash, control or non-ASCII character, nor what some manager's parser
    cuts at (`;`, `#`).
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("must be a plain word")
    text = str(value)
    if not text:
        raise ValueError("must not be empty")
    if text.startswith("-"):
        raise ValueError("must not begin with '-'")
    if not _WORD.fullmatch(text):
        raise ValueError(f"must be a plain word: letters, digits and {PLAIN_PUNCTUATION}")
    return text


def list_of(validator: Validator) -> Validator:
    """A list whose items each pass `validator`, or text with commas between them. Gives a tuple."""

    @_described(f"a list, each item {describe(validator)}")
    def check(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = [item.strip() for item in value.split(",") if item.strip()]
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list, or text with commas between the items")
        items = []
        for item in value:
            try:
                items.append(validator(item))
            except (ValueError, TypeError) as error:
                raise ValueError(f"has the item {item!r}, which is wrong: {error}") from error
        return tuple(items)

    check.__name__ = "list_of"
    check.item = validator  # type: ignore[attr-defined]  # for the command line, which takes items one by one
    return check


def matching(pattern: str, what: str) -> Validator:
    """Text that the regular expression matches as a whole. `what` says so: "a PBS resource list"."""
    compiled = re.compile(pattern)

    @_described(what)
    def check(value: Any) -> str:
        plain = isinstance(value, str | int) and not isinstance(value, bool)
        if not plain or not compiled.fullmatch(str(value)):
            raise ValueError(f"must be {what}")
        return str(value)

    check.__name__ = "matching"
    check.pattern = pattern  # type: ignore[attr-defined]  # for the schema of site files
    return check


_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_FROM_NOW = re.compile(r"(?:now)?\+([0-9]{1,9})\s*([a-z]*)", re.IGNORECASE)


@_described("a signal and seconds such as USR1@90 or B:TERM@120")
def end_signal(value: Any) -> str:
    """`USR1@90`, `B:TERM`, `SIGINT@120`, `10@90`: a signal so many seconds (60) before the end; B: to the command alone.

    The answer is [B:]SIGNAL@SECONDS. Raises `ValueError` with the rule.
    """
    match = re.fullmatch(r"(B:)?(?:SIG)?([A-Z]+[12]?|[0-9]{1,2})(?:@([0-9]{1,5}))?", str(value).strip().upper())
    seconds = int(match[3] or 60) if match else 0
    signal = _signal(match[2]) if match else None
    if (
        match is None
        or signal in (None, Signals.SIGKILL, Signals.SIGSTOP, Signals.SIGCHLD)
        or not 0 < seconds < 65536
    ):
        raise ValueError(
            "must be [B:]SIGNAL[@SECONDS] with a signal that a program can catch, such as USR1@90 or B:TERM"
        )
    return f"{match[1] or ''}{signal.name.removeprefix('SIG')}@{seconds}"


def _signal(text: str) -> Signals | None:
    """A signal by its number, or by its name; of one that has several names, such as ABRT and IOT, shells know one."""
    with suppress(KeyError, ValueError):
        return Signals(int(text)) if text.isdecimal() else Signals[f"SIG{text}"]
    return None


@_described("a time such as 16:00, 2026-12-01T08:00 or +2h")
def moment(value: Any) -> str:
    """`2026-12-01T08:00`, `16:00` (the next such time), `+2h`, `now+30minutes` or a datetime, as local time.

    The answer is YYYY-MM-DDTHH:MM:SS. Raises `ValueError` with the rule.
    """
    now = datetime.now().replace(microsecond=0)
    if isinstance(value, datetime):
        return _text(value.astimezone().replace(tzinfo=None) if value.tzinfo else value)
    text = str(value).strip()
    if text.lower() == "now":
        return _text(now)
    if match := _FROM_NOW.fullmatch(text):
        unit = match[2].lower()[:1] or "s"
        if unit in _UNITS_S and re.fullmatch(r"|s|sec.*|m|min.*|h|hours?|d|days?|w|weeks?", match[2].lower()):
            with suppress(OverflowError):
                return _text(now + timedelta(seconds=int(match[1]) * _UNITS_S[unit]))
    with suppress(ValueError):  # no such day or time
        if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", text):
            at = time.fromisoformat(text.zfill(5 if text.count(":") == 1 else 8))
            found = datetime.combine(now.date(), at)
            return _text(found if found >= now else found + timedelta(days=1))
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?", text):
            return _text(datetime.fromisoformat(text))
    raise ValueError("must be a time such as 16:00, 2026-12-01T08:00 or +2h")


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
