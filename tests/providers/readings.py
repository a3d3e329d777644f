"""Recorded answers, each with the query of ours that it answers, for tests and benches over all platforms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from psij_parsl.platforms.queries import Query
from psij_parsl.platforms.registry import platform
from psij_parsl.platforms.scheduler import Scheduler

RECORDED = Path(__file__).parents[1] / "recorded"
#: Of each platform that has recordings of its own queries, or texts made from its documentation: the folder, and for
#: "live" or the number of a query of `history` the patterns of files that such a query might have printed.
FILES: Mapping[str, tuple[str, Mapping[str, Sequence[str]]]] = {
    "flux": ("flux", {"live": ["*.jobs-json.txt", "many.json.txt"]}),
    "oar": (
        "oar",
        {
            "live": ["end-*-json.txt", "held-json.txt", "running*-json.txt", "sql.txt", "stat-*-json*.txt"],
            "0": ["endfull-*.txt"],
        },
    ),
