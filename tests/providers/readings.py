"""A recorded answer, and the query of ours that it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psij_parsl.platforms.queries import Query


@dataclass(frozen=True)
class Reading:
    """`text` is what the manager printed to `query`, whose scheduler's class is `scheduler`."""

    name: str
    scheduler: Callable[..., Any]
    query: Query
    text: str
