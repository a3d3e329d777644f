"""From `parsl.load` to the first result, through our providers and Parsl's own, in one run.

python -m bench.parsl_first_task [ROUNDS]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.tools import report, slurm

NAMES = {
    "psij-parsl on Slurm": "ours-slurm", "Parsl's SlurmProvider": "parsl-slurm", "psij-parsl on local": "ours-local",
    "Parsl's LocalProvider": "parsl-local",
}  # fmt: skip


def case(name: str, what: str, folder: Path) -> dict[str, float]:
    """The figures of one workflow in a process of its own."""
    answer = subprocess.run(
        [sys.executable, "-m", "bench.parsl_case", name, what, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise RuntimeError(f"{name}: {answer.stderr[-3000:]}")
    figures: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return figures


def main(rounds: int) -> None:
    rows: dict[str, list[float]] = {shown: [] for shown in NAMES}
    with tempfile.TemporaryDirectory() as folder, slurm():
        os.environ["PSIJ_PARSL_HOME"] = f"{folder}/home"
        for _ in range(rounds):
            for shown, name in NAMES.items():
                rows[shown].append(case(name, "first", Path(folder))["first_task_s"])
    report(
        "parsl_first_task", {shown: statistics.median(values) for shown, values in rows.items()}, unit="s",
        promise="not slower than Parsl's own", facts={
            "all": "; ".join(f"{shown}: {', '.join(f'{v:.2f}' for v in values)}" for shown, values in rows.items()),
        },
    )  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
