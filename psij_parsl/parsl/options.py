"""The options of a Parsl configuration: one definition for Python, the command line and the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

STRATEGY_PERIOD_S = 1
WATCHDOG_S = 300.0


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class ParslOptions:
    """Options of `parsl_config`. Its other arguments go to the provider, Parsl's executor and `parsl.Config`."""

    project: str | None = _option(None, "Project or allocation that is charged.")
    queue: str | None = _option(None, "Queue or partition.")
    num_nodes: int | None = _option(None, "Nodes of each block.")
    wall_time_min: int | str | None = _option(None, "Wall time of a block: minutes, or '1h30m', '1:30:00'.")
    job_mode: str = _option(
        "serial", "serial: a pool of workers on each node; mpi: tasks that are MPI runs themselves."
    )
    init_blocks: int = _option(1, "Blocks at the start.")
    min_blocks: int = _option(0, "Blocks at once, at least.")
    max_blocks: int | None = _option(None, "Blocks at once, at most (default: those of the start, or 1).")
    parallelism: float = _option(1.0, "Blocks for each task that waits, as Parsl's strategy counts them.")
    workers_per_node: int | None = _option(
        None,
        "Workers on each node (default: one per cores_per_worker cores, or one per accelerator); with job_mode mpi the"
        " MPI tasks at once in a block (default: one per node).",
    )
    cores_per_worker: float = _option(1.0, "Cores of each worker.")
    accelerators: int | Sequence[str] | None = _option(
        None, "GPUs of a node, their number or names (default: the block's)."
    )
    cpu_affinity: str | None = _option(
        None,
        "Cores of each worker, in Parsl's words (default: those nearest to its GPU where the site knows them, else"
        " 'block' where the number of cores is known).",
    )
    address: str | None = _option(None, "Name or number that workers call back.")
    interface: str | None = _option(None, "Network interface whose address workers call back, such as hsn0.")
    worker_port_range: tuple[int, int] | None = _option(None, "Ports on which the workflow listens for its workers.")
    drain_min: int | None = _option(None, "No task starts in the last so many minutes of a block.")
    encrypted: bool = _option(True, "Whether the traffic with the workers is encrypted.")
    strategy: str | None = _option("simple", "Parsl's way of scaling: none, simple or htex_auto_scale.")
    strategy_period: float = _option(STRATEGY_PERIOD_S, "Seconds between two looks of that strategy.")
    max_idletime: float = _option(120.0, "Seconds after which the strategy ends an idle block.")
    retries: int = _option(0, "How often Parsl runs a failed task again.")
    run_dir: str = _option("runinfo", "Directory for Parsl's logs and the blocks' folders.")
    label: str = _option("psij", "The executor's name (default: psij; of several, the site's).")
    watchdog_s: float | None = _option(
        WATCHDOG_S, "Seconds for which the workflow may be unreachable before a block ends itself; None: for ever."
    )
    mpi_launcher: str | None = _option(None, "With job_mode mpi: srun, aprun or mpiexec (default: the site's).")

    @classmethod
    def help(cls, name: str) -> str:
        """The description of an option, in one sentence or two."""
        return str(cls.__dataclass_fields__[name].metadata["help"])
