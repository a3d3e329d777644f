"""Backoff: the pause before the next submission of a block, after several in a row have failed."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from ..errors import Error, Unavailable
from .error_handlers import NOT_NOW

_PAUSES_S = (2.0, 300.0)  # after the second failure, and at most


@dataclass
class Backoff:
    """Exponential backoff: a pause after the second failure in a row, twice as long after each further one."""

    failures: int = 0
    not_before: float = 0.0
    last_error: str = ""

    def check(self) -> None:
        """Raise `Unavailable`, with the remaining time and the reason, during a pause."""
        if (remaining := self.not_before - time.monotonic()) > 0:
            raise Unavailable(
                f"{NOT_NOW}{self.failures} blocks in a row could not be submitted; the next try is in {remaining:.0f} s;"
                f" the last error: {self.last_error}"
            )

    def failed(self, error: Error) -> None:
        self.failures += 1
        self.last_error = str(error)
        first, most = _PAUSES_S
        if self.failures > 1:
            pause = min(most, first * 2 ** (self.failures - 2)) * random.uniform(0.75, 1.25)
            self.not_before = time.monotonic() + pause

    def succeeded(self) -> None:
        self.failures, self.last_error = 0, ""
