"""Assign and free, pairs per second, on allocations of 16 to 4,096 nodes of 64 cores and 8 GPUs.

    python -m bench.node_resources

Tasks of 8 cores and 1 GPU, on an empty allocation and on a full one, where a random task ends before the next can
start; mixed tasks on a half-full one; and the same beside node lists kept the plain way, as Balsam does it. With
BALSAM_PYTHON naming an interpreter that has Balsam 0.7 installed (its dependencies do not go with ours), Balsam's own
NodeManager runs too. Figures are of CPU time, the best of forty short rounds. Memory is what one node more costs, with the
allocation's own record of it.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from itertools import count

from bench.tools import report
from psij_parsl.job_size import Resources
from psij_parsl.resources import Allocation, Node, NodeResources

SIZES = (16, 256, 1024, 4096)
CORES, GPUS = 64, 8
PAIRS, THEIR_PAIRS, ROUNDS = 5_000, 300, 40
TASK = Resources(cpus_per_rank=8, gpus_per_rank=1)
PER_NODE = min(CORES // TASK.cpus_per_rank, GPUS // TASK.gpus_per_rank)
MIXED = [
    Resources(ranks_per_node=ranks, cpus_per_rank=cpus, gpus_per_rank=gpus)
    for ranks, cpus, gpus in ((1, 1, 0), (4, 1, 0), (2, 8, 1), (1, 16, 4), (8, 2, 0), (1, 7, 1))
]


def allocation(number: int) -> Allocation:
    cpus, gpus = tuple(range(CORES)), tuple(map(str, range(GPUS)))
    return Allocation("host", "", tuple(Node(f"node{at:05}", cpus, gpus, 256_000) for at in range(number)))


def ours_empty(number: int) -> Callable[[], object]:
    nodes = NodeResources(allocation(number))

    def pairs() -> None:
        for _ in range(PAIRS):
            nodes.free(nodes.assign(TASK))  # type: ignore[arg-type] # there is room

    return pairs


def ours_full(number: int) -> Callable[[], object]:
    nodes = NodeResources(allocation(number))
    held = [nodes.assign(TASK) for _ in range(number * PER_NODE)]
    assert None not in held
    assert nodes.assign(TASK) is None
    chance = random.Random(1)
    ending = [chance.randrange(len(held)) for _ in range(PAIRS)]

    def pairs() -> None:
        for at in ending:
            nodes.free(held[at])  # type: ignore[arg-type]
            held[at] = nodes.assign(TASK)

    return pairs


def ours_mixed(number: int) -> Callable[[], object]:
    """Six shapes, and each assignment's ids are read."""
    nodes = NodeResources(allocation(number))
    chance = random.Random(1)
    held = [nodes.assign(chance.choice(MIXED)) for _ in range(number * 3)]
    turns = [(chance.randrange(len(held)), chance.choice(MIXED)) for _ in range(PAIRS)]

    def pairs() -> None:
        for at, request in turns:
            before = held[at]
            if before is not None:
                nodes.free(before)
            after = held[at] = nodes.assign(request)
            if after is not None:
                after.nodes  # noqa: B018 - reading them is what is timed

    return pairs


