"""Tasks per second, commands of the manager per minute, and how soon a block's death is noticed, in one run.

    python -m bench.parsl_throughput

For our providers and Parsl's own. All workflows are up at once, and each runs a batch of tasks in its turn, so that
all meet the same weather. The manager's commands are counted by programs that stand before them on PATH.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from bench.parsl_first_task import NAMES, Case
from bench.tools import report, slurm
from tests.providers.slurm.helpers import Shims

BATCHES = 8
QUIET_S = 180
COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "scontrol")
#: With `show hostnames`, as jobs' scripts use it, it only rewrites text.
_SCONTROL = '[ "$2" = hostnames ] || echo "$EPOCHREALTIME" >>{folder}/scontrol.calls\nexec "$real" "$@"'


def main() -> None:
    rates: dict[str, list[float]] = {shown: [] for shown in NAMES}
    with tempfile.TemporaryDirectory() as folder, slurm():
        os.environ["PSIJ_PARSL_HOME"] = f"{folder}/home"
        shims = {shown: Shims(Path(folder) / name) for shown, name in NAMES.items()}
        cases: dict[str, Case] = {}
        for shown, name in NAMES.items():
            shims[shown].count(*COMMANDS)
            shims[shown].put("scontrol", _SCONTROL.format(folder=shims[shown].folder))
            cases[shown] = Case(name, Path(folder), {**os.environ, "PATH": shims[shown].path})
            cases[shown].answer()

        def calls() -> dict[str, int]:
            return {
                shown: sum(len(shim.calls(command)) for command in COMMANDS)
                for shown, shim in shims.items()
                if "local" not in NAMES[shown]
            }

        starting = calls()
        for _ in range(BATCHES):
            for shown, case in cases.items():
                case.tell("batch")
                rates[shown].append(case.answer())
        before = calls()
        time.sleep(QUIET_S)
        after = calls()
        for case in cases.values():
            case.tell("kill")
        deaths = {shown: case.answer() for shown, case in cases.items()}
        for case in cases.values():
            case.close()
    report(
        "parsl_tasks",
        {shown: statistics.median(values) for shown, values in rates.items()},
        unit="tasks/s",
        promise="not fewer than with Parsl's own",
        facts={
            "all": "; ".join(f"{shown}: {', '.join(f'{v:.0f}' for v in values)}" for shown, values in rates.items())
        },
    )
    report(
        "parsl_calls",
        {shown: (after[shown] - before[shown]) * 60 / QUIET_S for shown in after},
        unit="commands/min",
        promise="fewer than Parsl's own",
        facts={"to the first task": starting},
    )
    report("parsl_death_seen", deaths, unit="s", promise="not later than Parsl's own")


if __name__ == "__main__":
    main()
