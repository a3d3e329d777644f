"""Ranks that do not divide by the nodes: each launch method is told their number, and the most that a node has."""

from __future__ import annotations

import shlex

import pytest

from psij_parsl import Job
from psij_parsl.errors import InvalidRequest
from psij_parsl.job_size import Resources
from psij_parsl.runs.registry import launcher, launchers

UNEVEN = Resources(num_nodes=2, ranks=5, cpus_per_rank=3)
LINES = {
    "srun": "srun --kill-on-bad-exit=1 --nodes=2 --ntasks=5 --cpus-per-task=3",
    "openmpi": "mpirun -n 5 --map-by ppr:3:node:pe=3",
    "mpich": "mpiexec -n 5 -ppn 3 -bind-to core:3",
    "intelmpi": "mpiexec -n 5 -ppn 3 -genv I_MPI_PIN_DOMAIN 3:compact",
    "pals": "mpiexec -n 5 --ppn 3 --depth 3 --cpu-bind depth",
    "aprun": "aprun -n 5 -N 3 -d 3 -j 1 -cc depth",
    "jsrun": "jsrun --exit_on_error 1 --nrs 5 --tasks_per_rs 1 --rs_per_host 3 --cpu_per_rs 3 --bind rs"
    " --launch_distribution packed",
    "lrun": "lrun -N 2 -n 5 -c 3",
    "ibrun": "env IBRUN_TASKS_PER_NODE=3 ibrun -n 5",
    "flux": "flux run -o exit-on-error --nodes=2 --ntasks=5 --cores-per-task=3 -o cpu-affinity=per-task",
}


@pytest.mark.parametrize("name", LINES)
def test_the_line_of(name: str) -> None:
    assert launcher(name)().argv(UNEVEN) == shlex.split(LINES[name])


def test_each_method_starts_them_or_refuses_them() -> None:
    others = {name for name, method in launchers() if isinstance(method, type)} - LINES.keys()
    assert others == {"fork", "single", "mpiexec"}  # mpiexec is one of the above
    for name in ("fork", "single"):
        with pytest.raises(InvalidRequest) as caught:
            launcher(name)().argv(UNEVEN)
        assert caught.value.hint


def test_ranks_that_divide_by_the_nodes_after_all_are_as_many_on_each() -> None:
    assert Resources(num_nodes=2, ranks=6) == Resources(num_nodes=2, ranks_per_node=3)
    assert Job(command=["x"], num_nodes=4, ranks=4).ranks_per_node == 1


def test_on_a_number_of_nodes_that_is_not_known_no_method_starts_ranks() -> None:
    for name in LINES:
        with pytest.raises(InvalidRequest, match="a number of nodes that must be known") as caught:
            launcher(name)().argv(Resources(num_nodes=None, ranks=5))
        assert caught.value.hint == "say -N; or let the command start its ranks, with --mode script"
