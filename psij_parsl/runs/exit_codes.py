"""A file in which ranks that failed leave their exit codes, where the launcher would lose them."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class ExitCodesFile(NamedTuple):
    """That file, which the first failure makes."""

    path: Path

    def first(self) -> int:
        """The first exit code of a rank that failed; 0 if none has."""
        try:
            codes = self.path.read_text().split()
        except OSError:
            return 0
        return int(codes[0]) if codes and codes[0].isdigit() else 1

    def older_than(self, seconds: float) -> bool:
        """Whether a rank failed so long ago."""
        with suppress(OSError):
            return time.time() - self.path.stat().st_mtime > seconds
        return False

    def remove(self) -> None:
        """It has been read."""
        with suppress(OSError):
            self.path.unlink()
