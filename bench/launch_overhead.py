"""What `psij-run launch` costs: one run beside the raw launcher's, and 100 tiny runs in one allocation, three ways.

    python -m bench.launch_overhead [ROUNDS]

In a job of 2 nodes of a real Slurm. One run of 2 ranks is started by `srun`, and by each MPI's own launcher that is
installed, raw and through `psij-run launch`, in turns. The hundred are runs of one rank each: from one Python process
with a thread for each that is under way, as processes of `psij-run launch`, and as steps of raw `srun --exact`, these
two all started at once.
"""

from __future__ import annotations

import compileall
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psij_parsl
from bench.tools import interleaved, report, slurm

RUNS, CORES = 100, 16
PROMISED_S = 0.1
RAW = {
    "srun": ["srun", "--mpi=none", "-N", "1", "-n", "2", "-c", "1", "--exact"],  # on two nodes it is 90 ms faster
    "openmpi": [
        "mpirun.openmpi",
        "--oversubscribe",
        "--host",
        f"{platform.node()}:2",
        "-n",
        "2",
    ],  # as ours: one node
    "mpich": ["mpiexec.mpich", "-n", "2"],
}
LAUNCH = [sys.executable, "-m", "psij_parsl.cli", "launch"]
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def one_run(launcher: str) -> dict[str, Callable[[], object]]:
    """The same run, raw and ours."""
    ours = [*LAUNCH, "--launcher", launcher, "-n", "2", "--", "true"]
    return {
        f"{launcher}, raw": lambda: subprocess.run([*RAW[launcher], "true"], check=True, **QUIET),  # type: ignore[call-overload]
        f"{launcher}, psij-run launch": lambda: subprocess.run(ours, check=True, **QUIET),  # type: ignore[call-overload]
    }


def in_python(launcher: str) -> None:
    """All runs from this process."""
    from psij_parsl import Job, MPIRun, NodeResources

    resources, method = NodeResources.discover(), MPIRun.for_site(launcher=launcher)
    job = Job(command=["true"], job_mode="serial", stdout=Path("/dev/null"))

    def run(_: int) -> int | None:
        held = resources.wait_for(job)
        assert held is not None
        with held as nodes, method(job, nodes) as started:
            return started.wait()

    with ThreadPoolExecutor(CORES) as pool:
        assert set(pool.map(run, range(RUNS))) == {0}


def at_once(argv: list[str]) -> None:
    """All runs as processes, started together."""
    started = [subprocess.Popen(argv, **QUIET) for _ in range(RUNS)]  # type: ignore[call-overload]
    assert {process.wait() for process in started} == {0}


def inside(rounds: int, answer: Path) -> None:
    """In the job: everything that is measured, as JSON."""
    contestants: dict[str, Callable[[], object]] = {}
    for launcher, argv in RAW.items():
        if shutil.which(argv[0]):
            contestants |= one_run(launcher)
    medians = interleaved(contestants, rounds)
    many = {
        "srun --exact, raw": lambda: at_once(
            ["srun", "--mpi=none", "-N", "1", "-n", "1", "-c", "1", "--exact", "true"]
        ),
        "psij-run launch (srun)": lambda: at_once([*LAUNCH, "--launcher", "srun", "-n", "1", "--", "true"]),
        "one Python process (srun)": lambda: in_python("srun"),
    }
    seconds = {}
    for name, call in many.items():
        began = time.perf_counter()
        call()
        seconds[name] = time.perf_counter() - began
    answer.write_text(json.dumps([medians, seconds]))


def main(rounds: int) -> int:
    with tempfile.TemporaryDirectory() as folder, slurm():
        answer, script = Path(folder) / "answer", Path(folder) / "job.sh"
        words = f"{sys.executable} -m bench.launch_overhead {rounds} {answer}"
        compileall.compile_dir(Path(psij_parsl.__file__).parent, quiet=1)  # as it is where it was installed
        script.write_text(f"#!/bin/bash\nexport PSIJ_PARSL_HOME={folder}/home\nexec {words}\n")
        log = f"{folder}/log"
        job = ["sbatch", "--wait", "-N2", "--ntasks-per-node=8", "-o", log, str(script)]
        done = subprocess.run(
            job, env={**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        )
        if done.returncode:
            print(Path(log).read_text(), file=sys.stderr)
            return 1
        medians, many = json.loads(answer.read_text())
    over = {
        name.partition(",")[0]: seconds - medians[f"{name.partition(',')[0]}, raw"]
        for name, seconds in medians.items()
        if name.endswith("launch")
    }
    report(
        "launch_overhead",
        {name: seconds * 1000 for name, seconds in medians.items()},
        unit="ms",
        promise="psij-run launch <= 100 ms over the raw launcher",
        facts={f"over {launcher}": f"{seconds * 1000:.0f} ms" for launcher, seconds in over.items()},
    )
    report(
        "launch_many", many, unit="s", facts={name: f"{RUNS / seconds:.1f} runs/s" for name, seconds in many.items()}
    )
    return 0 if max(over.values()) <= PROMISED_S else 1


if __name__ == "__main__":
    if len(sys.argv) > 2:
        inside(int(sys.argv[1]), Path(sys.argv[2]))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
