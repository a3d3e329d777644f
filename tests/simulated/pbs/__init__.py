"""A simulated OpenPBS 23.06.06: formats and exit codes as recorded (tests/recorded/openpbs), or seen on a server."""

from __future__ import annotations

from .commands import manager

__all__ = ["manager"]
