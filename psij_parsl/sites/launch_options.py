"""How a site's launcher starts runs inside a job, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LaunchOptions:
    """Further options of the site's launcher, and launch lines in place of the launcher's own, by job mode.

    An option is one element of the launcher's argv; a line is a list of them, each a jinja2 template.
    """

    options: tuple[str, ...] = ()
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
