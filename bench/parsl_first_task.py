"""From `parsl.load` to the first result, through our providers and Parsl's own, in one run.

    python -m bench.parsl_first_task [ROUNDS]

They take turns, and the best of each counts: nearly all of it is Python that starts, to which other load only adds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.tools import report, slurm

NAMES = {
    "psij-parsl on Slurm": "ours-slurm",
    "Parsl's SlurmProvider": "parsl-slurm",
    "psij-parsl on local": "ours-local",
    "Parsl's LocalProvider": "parsl-local",
}


class Case:
    """One workflow in a process of its own, from its first task on."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._log = folder / f"{name}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.parsl_case", name, str(folder)],
                env={**environment},
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def answer(self) -> float:
        """The next figure that it prints."""
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(self._log.read_text()[-3000:])
        return float(line)

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def close(self) -> None:
        self._process.communicate()


def main(rounds: int) -> None:
    rows: dict[str, list[float]] = {shown: [] for shown in NAMES}
    with tempfile.TemporaryDirectory() as folder, slurm():
        os.environ["PSIJ_PARSL_HOME"] = f"{folder}/home"
        for _ in range(rounds):
            for shown, name in NAMES.items():
                case = Case(name, Path(folder))
                rows[shown].append(case.answer())
                case.close()
    report(
        "parsl_first_task",
        {shown: min(values) for shown, values in rows.items()},
        unit="s",
        promise="not slower than Parsl's own",
        facts={
            "all": "; ".join(f"{shown}: {', '.join(f'{v:.2f}' for v in values)}" for shown, values in rows.items())
        },
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
