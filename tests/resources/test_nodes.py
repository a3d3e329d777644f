"""NodeResources in memory: who gets what, when nothing is free, and what can never be had."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from psij_parsl import signals
from psij_parsl.errors import DoesNotFit, InvalidRequest, Unsupported
from psij_parsl.job import Job
from psij_parsl.job_size import Resources
from psij_parsl.resources import Allocation, Assignment, Hardware, Node, NodeResources

ComesTrue = Callable[..., None]


def made(
    *sizes: tuple[int, int], hardware: Hardware | None = None, memory: int | None = None, end: float | None = None
) -> NodeResources:
    """Nodes n0, n1, … with so many CPUs and GPUs each."""
    nodes = tuple(
        Node(f"n{at}", tuple(range(cpus)), tuple(map(str, range(gpus))), memory)
        for at, (cpus, gpus) in enumerate(sizes)
    )
    return NodeResources(Allocation("host", "", nodes, end=end), hardware)


def got(assignment: Assignment | None) -> tuple[Node, ...]:
    assert assignment is not None
    return assignment.nodes


# ---- what is given ---------------------------------------------------------------------------------------------


def test_the_lowest_free_ids_are_given() -> None:
    nodes = made((8, 2))
    first, second = nodes.assign(Resources(ranks_per_node=3)), nodes.assign(Resources(gpus_per_rank=1))
    assert got(first) == (Node("n0", (0, 1, 2)),)
    assert got(second) == (Node("n0", (3,), ("0",)),)
    nodes.free(first)  # type: ignore[arg-type] # it was given
    assert got(nodes.assign(Resources(cpus_per_rank=4, gpus_per_rank=1))) == (Node("n0", (0, 1, 2, 4), ("1",)),)


def test_a_job_is_a_request_too() -> None:
    assert got(made((4, 0)).assign(Job(command=["a.out"], ranks_per_node=2)))[0].cpus == (0, 1)


def test_tasks_are_packed_and_whole_nodes_stay_whole() -> None:
    nodes = made((4, 0), (4, 0), (4, 0))
    names = [got(nodes.assign(Resources(cpus_per_rank=2)))[0].name for _ in range(3)]
    assert names == ["n0", "n0", "n1"]
    assert got(nodes.assign(Resources(cpus_per_rank=4)))[0].name == "n2"
    assert got(nodes.assign(Resources()))[0].name == "n1"  # the fullest that has room


def test_spreading_takes_the_emptiest_node() -> None:
    nodes = made((4, 0), (4, 0), (4, 0))
    names = [got(nodes.assign(Resources(), spread=True))[0].name for _ in range(6)]
    assert names == ["n0", "n1", "n2"] * 2


def test_tasks_without_gpus_leave_the_nodes_with_gpus_alone() -> None:
    nodes = made((4, 4), (4, 0))
    assert got(nodes.assign(Resources(ranks_per_node=4)))[0].name == "n1"
    assert got(nodes.assign(Resources(gpus_per_rank=1)))[0].name == "n0"


def test_several_nodes_are_given_at_once_or_not_at_all() -> None:
    nodes = made((4, 1), (4, 1), (4, 1))
    one = nodes.assign(Resources(cpus_per_rank=3))
    two = nodes.assign(Resources(num_nodes=2, ranks_per_node=2, gpus_per_rank=0))
    assert [node.name for node in got(two)] == ["n1", "n2"]
    before = nodes.idle()
    assert nodes.assign(Resources(num_nodes=3, ranks_per_node=2)) is None
    assert nodes.idle() == before
    assert one is not None
    one.free()
    assert len(got(nodes.assign(Resources(num_nodes=3, ranks_per_node=2)))) == 3


def test_nodes_of_different_sizes_serve_one_request_together() -> None:
    nodes = made((4, 0), (8, 2))
    assert [len(node.cpus) for node in got(nodes.assign(Resources(num_nodes=2, ranks_per_node=4)))] == [4, 4]
    assert nodes.fit(Resources(ranks_per_node=2)) == 2


def test_each_rank_has_the_cores_nearest_to_its_gpus() -> None:
    near = {"0": range(4, 8), "1": range(0, 4)}  # as on Polaris: the first GPU is far from the first core
    nodes = made((8, 2), hardware=Hardware(gpu_cpus=near))
    (node,) = got(nodes.assign(Resources(ranks_per_node=2, cpus_per_rank=3, gpus_per_rank=1)))
    assert node == Node("n0", (4, 5, 6, 0, 1, 2), ("0", "1"))
    assert node.per_rank(2) == (Node("n0", (4, 5, 6), ("0",)), Node("n0", (0, 1, 2), ("1",)))
    assert nodes.assign(Resources(cpus_per_rank=3)) is None


def test_where_too_few_cores_are_near_others_are_taken() -> None:
    nodes = made((6, 2), hardware=Hardware(gpu_cpus={"0": (4, 5), "1": (0, 1)}))
    (node,) = got(nodes.assign(Resources(ranks_per_node=2, cpus_per_rank=3, gpus_per_rank=1)))
    assert node.cpus == (2, 4, 5, 0, 1, 3)


def test_blocked_cores_are_never_given() -> None:
    nodes = made((8, 0), hardware=Hardware(blocked=frozenset((0, 7))))
    assert got(nodes.assign(Resources(ranks_per_node=6)))[0].cpus == (1, 2, 3, 4, 5, 6)
    with pytest.raises(DoesNotFit, match="each node must have 7 cores, and the largest has 6"):
        nodes.check(Resources(ranks_per_node=7))


def test_hardware_threads_of_a_core_are_never_given_to_two() -> None:
    siblings = tuple((core, core + 4) for core in range(4))
    allocation = Allocation("host", "", (Node("n0", tuple(range(8))),), siblings=siblings)
    nodes = NodeResources(allocation, Hardware(blocked=frozenset((7,))))
    assert got(nodes.assign(Resources()))[0].cpus == (0,)
    assert got(nodes.assign(Resources(threads_per_core=2)))[0].cpus == (1, 5)
    assert got(nodes.assign(Resources(cpus_per_rank=1, threads_per_core=1)))[0].cpus == (2,)
    assert nodes.assign(Resources()) is None  # core 3 is blocked with its thread 7


def test_without_knowing_the_threads_each_cpu_counts() -> None:
    nodes = made((8, 0))
    assert got(nodes.assign(Resources(cpus_per_rank=2, threads_per_core=2)))[0].cpus == (0, 1, 2, 3)


# ---- shares, whole nodes and memory ----------------------------------------------------------------------------


@pytest.mark.parametrize("share", [1, 2, 3, 7, 24, 25, 63, 64])
def test_so_many_shares_fit_on_a_node(share: int) -> None:
    nodes = made((64, 0))
    assert nodes.fit(Resources(), share=share) == share
    held = [nodes.assign(Resources(), share=share) for _ in range(share)]
    assert None not in held
    assert nodes.assign(Resources(), share=share) is None
    for assignment in held:
        nodes.free(assignment)  # type: ignore[arg-type] # None is not among them
    assert nodes.occupancy() == ((0, nodes.occupancy()[0][1]),)


def test_a_whole_node_is_given_with_all_that_it_has() -> None:
    nodes = made((4, 2), (4, 2), memory=1000)
    small = nodes.assign(Resources())
    whole = nodes.assign(Resources(gpus_per_rank=1), share=1)
    assert got(whole) == (Node("n1", (0, 1, 2, 3), ("0", "1"), 1000),)
    assert nodes.assign(Resources(), share=1) is None
    nodes.free(small)  # type: ignore[arg-type]
    assert nodes.fit(Resources(), share=1) == 1


def test_shares_and_cores_share_a_node_without_drifting() -> None:
    nodes = made((10, 0))
    for _ in range(1000):
        held = [
            nodes.assign(Resources(), share=3),
            nodes.assign(Resources(cpus_per_rank=3)),
            nodes.assign(Resources()),
        ]
        assert nodes.assign(Resources(), share=3) is None
        for assignment in held:
            assert assignment is not None
            assignment.free()
    ((used, full),) = nodes.occupancy()
    assert (used, type(full)) == (0, int)


def test_memory_counts_where_it_is_known() -> None:
    nodes = made((8, 0), (8, 0), memory=1000)
    assert nodes.fit(Resources(memory_per_node=400)) == 4
    held = [nodes.assign(Resources(memory_per_node=400)) for _ in range(4)]
    assert {got(each)[0].memory for each in held} == {400}
    assert nodes.assign(Resources(memory_per_node=400)) is None
    assert nodes.assign(Resources(memory_per_node=200)) is not None
    assert [node.memory for node in nodes.busy()] == [1000, 800]
    with pytest.raises(DoesNotFit, match="each node must have 1001 MB, and the largest has 1000 MB"):
        nodes.assign(Resources(memory_per_node=1001))
    assert made((8, 0)).assign(Resources(memory_per_node=10**6)) is not None


# ---- never ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "share", "reason"),
    [
        (Resources(num_nodes=4), None, "4 nodes were asked for, and this allocation has 3"),
        (Resources(ranks_per_node=5, cpus_per_rank=2), None, "each node must have 10 cores, and the largest has 8"),
        (Resources(gpus_per_rank=3), None, "each node must have 3 GPUs, and the largest has 2"),
        (Resources(num_nodes=2, gpus_per_rank=1), None, "2 nodes with 1 core and 1 GPU on each .* and 1 of this"),
        (Resources(num_nodes=2, ranks_per_node=6), 1, "2 nodes with 6 cores on each were asked for, and 1"),
    ],
)
def test_what_never_fits_is_refused_with_the_reason(request_: Resources, share: int | None, reason: str) -> None:
    nodes = made((4, 0), (4, 0), (8, 2))
    for ask in (nodes.assign, nodes.check, nodes.wait_for):
        with pytest.raises(DoesNotFit, match=reason):
            ask(request_, share=share)  # type: ignore[operator] # all three take these
    assert nodes.fit(request_, share=share) == 0


@pytest.mark.parametrize("wrong", [{"num_nodes": 0}, {"ranks_per_node": -1}, {"gpus_per_rank": -1}])
def test_numbers_that_say_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest):
        made((4, 0)).assign(Resources(**wrong))
    with pytest.raises(InvalidRequest, match="share"):
        made((4, 0)).assign(Resources(), share=0)


def test_what_would_outlast_the_wall_time_is_refused() -> None:
    nodes = made((4, 0), end=time.time() + 60)
    left = nodes.time_left()
    assert left is not None
    assert 50 < left <= 60
    assert nodes.assign(Resources(), lasts_s=30) is not None
    for ask in (nodes.assign, nodes.wait_for, nodes.check):
        with pytest.raises(DoesNotFit, match="it is to run for 90 s, and the wall time ends in"):
            ask(Resources(), lasts_s=90)  # type: ignore[operator]
    assert made((4, 0)).time_left() is None
    assert made((4, 0), end=1.0).time_left() == 0


def test_ranks_are_arranged_on_the_fewest_nodes() -> None:
    nodes = made((4, 0), (4, 0), (4, 0), (4, 0))
    shapes = {ranks: nodes.arrange(ranks, Resources()) for ranks in (1, 4, 6, 8, 12)}
    assert {n: (s.num_nodes, s.ranks_per_node) for n, s in shapes.items()} == {
        1: (1, 1),
        4: (1, 4),
        6: (2, 3),
        8: (2, 4),
        12: (3, 4),
    }
    assert nodes.arrange(4, Resources(cpus_per_rank=2)).num_nodes == 2
    with pytest.raises(DoesNotFit):
        nodes.arrange(17, Resources())


# ---- waiting and threads ---------------------------------------------------------------------------------------


def test_waiting_ends_when_there_is_room() -> None:
    nodes = made((2, 0))
    held = nodes.assign(Resources(ranks_per_node=2))
    assert held is not None
    threading.Timer(0.1, held.free).start()
    assert got(nodes.wait_for(Resources(ranks_per_node=2), timeout=300))[0].cpus == (0, 1)


def test_waiting_ends_at_its_deadline_and_leaves_no_trace() -> None:
    nodes = made((2, 0))
    with nodes.assign(Resources(ranks_per_node=2)) as held:  # type: ignore[union-attr]
        assert held[0].name == "n0"
        assert nodes.wait_for(Resources(), timeout=0.05) is None
        assert nodes.wait_for(Resources(), timeout=0) is None
    assert nodes.assign(Resources()) is not None


def test_waiting_ends_when_we_are_told_to_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = made((1, 0))
    assert nodes.assign(Resources()) is not None
    monkeypatch.setattr(signals, "should_exit", lambda wait_s=0.0: True)
    assert nodes.wait_for(Resources()) is None


def test_who_came_first_is_served_first(comes_true: ComesTrue) -> None:
    nodes = made((4, 0))
    held = nodes.assign(Resources(ranks_per_node=3))
    assert held is not None
    order: list[str] = []

    def wait(name: str, ranks: int) -> None:
        assignment = nodes.wait_for(Resources(ranks_per_node=ranks), timeout=300)
        assert assignment is not None
        order.append(name)
        assignment.free()

    threads = []
    for at, (name, ranks) in enumerate([("large", 4), ("small", 1)]):
        threads.append(threading.Thread(target=wait, args=(name, ranks)))
        threads[-1].start()
        comes_true(lambda at=at: len(nodes.books._queue) == at + 1)
    assert nodes.assign(Resources()) is None  # nobody overtakes
    held.free()
    for thread in threads:
        thread.join(30)
    assert order == ["large", "small"]


def test_no_core_is_held_by_two_threads() -> None:
    nodes = made((4, 1), (4, 1))
    held: set[tuple[str, int]] = set()
    guard, faults = threading.Lock(), []

    def work(seed: int) -> None:
        for turn in range(60):
            request = Resources(ranks_per_node=1 + (seed + turn) % 3, num_nodes=1 + (seed * turn) % 2)
            assignment = nodes.wait_for(request, timeout=300)
            if assignment is None:
                faults.append("waited in vain")
                return
            ours = {(node.name, cpu) for node in assignment.nodes for cpu in node.cpus}
            with guard:
                if held & ours:
                    faults.append(f"{held & ours} twice")
                held.update(ours)
            with guard:
                held.difference_update(ours)
            assignment.free()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    assert nodes.idle() == nodes.allocation.nodes


def test_freeing_twice_gives_back_once() -> None:
    nodes = made((2, 0))
    first = nodes.assign(Resources())
    assert first is not None
    first.free()
    second = nodes.assign(Resources())
    first.free()
    assert got(second)[0].cpus == (0,)
    assert got(nodes.assign(Resources()))[0].cpus == (1,)
    assert first.nodes == (Node("n0", (0,)),)  # still to be read


def test_a_plain_host_cannot_change_its_size() -> None:
    nodes = made((2, 0), (2, 0))
    for ask in (lambda: nodes.release_nodes(1), lambda: nodes.request_nodes(1), lambda: nodes.extend_walltime(5)):
        with pytest.raises(Unsupported):
            ask()
    assert nodes.fit(Resources(num_nodes=2)) == 2  # nothing was lost


# ---- against a model ---------------------------------------------------------------------------------------------


class Model:
    """One node, the slow and plain way."""

    def __init__(self, cpus: int, gpus: int, memory: int | None) -> None:
        self.size, self.cpus, self.gpus = (cpus, gpus), set(range(cpus)), set(range(gpus))
        self.occupied, self.memory = Fraction(0), memory

    def occupies(self, request: Resources, share: int | None) -> Fraction:
        cores = Fraction(request.cores_per_node, self.size[0])
        return cores if share is None else max(cores, Fraction(1, share))

    def fits(self, request: Resources, share: int | None) -> bool:
        needed = self.size[1] if share == 1 else request.gpus_on_node
        return (
            request.cores_per_node <= self.size[0]
            and self.occupied + self.occupies(request, share) <= 1
            and len(self.gpus) >= max(needed, request.gpus_on_node)
            and (self.memory is None or self.memory >= (request.memory_per_node or 0))
        )


REQUESTS = st.builds(
    Resources,
    num_nodes=st.integers(1, 3),
    ranks_per_node=st.integers(1, 4),
    cpus_per_rank=st.integers(1, 3),
    gpus_per_rank=st.integers(0, 2),
    memory_per_node=st.one_of(st.none(), st.integers(1, 60)),
)
SIZES = st.sampled_from([(4, 0), (4, 2), (6, 4), (12, 3)])


class AssignAndFree(RuleBasedStateMachine):
    """Any order of assigning and freeing, beside a model with sets and fractions."""

    held = Bundle("held")

    @initialize(sizes=st.lists(SIZES, min_size=1, max_size=6), memory=st.sampled_from([None, 100]))
    def start(self, sizes: list[tuple[int, int]], memory: int | None) -> None:
        self.nodes = made(*sizes, memory=memory)
        self.models = [Model(*size, memory) for size in sizes]
        self.given: dict[int, list[tuple[Model, Node, Fraction, int]]] = {}

    @rule(target=held, request=REQUESTS, share=st.sampled_from([None, None, 1, 2, 3, 5]), spread=st.booleans())
    def assign(self, request: Resources, share: int | None, spread: bool) -> object:
        able = [model for model in self.models if model.fits(request, share)]
        if request.num_nodes == 1 and share != 1:
            times = self.nodes.fit(request, share=share)
            assert (times > 0) == bool(able)
        try:
            assignment = self.nodes.assign(request, share=share, spread=spread)
        except DoesNotFit:
            fresh = [Model(*model.size, 100 if model.memory is not None else None) for model in self.models]
            assert sum(model.fits(request, share) for model in fresh) < request.num_nodes
            return None
        assert (assignment is not None) == (len(able) >= request.num_nodes)
        if assignment is None:
            return None
        assert len({node.name for node in assignment.nodes}) == request.num_nodes
        self.given[assignment.id] = []
        for node in assignment.nodes:
            model = self.models[int(node.name[1:])]
            assert model in able
            cpus, gpus = set(node.cpus), set(map(int, node.gpus))
            if share == 1:
                assert (len(cpus), len(gpus)) == model.size
            else:
                assert node.cpus == tuple(sorted(model.cpus)[: request.cores_per_node])  # the lowest free
                assert sorted(gpus) == sorted(model.gpus)[: request.gpus_on_node]
            model.cpus -= cpus
            model.gpus -= gpus
            occupied = model.occupies(request, share)
            model.occupied += occupied
            memory = (node.memory or 0) if model.memory is not None else 0
            if model.memory is not None:
                model.memory -= memory
            self.given[assignment.id].append((model, node, occupied, memory))
        return assignment

    @rule(assignment=consumes(held))
    def free(self, assignment: Assignment | None) -> None:
        if assignment is None:
            return
        assignment.free()
        for model, node, occupied, memory in self.given.pop(assignment.id):
            model.cpus |= set(node.cpus)
            model.gpus |= set(map(int, node.gpus))
            model.occupied -= occupied
            if model.memory is not None:
                model.memory += memory

    @rule(request=REQUESTS)
    def fill(self, request: Resources) -> None:
        """So many fit as `fit` says, one node at a time."""
        one = Resources(
            ranks_per_node=request.ranks_per_node,
            cpus_per_rank=request.cpus_per_rank,
            gpus_per_rank=request.gpus_per_rank,
            memory_per_node=request.memory_per_node,
        )
        times = self.nodes.fit(one)
        taken = []
        while times and (found := self.nodes.assign(one)) is not None:
            taken.append(found)
        assert len(taken) == times
        for each in taken:
            each.free()

    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "nodes"):
            return
        for model, idle, busy, (used, full) in zip(
            self.models, self.nodes.idle(), self.nodes.busy(), self.nodes.occupancy(), strict=True
        ):
            assert idle.cpus == tuple(sorted(model.cpus))
            assert idle.gpus == tuple(map(str, sorted(model.gpus)))
            assert idle.memory == model.memory
            assert len(idle.cpus) + len(busy.cpus) == model.size[0]
            assert abs(Fraction(used, full) - model.occupied) < Fraction(1, 10**6)


AssignAndFree.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_any_order_of_assigning_and_freeing_agrees_with_a_plain_model = AssignAndFree.TestCase
