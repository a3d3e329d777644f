"""What a site, a node type and a queue have in common: apart, for most commands on a host without a site need no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: The name that stands for the best queue for a job, and so can be no queue's.
AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a site, a node type or a queue adds to a job, and what it asks of one.

    `parameters` are the platform's own; `setup` are shell texts, loads of modules first; `choices` are the values that
    a field or parameter may have.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    setup: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)  # values may be secret
    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
