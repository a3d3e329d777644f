"""Tasks per second, commands of the manager per minute, and how soon a block's death is noticed, in one run.

    python -m bench.parsl_throughput

For our providers and Parsl's own. The manager's commands are counted by programs that stand before them on PATH.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bench.parsl_first_task import NAMES, case
from bench.tools import report, slurm
from tests.helpers_slurm import Shims

FIGURES = {
    "tasks_per_s": ("tasks/s", "not fewer than with Parsl's own"),
    "calls_per_minute": ("commands/min", "fewer than Parsl's own"),
    "death_seen_s": ("s", "not later than Parsl's own"),
}


def main() -> None:
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, slurm():
        os.environ["PSIJ_PARSL_HOME"] = f"{folder}/home"
        shims = Shims(Path(folder) / "shims")
        shims.count("sbatch", "squeue", "sacct", "scancel", "scontrol")
        os.environ["PATH"] = shims.path
        for shown, name in NAMES.items():
            rows[shown] = case(name, "load", shims.folder)
    for figure, (unit, promise) in FIGURES.items():
        report(
            f"parsl_{figure.rpartition('_')[0]}", {shown: row[figure] for shown, row in rows.items()}, unit=unit,
            promise=promise,
        )  # fmt: skip


if __name__ == "__main__":
    main()
