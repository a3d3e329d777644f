"""A simulated Torque: formats and exit codes as recorded of its last public source (tests/recorded/torque).

What was not recorded is of that source or its documentation: arrays' log files, the errors of a server that is away,
slots, dependencies on arrays.
"""

from __future__ import annotations

from .commands import manager

__all__ = ["manager"]