def fastest(contestants: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The least CPU seconds of each, timed in turns: what others do on the machine only ever adds to it."""
    least = dict.fromkeys(contestants, float("inf"))
    for _ in range(ROUNDS):
        for name, call in contestants.items():
            began = time.process_time()
            call()
            least[name] = min(least[name], time.process_time() - began)
    return least


class PlainNode:
    """A node as a list of idle cores and one of idle GPUs."""

    def __init__(self) -> None:
        self.cpus, self.gpus, self.occupancy = list(range(CORES)), list(range(GPUS)), 0.0
        self.jobs: dict[int, tuple[list[int], list[int]]] = {}


class PlainNodes:
    """The first node that fits, and new lists each time."""

    def __init__(self, number: int) -> None:
        self.nodes = [PlainNode() for _ in range(number)]
        self.where: dict[int, PlainNode] = {}

    def assign(self, job: int) -> None:
        for node in self.nodes:
            if len(node.cpus) >= 8 and len(node.gpus) >= 1 and node.occupancy + 0.125 < 1.001:
                cpus, gpus = node.cpus[:8], node.gpus[:1]
                node.cpus = [cpu for cpu in node.cpus if cpu not in cpus]
                node.gpus = [gpu for gpu in node.gpus if gpu not in gpus]
                node.occupancy += 0.125
                node.jobs[job] = cpus, gpus
                self.where[job] = node
                return

    def free(self, job: int) -> None:
        node = self.where.pop(job)
        cpus, gpus = node.jobs.pop(job)
        node.cpus.extend(cpus)
        node.gpus.extend(gpus)
        node.occupancy -= 0.125


def plain(number: int, *, full: bool) -> Callable[[], object]:
    nodes, ids = PlainNodes(number), count()
    held = [next(ids) for _ in range(number * PER_NODE if full else 1)]
    for job in held:
        nodes.assign(job)
    chance = random.Random(1)

    def pairs() -> None:
        for _ in range(THEIR_PAIRS):
            at = chance.randrange(len(held))
            nodes.free(held[at])
            held[at] = next(ids)
            nodes.assign(held[at])

    return pairs


BALSAM = """
import random, sys, time
from itertools import count
from balsam.platform.compute_node import ComputeNode
from balsam.site.launcher.node_manager import NodeManager

class Ours(ComputeNode):
    cpu_ids, gpu_ids = list(range(64)), list(range(8))

number, full, pairs = int(sys.argv[1]), sys.argv[2] == "full", int(sys.argv[3])
nodes, ids, chance = NodeManager([Ours(at, f"node{at:05}") for at in range(number)]), count(), random.Random(1)
def assign():
    job = next(ids)
    nodes.assign_from_params(job, 1, 1, 8, 1, 1, 0.125)
    return job
held = [assign() for _ in range(number * 8 if full else 1)]
seconds = []
for _ in range(40):
    began = time.process_time()
    for _ in range(pairs):
        at = chance.randrange(len(held))
        nodes.free(held[at])
        held[at] = assign()
    seconds.append(time.process_time() - began)
print(pairs / min(seconds))
"""


def balsam(number: int, state: str) -> float | None:
    interpreter = os.environ.get("BALSAM_PYTHON")
    if not interpreter:
        return None
    command = [interpreter, "-W", "ignore", "-c", BALSAM, str(number), state, str(THEIR_PAIRS)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(run.stdout) / 1000


def memory(number: int) -> float:
    """Bytes that each node costs."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    nodes = NodeResources(allocation(number))
    assert nodes.assign(TASK) is not None
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / number


def main() -> int:
    rows: dict[str, float] = {}
    for number in SIZES:
        contestants = {"empty": ours_empty(number), "full": ours_full(number), "mixed": ours_mixed(number)}
        contestants |= {"plain, empty": plain(number, full=False), "plain, full": plain(number, full=True)}
        seconds = fastest(contestants)
        for name, taken in seconds.items():
            pairs = THEIR_PAIRS if name.startswith("plain") else PAIRS
            label = f"lists, {name[7:]}" if name.startswith("plain") else f"ours, {name}"
            rows[f"{number:5} nodes: {label}"] = pairs / taken / 1000
        for state in ("empty", "full"):
            if (figure := balsam(number, state)) is not None:
                rows[f"{number:5} nodes: Balsam, {state}"] = figure
    bytes_ = {f"bytes per node, {number} nodes": round(memory(number)) for number in SIZES}
    began = time.perf_counter()
    NodeResources(allocation(4096))
    facts = {**bytes_, "ms to make 4,096 nodes": round((time.perf_counter() - began) * 1000, 1)}
    least = min(value for label, value in rows.items() if label.endswith(("ours, empty", "ours, full")))
    facts["least of ours, thousand pairs/s"] = round(least)
    report(
        "node_resources",
        rows,
        unit="thousand pairs/s",
        promise="at least 200 at each size, empty and full",
        facts=facts,
    )
    return 0 if least >= 200 else 1


if __name__ == "__main__":
    sys.exit(main())
