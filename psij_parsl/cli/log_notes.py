"""Log messages of psij_parsl as notes of the command line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Notes(Protocol):
    """Takes notes: a renderer, or what keeps them for later."""

    def note(self, text: str) -> None: ...


class _NoteHandler(logging.Handler):
    """Prints each log message as a note."""

    def __init__(self, out: Notes) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        self._out.note(record.getMessage())


@contextmanager
def notes_from_log(out: Notes, *, verbose: bool) -> Iterator[None]:
    """Print what psij_parsl logs in the meantime: warnings, or all if `verbose`. The logger is restored afterwards."""
    logger = logging.getLogger("psij_parsl")
    handlers, level, propagate = logger.handlers[:], logger.level, logger.propagate
    logger.handlers[:] = [_NoteHandler(out)]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
