"""Where each rank runs: its cores, its GPUs, and the small wrapper that binds it to them on its node.

The wrapper is `rank_wrapper.sh`, POSIX sh: its text and the places of all ranks travel as arguments, so that the node needs
neither Python nor a file of ours. It knows its rank from the launcher's own variables, and becomes the rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import InvalidRequest
from ..job import Resources
from ..resources.node import Node
from .rank_io import RankIO
from .shell_files import shell_file

Placed = Sequence[Node]
"""What a run was assigned: nodes in the order of the ranks, each with CPU and GPU ids in the order of its ranks."""

#: Whose variable masks the GPUs: the first that an environment sets tells the vendor.
GPU_VARIABLES: Mapping[str, str] = {
    "ZE_AFFINITY_MASK": "intel",
    "ROCR_VISIBLE_DEVICES": "amd",
    "HIP_VISIBLE_DEVICES": "amd",
    "CUDA_VISIBLE_DEVICES": "nvidia",
}
GPU_KINDS = ("nvidia", "amd", "intel")
#: The number of threads that libraries start by themselves; they follow OMP_NUM_THREADS where that alone is set.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
OUR_THREADS = "PSIJ_THREADS"
_HIDDEN = "none"
_MOST_ROWS = 1 << 20  # bytes; the kernel takes about 2 MB of arguments and environment in all


@dataclass(frozen=True, kw_only=True)
class Wrapper:
    """What `rank_wrapper.sh` is told. `rows` are the places of the ranks; none leaves cores and masks as they are.

    `split` GPUs of those that a node shows go to each rank there. `kind` is the GPUs' vendor, '' to be found out on
    the node. `threads` is for OpenMP and its kin; 0 sets nothing. `stay` "1": remain as the rank's parent, to tell a
    signal as 128+n; "abort": and end the whole run when it fails. `codes` is
    a file to which failing exit codes are added, `quiet`: which the launcher is then not told. `die`: let the kernel end the rank with its
    parent. `relay`: signals come to the wrapper alone, which hands them on where it stays. `watch`: tell when an MPI
    library is loaded to which the launch gives no means.
    """

    rank: Sequence[str]
    local_rank: Sequence[str]
    rows: Sequence[str] = ()
    split: int = 0
    kind: str = ""
    threads: int = 0
    directory: str = ""
    io: RankIO = field(default_factory=RankIO)
    mark: str = ""
    stay: str = ""
    codes: str = ""
    quiet: bool = False
    die: bool = False
    relay: bool = False
    watch: bool = False

    def words(self, shape: Resources, file: str = "") -> list[str]:
        """The words that go between the launcher's and the command's; `file` holds the wrapper's text, if given."""
        keys = {
            "run": self.mark,
            "rank": ",".join(self.rank),
            "local": ",".join(self.local_rank),
            "ranks": shape.num_ranks,
            "per_node": shape.ranks_per_node,
            "split": self.split or "",
            "kind": self.kind,
            "threads": self.threads or "",
            "dir": self.directory,
            "label": self.io.label,
            "in": str(self.io.stdin or ""),
            "codes": self.codes,
            "quiet": self.quiet,
            "stay": self.stay,
            "die": self.die,
            "watch": self.watch,
            "relay": self._relays,
        }
        if self.io.per_rank:
            keys |= {"out": self.io.rank_stdout, "err": self.io.rank_stderr, "more": self.io.append}
        said = [f"{key}={1 if value is True else value}" for key, value in keys.items() if value]
        shell = [file] if file else ["-c", text(), "psij-rank"]
        return ["bash" if self._relays else "sh", *shell, *said, *(f"row={row}" for row in self.rows), "--"]

    @property
    def _relays(self) -> bool:
        """Whether it stays and hands signals on, for which POSIX sh has no way."""
        return self.relay and bool(self.stay or self.codes or self.io.label)


def text() -> str:
    """The wrapper's own text, without its comments."""
    return shell_file("rank_wrapper.sh")


def rows(nodes: Placed, shape: Resources, *, hide_gpus: bool = False) -> list[str]:
    """One row for each node, `NAME|cores of rank 0;of rank 1|GPUs of rank 0;of rank 1`; alike ones share one.

    Cores whose numbers are not the node's own are written `~0-3`: the first four of those that it lets us use.
    Where there are fewer GPUs than ranks, all of the node's are everybody's. `hide_gpus` masks all GPUs on nodes
    where the run has none. Raises `InvalidRequest` for nodes that are too small for their ranks.
    """
    found = [(node.name, _row(node, shape, hide_gpus=hide_gpus)) for node in nodes]
    if len({row for _, row in found}) == 1:
        return [f"*|{found[0][1]}"]
    told = [f"{name}|{row}" for name, row in found]
    size = sum(map(len, told))
    if size > _MOST_ROWS:
        raise InvalidRequest(
            f"the places of the ranks on {len(nodes)} nodes make {size >> 10} kB, more than a command line carries",
            hint="assign whole nodes (--share 1), which are all alike, or say --bind none",
        )
    return told


def _row(node: Node, shape: Resources, *, hide_gpus: bool) -> str:
    ranks = shape.ranks_per_node
    parts = node.per_rank(ranks)
    cores = ";".join(f"{'' if node.real_ids else '~'}{packed(part.cpus)}" for part in parts)
    if not node.gpus:
        return f"{cores}|{';'.join([_HIDDEN] * ranks) if hide_gpus else ''}"
    each = [part.gpus for part in parts] if shape.gpus_per_rank else [node.gpus] * ranks
    return f"{cores}|{';'.join(','.join(map(str, gpus)) or _HIDDEN for gpus in each)}"


def packed(ids: Iterable[int]) -> str:
    """CPU ids as taskset(1) reads them: 0-3,8."""
    spans: list[list[int]] = []
    for number in ids:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def gpu_kind(environment: Mapping[str, str]) -> str:
    """The GPUs' vendor as the environment tells it; '' if it does not."""
    return next((kind for name, kind in GPU_VARIABLES.items() if environment.get(name)), "")


def thread_lines(cpus_per_rank: int) -> str:
    """The same as shell text for a job script."""
    ours = " ".join(f"{name}={cpus_per_rank}" for name in (OUR_THREADS, *THREADS))
    said = "".join(f"${{{name}-${OUR_THREADS}}}" for name in THREADS)
    none = "".join(f"${OUR_THREADS}" for name in THREADS)
    return f': "${{{OUR_THREADS}=}}"; [ "{said}" != "{none}" ] || export {ours}'


def threads(cpus_per_rank: int, environment: Mapping[str, str]) -> int:
    """How many threads OpenMP and its kin are to be told of: none (0) where the user has said it.

    What an outer launch of ours has set is not the user's word.
    """
    ours = environment.get(OUR_THREADS)
    said = [environment[name] for name in THREADS if name in environment]
    return 0 if any(value != ours for value in said) else cpus_per_rank
