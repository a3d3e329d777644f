"""Many tasks over one allocation: `psij-run launch --each-line`, and `map` in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy_names import lazy_names

if TYPE_CHECKING:
    from .mapping import Results as Results
    from .mapping import TaskFailed as TaskFailed
    from .mapping import map as map
    from .workers import TaskLost as TaskLost

_WHERE = {"Results": ".mapping", "TaskFailed": ".mapping", "TaskLost": ".workers", "map": ".mapping"}
__all__ = [*_WHERE]
__getattr__ = lazy_names(__name__, _WHERE)
