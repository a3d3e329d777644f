"""A simulated Flux, flux-core 0.88: formats and exit codes as recorded (tests/recorded/flux), or seen on an instance."""

from __future__ import annotations

from .commands import manager

__all__ = ["manager"]
