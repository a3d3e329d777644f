"""Points in time as people type them: dates, times of day, ages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_AGE = re.compile(r"(?:\d+(?:\.\d+)?\s*[smhdw]\s*)+")
_DAYS = re.compile(r"\d{1,7}(?:\.\d+)?")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
_RULE = "must be an age (2d, 1h30m; a number alone is days), a date (2026-11-27), a time (14:30) or both (2026-11-27T14:30)"


def age(text: str) -> float:
    """Seconds of an age such as 30d, 12h or 1h30m; a number without unit is days."""
    seconds = _age_s(text.strip().lower())
    if seconds is None:
        raise ValueError("must be an age such as 30d, 12h or 1h30m; a number without unit is days")
    return seconds


def _age_s(text: str) -> float | None:
    if _DAYS.fullmatch(text):
        return float(text) * _UNITS_S["d"]
    if not _AGE.fullmatch(text):
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in re.findall(r"([\d.]+)\s*([smhdw])", text))


def since(text: str) -> float:
    """The beginning of a span of time, in seconds since the epoch: of a day its first moment."""
    return _moment(text, 0)


def until(text: str) -> float:
    """The end of a span of time: of a day its last moment."""
    return _moment(text, 1)


def _moment(text: str, days_later: int) -> float:
    """That point in time; for a day without a time its beginning, or that of a later one."""
    now, word = time.time(), text.strip().lower()
    ago = _age_s(word)
    if ago is not None:
        return max(0.0, now - ago)
    if word == "now":
        return now
    from datetime import date, datetime, timedelta

    named = {"today": 0, "yesterday": 1}
    try:
        if word in named or re.fullmatch(r"\d{4}-\d\d-\d\d", word):
            day = date.today() - timedelta(named[word]) if word in named else date.fromisoformat(word)
            day += timedelta(days_later)
            return _seconds(datetime(day.year, day.month, day.day).timestamp)
        if match := _CLOCK.fullmatch(word):
            hour, minute, second = (int(part or 0) for part in match.groups())
            at = datetime.now().replace(hour=hour, minute=minute, second=second, microsecond=0)
            if at.timestamp() > now:  # it is meant as it was last
                at -= timedelta(1)
            return _seconds(at.timestamp)
        return _seconds(datetime.fromisoformat(text.strip()).timestamp)
    except (OverflowError, ValueError):
        raise ValueError(_RULE) from None


def _seconds(timestamp: Callable[[], float]) -> float:
    return max(0.0, timestamp())
