"""A moment that people name: a date, a time of the day, or so long from now."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_FROM_NOW = re.compile(r"(?:now)?\+([0-9]{1,9})\s*([a-z]*)", re.IGNORECASE)


def moment(value: object, now: datetime | None = None) -> str:
    """`2026-12-01T08:00`, `16:00` (the next such time), `+2h`, `now+30minutes` or a datetime, as local time.

    The answer is YYYY-MM-DDTHH:MM:SS. Raises `ValueError` with the rule.
    """
    now = (now or datetime.now()).replace(microsecond=0)
    if isinstance(value, datetime):
        return _text(value.astimezone().replace(tzinfo=None) if value.tzinfo else value)
    text = str(value).strip()
    if text.lower() == "now":
        return _text(now)
    if match := _FROM_NOW.fullmatch(text):
        unit = match[2].lower()[:1] or "s"
        if unit in _UNITS and re.fullmatch(r"|s|sec.*|m|min.*|h|hours?|d|days?|w|weeks?", match[2].lower()):
            try:
                return _text(now + timedelta(seconds=int(match[1]) * _UNITS[unit]))
            except OverflowError:
                pass
    try:
        if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", text):
            at = time.fromisoformat(text.zfill(5 if text.count(":") == 1 else 8))
            found = datetime.combine(now.date(), at)
            return _text(found if found >= now else found + timedelta(days=1))
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?", text):
            return _text(datetime.fromisoformat(text))
    except ValueError:
        pass
    raise ValueError("must be a time such as 16:00, 2026-12-01T08:00 or +2h")


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
