"""Where each rank runs: its cores, its GPUs, and the small wrapper that binds it to them on its node.

The wrapper is `rank_wrapper.sh`, POSIX sh: its text and the places of all ranks travel as arguments, so that the node needs
neither Python nor a file of ours. It knows its rank from the launcher's own variables, and becomes the rank.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import InvalidRequest
from ..job_size import Resources
from ..resources.gpus import gpu_variable
from ..resources.node import Node
from ..system.gpu_variables import GPU_VARIABLES
from ..system.id_ranges import format_ranges
from .rank_io import RankIO
from .shell_files import shell_file

Placed = Sequence[Node]
"""What a run was assigned: nodes in the order of the ranks, each with CPU and GPU ids in the order of its ranks."""

#: The number of threads that libraries start by themselves; they follow OMP_NUM_THREADS where that alone is set.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
OUR_THREADS = "PSIJ_THREADS"
_HIDDEN = "none"
_MOST_ROWS = 1 << 20  # bytes; the kernel takes about 2 MB of arguments and environment in all


class Wrapper(NamedTuple):
    """What `rank_wrapper.sh` is told.

    `rank_variables` and `local_rank_variables` hold a rank's number, and its number on its node: the first that is set.
    `rows` are the places of the ranks; none leaves cores and masks as they are. `gpus_per_rank` of the GPUs that a node
    shows go to each rank there, where `rows` do not say which. `gpu_vendor` is '' to be found out on the node. `threads`
    is for OpenMP and its kin; 0 sets nothing. `mark` is that of the run's processes.

    `report_signals` "1": remain as the rank's parent, to tell a signal as 128+n; "abort": and end the whole run when it
    fails. `exit_codes` is a file to which failing exit codes are added, `hide_failures`: which the launcher is then not
    told. `die_with_parent`: let the kernel end the rank with its parent. `relay_signals`: signals come to the wrapper
    alone, which hands them on where it stays. `watch_mpi`: tell when an MPI library is loaded to which the launch gives
    no means. `rank_names` are further variables for a rank's numbers: NAME=PSIJ_RANK ...
    """

    rank_variables: Sequence[str]
    local_rank_variables: Sequence[str]
    rows: Sequence[str] = ()
    gpus_per_rank: int = 0
    gpu_vendor: str = ""
    threads: int = 0
    directory: str = ""
    io: RankIO = RankIO()
    mark: str = ""
    report_signals: str = ""
    exit_codes: str = ""
    hide_failures: bool = False
    die_with_parent: bool = False
    relay_signals: bool = False
    watch_mpi: bool = False
    rank_names: str = ""

    def args(self, shape: Resources, file: str = "") -> list[str]:
        """The elements between the launcher's and the command's; `file` holds the wrapper's text, if given."""
        keys = {
            "mark": self.mark,
            "rank_variables": ",".join(self.rank_variables),
            "local_rank_variables": ",".join(self.local_rank_variables),
            "num_ranks": shape.num_ranks,
            "ranks_per_node": shape.ranks_per_node,
            "gpus_per_rank": self.gpus_per_rank or "",
            "gpu_vendor": self.gpu_vendor,
            "threads": self.threads or "",
            "directory": self.directory,
            "label": self.io.label,
            "stdin": str(self.io.stdin or ""),
            "exit_codes": self.exit_codes,
            "hide_failures": self.hide_failures,
            "report_signals": self.report_signals,
            "die_with_parent": self.die_with_parent,
            "watch_mpi": self.watch_mpi,
            "rank_names": self.rank_names,
            "relay_signals": self._relays,
        }
        if self.io.per_rank:
            keys |= {"stdout": self.io.rank_stdout, "stderr": self.io.rank_stderr, "append": self.io.append}
        settings = [f"{key}={1 if value is True else value}" for key, value in keys.items() if value]
        shell = [file] if file else ["-c", text(), "psij-rank"]
        return ["bash" if self._relays else "sh", *shell, *settings, *(f"row={row}" for row in self.rows), "--"]

    @property
    def _relays(self) -> bool:
        """Whether it stays and hands signals on, for which POSIX sh has no way."""
        return self.relay_signals and bool(self.report_signals or self.exit_codes or self.io.label)


def text() -> str:
    """The wrapper's own text, and before it that of the watch which it may start: it travels as one argument."""
    return f"psij_mpi_watch={shlex.quote(shell_file('mpi_watch.sh'))}\n{shell_file('rank_wrapper.sh')}"


def rows(nodes: Placed, shape: Resources, *, hide_gpus: bool = False) -> list[str]:
    """One row for each node, `NAME|cores of rank 0;of rank 1|GPUs of rank 0;of rank 1`; alike ones share one.

    Cores whose numbers are not the node's own are written `~0-3`: the first four of those that it lets us use.
    Where there are fewer GPUs than ranks, all of the node's are everybody's. `hide_gpus` masks all GPUs on nodes
    where the run has none. Raises `InvalidRequest` for nodes that are too small for their ranks.
    """
    places = [_row(node, shape, hide_gpus=hide_gpus) for node in nodes]
    if len(set(places)) == 1:
        return [f"*|{places[0]}"]
    named = [f"{node.name}|{place}" for node, place in zip(nodes, places, strict=True)]
    size = sum(map(len, named))
    if size > _MOST_ROWS:
        raise InvalidRequest(
            f"the places of the ranks on {len(nodes)} nodes make {size >> 10} kB, more than a command line carries",
            hint="assign whole nodes (--share 1), which are all alike, or say --bind none",
        )
    return named


def _row(node: Node, shape: Resources, *, hide_gpus: bool) -> str:
    ranks = shape.ranks_per_node
    parts = node.per_rank(ranks)
    cores = ";".join(f"{'' if node.real_ids else '~'}{format_ranges(part.cpus)}" for part in parts)
    if not node.gpus:
        return f"{cores}|{';'.join([_HIDDEN] * ranks) if hide_gpus else ''}"
    gpus_of_ranks = [part.gpus for part in parts] if shape.gpus_per_rank else [node.gpus] * ranks
    return f"{cores}|{';'.join(','.join(map(str, gpus)) or _HIDDEN for gpus in gpus_of_ranks)}"


def gpu_vendor(environment: Mapping[str, str]) -> str:
    """The GPUs' vendor as the variable that lists them tells it; '' if none is set, or that is empty."""
    name = gpu_variable(environment)
    return GPU_VARIABLES[name] if name is not None and environment[name] else ""


def threads(cpus_per_rank: int, environment: Mapping[str, str]) -> int:
    """How many threads OpenMP and its kin are to be told of: none (0) where the user has said it.

    What an outer launch of ours has set is not the user's word.
    """
    ours = environment.get(OUR_THREADS)
    values = [environment[name] for name in THREADS if name in environment]
    return 0 if any(value != ours for value in values) else cpus_per_rank
