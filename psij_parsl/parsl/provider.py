"""BlockProvider: Parsl's ExecutionProvider over a platform's executor. A block is a job in Parsl's folder."""

from __future__ import annotations

import inspect
import logging
import os
import sysconfig
import threading
from collections.abc import Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from parsl.jobs.states import JobState as ParslState
from parsl.jobs.states import JobStatus as ParslStatus
from parsl.providers.base import ExecutionProvider
from parsl.utils import RepresentationMixin

from ..platforms.platform import Platform
from ..system.processes import process_identity
from . import block_script as block
from . import checked
from .block_shape import BlockShape, find_site, merged_arguments
from .blocks import Blocks
from .launcher import MPIRunLauncher, block_launcher, text_of
from .status import parsl_status
from .vocabulary import Translation

if TYPE_CHECKING:
    from ..jobs.batch import BatchSchedulerExecutor
    from ..jobs.record import JobRecord
    from ..sites import Site

log = logging.getLogger("parsl.psij")  # below Parsl's logger, so that it is written to parsl.log

_SOON_S = 1  # between two polls while a block starts or has just changed
_LONGEST_S = 10.0  # between two polls while no block changes
_PATIENCE_S = 45.0  # for one submission with all its retries


class BlockProvider(ExecutionProvider, RepresentationMixin):
    """Parsl provider whose blocks are jobs of one platform; a subclass names the `platform`.

    All arguments are keywords:

    - `num_nodes` nodes per block for `wall_time_min` minutes (or "1h30m", "1:30:00") in `queue`, charged to `project`.
    - `job_mode` picks the launcher where `launcher` (an object of Parsl's or ours, or the name of a launch method) is
      not given: `serial` one worker pool on each node, `mpi` and `script` one on the first node.
    - `cores_per_node`, `mem_per_node` (GB) and `gpus_per_node` are requested and passed to the workers; without cores a
      block has whole nodes where the platform can ask for that.
    - `worker_init` is shell text run once in the block's script, which warns of a command in it that fails and goes
      on; `node_init` is run once on each node before its workers.
    - `site` names a site that fills in the rest.
    - There are never more live blocks than `max_blocks` (default: `init_blocks`, or `min_blocks` if that is more, or
      1); with 0, only those of the start.
    - With `watchdog_s` a block ends itself when the workflow has been unreachable for that many seconds.

    All further arguments are the platform's own parameters (`psij-run platform show NAME`); the spellings of Parsl
    in `vocabulary.SAME` are accepted. Raises `InvalidRequest` for whatever is unknown or cannot be asked for.
    """

    platform: ClassVar[Platform]
    #: Variables that describe a block's shape. They are unset in it, for they would be the defaults of runs inside.
    scrub_environment: ClassVar[Sequence[str]] = ()
    #: The platform's own parameters that stand for `cores_per_node` and `gpus_per_node`, as its sites give them.
    node_parameters: ClassVar[Mapping[str, str]] = {}
    #: Arguments of Parsl's provider whose meaning differs between platforms, with their translations.
    translations: ClassVar[Mapping[str, Translation]] = {}
    #: Whether its blocks run on the workflow's own host.
    is_here: ClassVar[bool] = False

    def __init__(
        self,
        *,
        num_nodes: int | None = None,
        wall_time_min: int | str | None = None,
        queue: str | None = None,
        project: str | None = None,
        job_mode: str = "serial",
        init_blocks: int = 1,
        min_blocks: int = 0,
        max_blocks: int | None = None,
        parallelism: float = 1.0,
        cores_per_node: int | None = None,
        mem_per_node: float | None = None,
        gpus_per_node: int | str | None = None,
        worker_init: str = "",
        node_init: str = "",
        launcher: Any = None,
        site: str | Site | None = None,
        watchdog_s: float | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__()
        own = {
            "num_nodes": num_nodes,
            "wall_time_min": wall_time_min,
            "queue": queue,
            "project": project,
            "cores_per_node": cores_per_node,
            "mem_per_node": mem_per_node,
            "gpus_per_node": gpus_per_node,
        }
        arguments = merged_arguments(own, parameters, self.platform, self.translations)
        resolved_site = find_site(site, self.platform)
        shape = self._shape = BlockShape.of(self.platform, resolved_site, job_mode, arguments, self.node_parameters)
        self.site = shape.site.name if shape.site is not None else None
        self.job_mode, self.parameters = job_mode, shape.parameters
        self.num_nodes = self.nodes_per_block = shape.num_nodes
        self.wall_time_min, self.queue, self.project = shape.wall_time_min, shape.queue, shape.project
        self.cores_per_node, self.mem_per_node = shape.cores_per_node, shape.mem_per_node
        self.gpus_per_node, self.of_site = shape.gpus_per_node, shape.of_site
        self.init_blocks, self.min_blocks, self.max_blocks = checked.blocks(init_blocks, min_blocks, max_blocks)
        self.parallelism = checked.checked("parallelism", parallelism, checked.not_below_0)
        self.worker_init = checked.checked("worker_init", worker_init, checked.text) or ""
        self.node_init = checked.checked("node_init", node_init, checked.text) or ""
        self.watchdog_s = checked.checked("watchdog_s", watchdog_s, checked.not_below_0)
        self.launcher = block_launcher(launcher, job_mode, self.num_nodes, self.method)
        self.script_dir: str | None = None  # Parsl sets it
        self.blocks = Blocks(self._make_executor, init_blocks=self.init_blocks, max_blocks=self.max_blocks)
        self._mutex = threading.Lock()
        self._arguments = {
            **arguments,
            "job_mode": job_mode,
            "init_blocks": init_blocks,
            "min_blocks": min_blocks,
            "max_blocks": max_blocks,
            "parallelism": parallelism,
            "worker_init": worker_init,
            "node_init": node_init,
            "launcher": launcher,
            "site": self.site,
            "watchdog_s": watchdog_s,
        }

    def __repr__(self) -> str:
        """The constructor's call, with the arguments that differ from the defaults."""
        signature = {**inspect.signature(BlockProvider.__init__).parameters}
        arguments = [
            f"{name}={value!r}"
            for name, value in self._arguments.items()
            if name not in signature or value != signature[name].default
        ]
        return f"{type(self).__name__}({', '.join(arguments)})"

    @classmethod
    def whole_node(cls) -> dict[str, Any]:
        """The arguments that ask for a whole node, where they are needed and known without a site."""
        return {}

    @property
    def method(self) -> str:
        """The launch method that reaches all nodes here."""
        return self._shape.method

    def script(self, command: str, tasks_per_node: int, name: str) -> str:
        """The text that a block's script runs for an executor's launch command."""
        folder = os.path.abspath(self.script_dir) if self.script_dir else ""
        launch = block.unsplit(command, os.path.dirname(folder))
        if self.job_mode == "mpi":
            launch = block.MPI_POOL + launch
        before = ""
        if self.node_init:
            before, launch = block.once_per_node(self.node_init, launch)
        launched = before + text_of(self.launcher, launch, tasks_per_node, self.num_nodes, folder)
        if self.node_init and self.job_mode != "serial" and self.num_nodes > 1:
            others = str(MPIRunLauncher(self.method)(block.on_other_nodes(self.node_init), 1, self.num_nodes))
            launched = block.FIRST_NODE + others + launched
        return block.text(
            launched,
            name=name,
            exports=self._shape.exports,
            scrub_environment=self.scrub_environment,
            worker_init=self.worker_init,
            scripts=sysconfig.get_path("scripts"),
            watchdog=block.watch(command, self.watchdog_s or 0.0),
        )

    # ---- Parsl's interface -------------------------------------------------------------------------------------

    def _make_executor(self) -> BatchSchedulerExecutor:
        from ..jobs.batch import BatchSchedulerExecutor
        from ..jobs.site_executor import executor_of

        spool = Path(os.path.abspath(self.script_dir)) if self.script_dir else None
        settings: dict[str, Any] = {"run": process_identity(), "patience_s": _PATIENCE_S, "spool": spool}
        if self._shape.site is None:
            executor = BatchSchedulerExecutor(self.platform, **settings)
        else:
            executor = executor_of(self._shape.site, platform=self.platform, **settings)
        cluster = self.parameters.get("cluster") if "cluster" in self.platform.template_class.places else None
        return executor.at(str(cluster)) if cluster else executor

    def submit(self, command: str, tasks_per_node: int, job_name: str = "parsl.auto") -> str:
        """Submit a block and return our own id for it. Raises `SchedulerError` or `InvalidRequest` with the reason.

        It waits for room, and raises `Unavailable` while there is none: see `Blocks.make_room`.
        """
        with self._mutex:
            self.blocks.make_room()
            script = self.script(command, tasks_per_node, job_name)
            record = self.blocks.submit(self._shape.job(script, job_name), job_name)
            self._submitted(record)
        log.info("%s is job %s (%s %s), in %s", job_name, record.id, record.platform, record.native, record.folder)
        return record.id

    def _submitted(self, record: JobRecord) -> None:
        """A hook for subclasses, called after each submission of a block."""

    def status(self, job_ids: Sequence[object]) -> list[ParslStatus]:
        """The status of each block, as a new object. It never raises; an unknown state stays the last one."""
        records = self.blocks.records_of([*map(str, job_ids)])
        present = [record for record in records.values() if record is not None]
        statuses = map(parsl_status, self.blocks.poll(present), present, repeat(self.wall_time_min))
        found = dict(zip([record.id for record in present], statuses, strict=False))
        return [found.get(job_id) or _no_block(job_id) for job_id in map(str, job_ids)]

    def cancel(self, job_ids: Sequence[object]) -> list[bool]:
        """Cancel blocks. True for one that has ended or is being cancelled; False if the manager did not answer."""
        answers = self.blocks.cancel([str(each) for each in job_ids])
        return [answers.get(str(each), False) for each in job_ids]

    @property
    def label(self) -> str:
        """The platform's name."""
        return self.platform.name

    @property
    def status_polling_interval(self) -> int:
        """Seconds until Parsl's next poll: one while blocks start or end, up to ten while none changes.

        Polls do not load the manager: all processes of the user together query it once per its own interval. While
        all blocks run they query it rarely, because the starts and ends of blocks leave files.
        """
        if self.is_here or self.blocks.lively:
            return _SOON_S
        return round(max(2.0, min(_LONGEST_S, self.blocks.executor.snapshot.interval_s / 3)))


def _no_block(job_id: str) -> ParslStatus:
    return ParslStatus(ParslState.FAILED, message=f"this provider has no block {job_id!r}")
