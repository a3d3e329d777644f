"""Where each rank runs: the rows of an assignment, and the wrapper at work in real shells, under every launcher."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psij_parsl import Job
from psij_parsl.errors import InvalidRequest
from psij_parsl.job_size import Resources
from psij_parsl.platforms.templates.loader import functions_text
from psij_parsl.resources import Node
from psij_parsl.resources.gpus import visible
from psij_parsl.runs.binding import THREADS, Wrapper, gpu_vendor, rows, text, threads
from psij_parsl.runs.rank_io import RankIO
from psij_parsl.runs.registry import launcher
from psij_parsl.system.gpu_variables import GPU_VARIABLES
from psij_parsl.system.id_ranges import format_ranges
from tests.clusters.processes import Process
from tests.runs.launches import starting_lines

HERE = socket.gethostname()
FOUR = Resources(ranks_per_node=4)
#: How each launcher tells a rank that it is the second of its node and the sixth of all, four on each node. Those
#: of srun, Open MPI, MPICH and Intel MPI were seen; the others are from their documentation.
KNOWN = {
    "srun": {"SLURM_PROCID": "5", "SLURM_LOCALID": "1"},
    "openmpi": {"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
    "mpich": {"PMI_RANK": "5", "MPI_LOCALRANKID": "1"},
    "intelmpi": {"PMI_RANK": "5", "MPI_LOCALRANKID": "1"},
    "pals": {"PALS_RANKID": "5", "PALS_LOCAL_RANKID": "1"},
    "aprun": {"ALPS_APP_PE": "5"},
    "jsrun": {"JSM_NAMESPACE_RANK": "5", "JSM_NAMESPACE_LOCAL_RANK": "1"},
    "lrun": {"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
    "ibrun": {"MV2_COMM_WORLD_RANK": "5", "MV2_COMM_WORLD_LOCAL_RANK": "1"},
    "flux": {"FLUX_TASK_RANK": "5", "FLUX_TASK_LOCAL_ID": "1"},
    "fork": {"PSIJ_RANK": "5", "PSIJ_LOCAL_RANK": "1"},
}
SHELLS = ("dash", "bash")


def ran(
    wrapper: Wrapper, shape: Resources, command: Sequence[str], environ: Mapping[str, str], shell: str = "dash"
) -> subprocess.CompletedProcess[str]:
    """What a launcher would start on a node."""
    words = [shell, *wrapper.args(shape)[1:], *command]
    plain = {name: os.environ[name] for name in ("PATH", "HOME")}
    return subprocess.run(words, env={**plain, **environ}, capture_output=True, text=True, timeout=30, check=False)


def has(wrapper: Wrapper, shape: Resources, *names: str, shell: str = "dash", **environ: str) -> list[str]:
    """The values of these variables in a rank; '-' for one that is not set."""
    script = "; ".join(f'echo "${{{name}-unset}}"' for name in names)
    done = ran(wrapper, shape, ["sh", "-c", script], environ, shell)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.splitlines()


def of(name: str, **fields: object) -> Wrapper:
    method = launcher(name)
    return Wrapper(rank_variables=method.rank_variables, local_rank_variables=method.local_rank_variables, **fields)  # type: ignore[arg-type]  # a test's own


# ---- rows ---------------------------------------------------------------------------------------------------------


def test_each_rank_has_its_part_of_the_node_in_the_order_given() -> None:
    node = Node("n1", (8, 9, 0, 1), ("3", "2"))
    shape = Resources(ranks_per_node=2, cpus_per_rank=2, gpus_per_rank=1)
    assert rows([node], shape) == ["*|8-9;0-1|3;2"]


def test_nodes_that_are_alike_share_a_row_and_others_have_their_own() -> None:
    shape = Resources(num_nodes=2)
    assert rows([Node("n1", (0,)), Node("n2", (0,))], shape) == ["*|0|"]
    assert rows([Node("n1", (0,)), Node("n2", (4,))], shape) == ["n1|0|", "n2|4|"]


def test_gpus_that_nobody_counted_by_rank_are_everybodys() -> None:
    node = Node("n1", (0, 1), ("0", "1", "2"))
    assert rows([node], Resources(ranks_per_node=2)) == ["*|0;1|0,1,2;0,1,2"]


def test_a_run_without_gpus_can_be_shown_none() -> None:
    assert rows([Node("n1", (0, 1))], Resources(ranks_per_node=2), hide_gpus=True) == ["*|0;1|none;none"]


def test_ids_that_only_count_are_marked() -> None:
    assert rows([Node("n1", (4, 5), real_ids=False)], Resources(ranks_per_node=2)) == ["*|~4;~5|"]


def test_a_node_that_is_too_small_for_its_ranks_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="4 ranks cannot have a CPU each"):
        rows([Node("n1", (0, 1))], FOUR)


def test_more_different_places_than_a_command_line_carries_are_refused() -> None:
    nodes = [Node(f"node{at:05}", (0,), (f"GPU-{at:0200}",)) for at in range(9000)]
    with pytest.raises(InvalidRequest, match="more than a command line carries.*--share 1"):
        rows(nodes, Resources(num_nodes=9000))


@given(st.lists(st.integers(0, 200), unique=True, max_size=40))
def test_packed_ids_are_the_same_ids(ids: list[int]) -> None:
    found: list[int] = []
    for part in filter(None, format_ranges(ids).split(",")):
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    assert found == ids


# ---- which rank, on which node ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", KNOWN)
def test_a_rank_knows_its_place_under(name: str, shell: str) -> None:
    shape = Resources(num_nodes=2, ranks_per_node=4)
    names = ("PSIJ_RANK", "PSIJ_LOCAL_RANK", "PSIJ_NUM_RANKS", "PSIJ_GPUS", "CUDA_VISIBLE_DEVICES")
    placed = ["n1||0;1;2;3", "n2||4;5;6;7"]
    found = has(of(name, rows=placed, gpu_vendor="nvidia"), shape, *names, shell=shell, **KNOWN[name])
    assert found == ["5", "1", "8", "5", "5"]


def test_an_outer_launchers_words_are_not_taken_for_ours() -> None:
    """In a batch script of Slurm's, SLURM_PROCID is 0 for everybody; mpirun's ranks inherit it."""
    environ = {**KNOWN["openmpi"], "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "PMI_RANK": "7"}
    assert has(of("openmpi"), Resources(num_nodes=2, ranks_per_node=4), "PSIJ_RANK", **environ) == ["5"]


@pytest.mark.parametrize("named", [HERE, f"{HERE}.example.org", "order"])
def test_a_node_is_known_by_its_name_else_by_the_order_of_the_ranks(named: str) -> None:
    placed = ["other||0;1;2;3", f"{named}||4;5;6;7"]
    environ = KNOWN["openmpi"] if named == "order" else {**KNOWN["openmpi"], "OMPI_COMM_WORLD_RANK": "1"}
    wrapper = of("openmpi", rows=placed, gpu_vendor="nvidia")
    assert has(wrapper, Resources(num_nodes=2, ranks_per_node=4), "PSIJ_GPUS", **environ) == ["5"]


def test_slurms_name_of_a_node_counts_and_not_the_hosts() -> None:
    wrapper = of("srun", rows=[f"{HERE}||0;1", "n2||4;5"], gpu_vendor="nvidia")
    environ = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURMD_NODENAME": "n2"}
    assert has(wrapper, Resources(num_nodes=2, ranks_per_node=2), "PSIJ_GPUS", **environ) == ["4"]


def test_a_rank_without_a_number_is_told_and_not_guessed() -> None:
    done = ran(of("openmpi", rows=["n1||0;1"]), Resources(ranks_per_node=2), ["true"], {})
    assert done.returncode == 125
    assert "its place cannot be told" in done.stderr
    assert has(of("single", rows=["*||7"], gpu_vendor="nvidia"), Resources(), "PSIJ_RANK", "PSIJ_GPUS") == ["0", "7"]


# ---- cores --------------------------------------------------------------------------------------------------------


def allowed(wrapper: Wrapper, shape: Resources, **environ: str) -> str:
    done = ran(wrapper, shape, ["grep", "Cpus_allowed_list", "/proc/self/status"], environ)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.split()[1]


def test_a_rank_is_bound_to_its_cores() -> None:
    mine = sorted(os.sched_getaffinity(0))
    each = ";".join(map(str, mine))
    for local, core in enumerate(mine):
        environ = {"PSIJ_RANK": str(local), "PSIJ_LOCAL_RANK": str(local)}
        assert allowed(of("fork", rows=[f"*|{each}|"]), Resources(ranks_per_node=len(mine)), **environ) == str(core)


def test_cores_that_a_node_lacks_are_told_and_the_rank_runs() -> None:
    done = ran(of("single", rows=["*|4000|"]), Resources(), ["sh", "-c", "echo $PSIJ_CPUS"], {})
    assert (done.returncode, done.stdout) == (0, "4000\n")
    assert "rank 0" in done.stderr
    assert "cannot be bound to cores 4000 and runs where it may: Invalid argument" in done.stderr


def test_ids_that_only_count_are_those_that_the_job_has_here() -> None:
    """Slurm tells how many CPUs the job has on a node; if we may use just as many, these are them."""
    mine = sorted(os.sched_getaffinity(0))
    wrapper, shape = of("srun", rows=[f"*|~{len(mine) - 1}|"]), Resources()
    slurm = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    assert allowed(wrapper, shape, **slurm, SLURM_CPUS_ON_NODE=str(len(mine))) == str(mine[-1])
    assert allowed(wrapper, shape, **slurm, SLURM_CPUS_ON_NODE="999") == format_ranges(mine)
    assert allowed(wrapper, shape, **slurm) == format_ranges(mine)
    assert has(wrapper, shape, "PSIJ_CPUS", **slurm) == [str(len(mine) - 1)]


# ---- GPUs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("kind", "variable"),
    [("nvidia", "CUDA_VISIBLE_DEVICES"), ("amd", "ROCR_VISIBLE_DEVICES"), ("intel", "ZE_AFFINITY_MASK")],
)
def test_a_mask_is_in_the_vendors_variable(kind: str, variable: str, shell: str) -> None:
    wrapper = of("single", rows=["*||2,3"], gpu_vendor=kind)
    every = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
    found = has(wrapper, Resources(), *every, shell=shell)
    assert dict(zip(every, found, strict=True)) == {name: "2,3" if name == variable else "unset" for name in every}


def test_tiles_are_counted_within_their_gpu() -> None:
    wrapper = of("single", rows=["*||0.0,0.1,5.1"], gpu_vendor="intel")
    names = ("ZE_AFFINITY_MASK", "ZE_FLAT_DEVICE_HIERARCHY")
    assert has(wrapper, Resources(), *names) == ["0.0,0.1,5.1", "COMPOSITE"]
    assert has(wrapper, Resources(), *names, ZE_FLAT_DEVICE_HIERARCHY="FLAT")[1] == "FLAT"


def test_amds_other_variables_would_count_within_the_mask_and_go() -> None:
    names = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
    wrapper = of("single", rows=["*||3"], gpu_vendor="amd")
    assert has(wrapper, Resources(), *names, **dict.fromkeys(names, "3")) == ["3", "unset", "unset", "unset"]


def test_nvidias_ids_are_in_the_order_of_nvidia_smi() -> None:
    assert has(of("single", rows=["*||1"], gpu_vendor="nvidia"), Resources(), "CUDA_DEVICE_ORDER") == ["PCI_BUS_ID"]


@pytest.mark.parametrize(("variable", "kind"), GPU_VARIABLES.items())
def test_the_vendor_is_the_one_whose_variable_is_set(variable: str, kind: str) -> None:
    assert gpu_vendor({variable: "0,1"}) == kind
    assert gpu_vendor({}) == gpu_vendor({variable: ""}) == ""


def test_the_vendor_is_that_of_the_variable_that_lists_the_gpus() -> None:
    """Else one vendor's mask would be made of another's list."""
    environ = {"ROCR_VISIBLE_DEVICES": "-1", "CUDA_VISIBLE_DEVICES": "0,1"}
    assert (gpu_vendor(environ), visible(environ)) == ("nvidia", ("0", "1"))
    assert gpu_vendor({"ZE_AFFINITY_MASK": "", "ROCR_VISIBLE_DEVICES": "none"}) == ""


@pytest.mark.parametrize("variable", ["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"])
def test_where_nobody_said_the_vendor_the_node_does(variable: str) -> None:
    assert has(of("single", rows=["*||1"]), Resources(), variable, **{variable: "0,1,2"}) == ["1"]


def test_a_run_without_gpus_sees_none() -> None:
    wrapper = of("single", rows=["*||none"], gpu_vendor="nvidia")
    assert has(wrapper, Resources(), "CUDA_VISIBLE_DEVICES", CUDA_VISIBLE_DEVICES="0,1") == [""]


def test_without_places_cores_and_masks_are_left_alone() -> None:
    mine = format_ranges(sorted(os.sched_getaffinity(0)))
    assert allowed(of("single"), Resources()) == mine
    assert has(of("single"), Resources(), "CUDA_VISIBLE_DEVICES", CUDA_VISIBLE_DEVICES="0,1") == ["0,1"]
    assert has(of("single"), Resources(), "CUDA_VISIBLE_DEVICES") == ["unset"]


@pytest.mark.parametrize(
    ("seen", "expected"), [("", "2,3"), ("4,5,6,7", "6,7"), ("GPU-a,GPU-b,GPU-c,GPU-d", "GPU-c,GPU-d")]
)
def test_over_a_whole_allocation_the_nodes_gpus_are_shared_out(seen: str, expected: str) -> None:
    """Where nothing was assigned, each rank takes its part of what its node shows."""
    environ = {**KNOWN["mpich"], **({"CUDA_VISIBLE_DEVICES": seen} if seen else {})}
    wrapper = of("mpich", gpus_per_rank=2, gpu_vendor="" if seen else "nvidia")
    assert has(wrapper, Resources(num_nodes=2, ranks_per_node=2), "CUDA_VISIBLE_DEVICES", **environ) == [expected]


def test_a_jobs_script_shares_out_the_gpus_too(tmp_path: Path) -> None:
    (tmp_path / "rank.sh").write_text(text())
    job = Job(command=["sh"], ranks_per_node=2, gpus_per_rank=1, launcher="fork")
    line = starting_lines(job, "srun", tmp_path)
    done = subprocess.run(
        ["bash", "-c", line, "x", "sh", "-c", "echo $PSIJ_RANK $CUDA_VISIBLE_DEVICES"],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "6,4"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(done.stdout.splitlines()) == ["0 6", "1 4"]


# ---- threads ------------------------------------------------------------------------------------------------------


def test_threads_follow_the_cores_of_a_rank_unless_the_user_said_otherwise() -> None:
    assert threads(4, {}) == 4
    assert threads(4, {"OMP_NUM_THREADS": "2"}) == threads(4, {"MKL_NUM_THREADS": "2"}) == 0
    assert threads(4, {"OMP_NUM_THREADS": "8", "PSIJ_THREADS": "8"}) == 4  # an outer launch of ours, not the user
    assert has(of("single", threads=4), Resources(), *THREADS) == ["4"] * 4
    assert has(of("single"), Resources(), "OMP_NUM_THREADS", OMP_NUM_THREADS="2") == ["2"]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, "4"), ({"OMP_NUM_THREADS": "2"}, "2"), ({"OMP_NUM_THREADS": "8", "PSIJ_THREADS": "8"}, "4")],
)
def test_in_a_script_likewise(environ: dict[str, str], expected: str) -> None:
    threads = f"psij_threads 4 {' '.join(THREADS)}"
    script = f"{functions_text()}\nset -u; {threads}; echo $OMP_NUM_THREADS"
    done = subprocess.run(["bash", "-c", script], env={"PATH": "/bin", **environ}, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{expected}\n", "")


# ---- the command, its files, its end ------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_words_reach_the_command_as_they_are(shell: str) -> None:
    odd = ["a b", "it's", "$HOME", "*", "", "tail\\", "a\nb", "-n", "--"]
    done = ran(of("single", rows=["*||1"]), Resources(), ["sh", "-c", 'printf "%s|" "$@"', "x", *odd], {}, shell)
    assert done.stdout == "|".join(odd) + "|"


def test_the_environment_holds_nothing_of_the_wrappers_own() -> None:
    done = ran(of("single", rows=["*|0|1"], threads=2), Resources(), ["env"], {})
    assert not [line for line in done.stdout.splitlines() if line.startswith("psij_")]


@pytest.mark.parametrize(
    ("command", "code", "why"),
    [
        ("no-such-program", 127, "there is no program no-such-program"),
        ("/etc", 126, "/etc is not executable"),
        ("/etc/passwd", 126, "/etc/passwd is not executable"),
    ],
)
def test_a_command_that_cannot_run_is_told_by_one_rank_of_the_node(command: str, code: int, why: str) -> None:
    for local in ("0", "1"):
        done = ran(of("fork"), Resources(ranks_per_node=2), [command], {"PSIJ_RANK": local, "PSIJ_LOCAL_RANK": local})
        assert done.returncode == code
        assert (why in done.stderr) == (local == "0")


def test_a_directory_that_the_node_lacks_is_told() -> None:
    done = ran(of("single", directory="/no/such/place"), Resources(), ["pwd"], {})
    assert (done.returncode, done.stdout) == (125, "")
    assert "the directory /no/such/place is not there" in done.stderr


def test_each_rank_writes_files_of_its_own(tmp_path: Path) -> None:
    both = RankIO(stdout=tmp_path / "out.%r.txt")
    apart = RankIO(stdout=tmp_path / "o %r", stderr=tmp_path / "e %r", append=True)
    say = ["sh", "-c", "echo out; echo err >&2"]
    for io in (both, both, apart, apart):
        assert ran(of("mpich", io=io), Resources(num_nodes=2, ranks_per_node=4), say, KNOWN["mpich"]).returncode == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "out.5.txt": "out\nerr\n",
        "o 5": "out\nout\n",
        "e 5": "err\nerr\n",
    }


def test_lines_are_labelled_with_the_rank_and_nothing_is_lost() -> None:
    script = "i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; printf last; exit 4"
    done = ran(
        of("mpich", io=RankIO(label=True)),
        Resources(num_nodes=2, ranks_per_node=4),
        ["sh", "-c", script],
        KNOWN["mpich"],
    )
    assert done.returncode == 4
    assert done.stdout == "".join(f"[5] out {at}\n" for at in range(500)) + "[5] last\n"
    assert done.stderr == "".join(f"[5] err {at}\n" for at in range(500))


@pytest.mark.parametrize("stay", ["", "1"])
def test_the_exit_code_is_the_commands_and_a_signal_is_told(stay: str) -> None:
    wrapper = of("single", report_signals=stay)
    assert ran(wrapper, Resources(), ["sh", "-c", "exit 7"], {}).returncode == 7
    expected = 128 + 9 if stay else -9
    assert ran(wrapper, Resources(), ["sh", "-c", "kill -9 $$"], {}).returncode == expected


def test_a_rank_ends_with_the_process_that_started_it(tmp_path: Path, comes_true: Callable[..., None]) -> None:
    """By the kernel alone, where setpriv(1) can ask for it."""
    words = of("single", die_with_parent=True).args(Resources())
    pid = tmp_path / "pid"
    parent = subprocess.Popen(
        ["sh", "-c", '"$@" & wait', "parent", *words, "sh", "-c", f"echo $$ >{pid}; exec sleep 600"]
    )
    comes_true(lambda: pid.exists() and pid.read_text().strip())
    comes_true(lambda: Path(f"/proc/{pid.read_text().strip()}/comm").read_text() == "sleep\n")
    parent.kill()
    parent.wait()
    comes_true(lambda: (rank := Process.of(int(pid.read_text()))) is None or not rank.alive)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "environ", "alone"),
    [
        ("libmpi.so.12", {}, "MPICH"),
        ("libmpi.so.40", {}, "Open MPI"),
        ("libmpi.so.12", {"PMI_RANK": "0"}, ""),
        ("libmpi.so.40", {"PMI_RANK": "0"}, "Open MPI"),
        ("libmpi.so.40", {"PMIX_RANK": "0"}, ""),
        ("libmpi.so.12", {"PMIX_RANK": "0", "PMIX_NAMESPACE": "x"}, "MPICH"),
        ("libm.so", {}, ""),
    ],
)
def test_a_program_that_loads_an_mpi_which_the_launch_does_not_serve_is_told(
    library: str, environ: dict[str, str], alone: str, tmp_path: Path
) -> None:
    """As an interpreter may. The library here is any mapped file of that name."""
    (tmp_path / library).write_bytes(b"x" * 5000)
    program = (
        "import mmap, sys, time; f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, prot=1); time.sleep(2)"
    )
    command = ["/usr/bin/python3", "-c", program, str(tmp_path / library)]
    ids = {"PSIJ_RANK": "0", "PSIJ_LOCAL_RANK": "0"}
    stay = "abort" if "PMI_RANK" in environ else ""  # as under Hydra: the rank is not the wrapper's own process then
    done = ran(of("fork", watch_mpi=True, report_signals=stay), Resources(ranks_per_node=2), command, ids | environ)
    said = f"psij: this program has loaded {alone}, which this launch does not serve: each of the 2 ranks is a run"
    assert done.stderr.startswith(said) if alone else done.stderr == ""


def test_the_watch_holds_up_nobody() -> None:
    """It looks for ten seconds, but lets go of our streams at once."""
    words = [*of("fork", watch_mpi=True).args(Resources(ranks_per_node=2)), "true"]
    environ = {**os.environ, "PSIJ_RANK": "0", "PSIJ_LOCAL_RANK": "0"}
    assert subprocess.run(words, env=environ, capture_output=True, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize(("failing", "code"), [("exit 5", 5), ("true", 0)])
def test_a_script_tells_the_failure_of_a_copy_that_the_launcher_forgets(
    failing: str, code: int, tmp_path: Path
) -> None:
    """As Open MPI does when it is told to go on. The mpirun here starts two copies and says 0 whatever they say."""
    fake = tmp_path / "mpirun"
    fake.write_text(
        '#!/bin/bash\n[ "$1" != --version ] || exec echo "mpirun (Open MPI) 5.0.11"\n'
        'while [ "$1" != sh ]; do shift; done\n'
        'for r in 0 1; do OMPI_COMM_WORLD_RANK=$r OMPI_COMM_WORLD_LOCAL_RANK=$r "$@" & done\nwait\nexit 0\n'
    )
    fake.chmod(0o755)
    (tmp_path / "rank.sh").write_text(text())
    job = Job(command=["sh"], ranks_per_node=2, launcher="openmpi", job_mode="serial")
    line = starting_lines(job, "srun", tmp_path)
    done = subprocess.run(
        ["bash", "-c", line, "x", "sh", "-c", f"[ $PSIJ_RANK = 0 ] || {failing}; echo $PSIJ_RANK"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PSIJ_JOB_FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert sorted(done.stdout.split()) == (["0"] if code else ["0", "1"])
