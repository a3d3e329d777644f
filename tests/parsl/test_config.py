"""Configurations from a site: what is filled in, and the same printed as Python and as YAML."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.cli.app import run as psij_run
from psij_parsl.cli.commands.submit import SUBMIT
from psij_parsl.cli.quick_parser import parse
from psij_parsl.errors import InvalidRequest
from tests.parsl.helpers import PARSL_IS_UNTIDY, apps, loaded

pytestmark = [*PARSL_IS_UNTIDY, pytest.mark.usefixtures("many_cores")]

CONFIGS = Path(__file__).parents[2] / "configs"
REQUESTS = Path(__file__).parents[1] / "sites" / "requests"

#: How a user of each shipped machine asks for blocks, on the command line and in Python.
MACHINES: dict[str, tuple[str, dict[str, Any]]] = {
    "aurora": (
        "-N 2 -t 1h -q debug -A chem",
        {"num_nodes": 2, "wall_time_min": 60, "queue": "debug", "project": "chem"},
    ),
    "cobalt": ("-N 2 -A chem -X attrs=mcdram=flat", {"num_nodes": 2, "project": "chem", "attrs": "mcdram=flat"}),
    "flux": (
        "-N 2 -q batch -A chem -X urgency=20",
        {"num_nodes": 2, "queue": "batch", "project": "chem", "urgency": "20"},
    ),
    "frontier": ("-N 2 -A chem -X qos=debug", {"num_nodes": 2, "project": "chem", "qos": "debug"}),
    "gridengine": ("-q all.q -A chem -X node_pe=smp", {"queue": "all.q", "project": "chem", "node_pe": "smp"}),
    "htcondor": ("-A chem -X vacate_s=30", {"project": "chem", "vacate_s": 30}),
    "laptop": ("--max-blocks 2 -t 1h", {"max_blocks": 2, "wall_time_min": 60}),
    "lsf": ("-N 2 -q normal -X slots_per_node=8", {"num_nodes": 2, "queue": "normal", "slots_per_node": 8}),
    "lumi": (
        "-q standard-g -A p_1 -X gpus_per_node=8",
        {"queue": "standard-g", "project": "p_1", "gpus_per_node": "8"},
    ),
    "oar": ("-N 2 -A chem -X core_property=core", {"num_nodes": 2, "project": "chem", "core_property": "core"}),
    "pbspro": (
        "-N 2 -q workq -X ncpus=8 --mode mpi",
        {"num_nodes": 2, "queue": "workq", "ncpus": 8, "job_mode": "mpi"},
    ),
    "perlmutter": (
        "-q debug -A chem -X constraint=gpu -X exclusive=yes --worker-init 'module load x'",
        {"queue": "debug", "project": "chem", "constraint": "gpu", "exclusive": True, "worker_init": "module load x"},
    ),
    "polaris": (
        "-q debug -t 30 -A chem --workers-per-node 2",
        {"queue": "debug", "wall_time_min": 30, "project": "chem", "workers_per_node": 2},
    ),
    "slurm": ("-N 2 --launcher mpich --max-blocks 3", {"num_nodes": 2, "launcher": "mpich", "max_blocks": 3}),
    "torque": ("-N 2 -q batch -A chem -X ppn=8", {"num_nodes": 2, "queue": "batch", "project": "chem", "ppn": 8}),
}


def _good_request(name: str) -> tuple[str, dict[str, Any]]:
    """The same of a machine that has requests of users: the first one that is right."""
    cases = tomllib.loads((REQUESTS / f"{name}.toml").read_text())["cases"]
    words = next(case["ask"] for case in cases.values() if "lines" in case and "--array" not in case["ask"])
    asked = parse(SUBMIT, shlex.split(words)).values()  # type: ignore[union-attr]
    names = {"nodes": "num_nodes", "time": "wall_time_min", "queue": "queue", "account": "project"}
    wishes = {field: asked[flag] for flag, field in names.items() if flag in asked}
    flags = {"num_nodes": "-N", "wall_time_min": "-t", "queue": "-q", "project": "-A"}
    parameters = asked.get("parameters", {})
    said = [f"{flags[field]} {value}" for field, value in wishes.items()]
    said += [f"-X {shlex.quote(f'{key}={value}')}" for key, value in parameters.items()]
    return " ".join(said), {**wishes, **parameters}


SHIPPED = sorted(path.stem for path in CONFIGS.glob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_printed_for_a_machine_is_its_configuration(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import parsl.providers

    import psij_parsl
    from psij_parsl.parsl import register

    monkeypatch.setattr("parsl.executors.high_throughput.executor.get_all_addresses", None)  # nobody is to be asked
    flags, wishes = MACHINES[name] if name in MACHINES else _good_request(name)
    direct = psij_parsl.site(name).parsl_config(**wishes)
    provider = direct.executors[0].provider

    assert psij_run(["parsl", "show", "--site", name, *shlex.split(flags)]) == 0
    space: dict[str, Any] = {}
    exec(compile(capsys.readouterr().out, f"{name}.py", "exec"), space)
    assert repr(space["config"]) == repr(direct)
    assert repr(space["executor"].provider) == repr(provider)
    assert space["executor"].interchange_launch_cmd == direct.executors[0].interchange_launch_cmd

    assert psij_run(["parsl", "show", "--site", name, "--yaml", *shlex.split(flags)]) == 0
    engine, _, text = capsys.readouterr().out.partition("  provider:\n")
    settings = {k: json.loads(v) for k, v in (line.strip().split(": ", 1) for line in text.splitlines())}
    register()
    made = getattr(parsl.providers, settings.pop("type"))(**settings)
    assert repr(made) == repr(provider)
    assert made._shape == provider._shape
    assert engine.startswith(f'engine:\n  type: "Globus{"MPI" if wishes.get("job_mode") else "Compute"}Engine"\n')


def test_a_platforms_parameter_that_is_unknown_or_wrong_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    show = ["parsl", "show", "--site", "perlmutter", "-A", "chem", "-q", "debug"]
    for words, said in (
        (["-X", "constraint=gqu"], "'gqu' is no constraint on perlmutter\nhint: did you mean 'gpu'?"),
        (["-X", "constrain=gpu"], "did you mean 'constraint'"),
        (["-X", "num_nodes=2"], "use -N"),
        (["-X", "constraint=gpu", "-X", "exclusive=maybe"], "exclusive='maybe' is refused"),
        (["--max-blocks", "0"], "must be a whole number above 0"),
    ):
        assert psij_run([*show, *words]) == 2
        assert said in capsys.readouterr().err


def test_a_site_that_says_its_nodes_in_its_platforms_words_has_all_of_them_used() -> None:
    """B27: Polaris's nodes have 64 CPUs and 4 GPUs, and one worker would not do."""
    from psij_parsl.parsl.config import plan
    from psij_parsl.providers import PBSProProvider

    made = plan("polaris", project="chem", queue="debug", wall_time_min=30)
    assert (made.executor["max_workers_per_node"], made.executor["available_accelerators"]) == (4, 4)
    provider = made.provider_class(**made.provider)
    assert (provider.cores_per_node, provider.gpus_per_node) == (64, 4)
    assert "export PARSL_CORES=64\n" in provider.script("pool", 1, "n")
    two = plan("polaris", project="chem", queue="debug", wall_time_min=30, gpus_per_node=2)
    assert two.executor["available_accelerators"] == 2
    assert PBSProProvider(cores_per_node=8, gpus_per_node=2, job_mode="mpi").parameters.get("ngpus") is None
    job = PBSProProvider(cores_per_node=8, gpus_per_node=2, job_mode="mpi")._shape.job("true", "n")
    assert (job.parameters["ngpus"], job.ranks_per_node) == (2, 8)


def test_what_a_site_says_of_its_nodes_gives_each_worker_its_gpu_and_the_cores_near_to_it() -> None:
    from psij_parsl.parsl.config import plan

    aurora = plan("aurora", project="chem", queue="debug", wall_time_min=30).executor
    assert (aurora["max_workers_per_node"], len(aurora["available_accelerators"])) == (12, 12)
    assert aurora["available_accelerators"][:2] == ["0.0", "0.1"]
    near = aurora["cpu_affinity"].removeprefix("list:").split(":")
    assert near[0].split(",") == [str(cpu) for cpu in (*range(1, 9), *range(105, 113))]
    frontier = plan("frontier", project="chem").executor
    assert (frontier["max_workers_per_node"], frontier["available_accelerators"]) == (8, 8)
    assert "48" not in frontier["cpu_affinity"].split(":")[1].split(",")  # it is kept from jobs
    few = plan("frontier", project="chem", accelerators=4, workers_per_node=2).executor
    assert (few["max_workers_per_node"], few["cpu_affinity"].count(":")) == (2, 4)
    assert plan("frontier", project="chem", workers_per_node=16).executor["cpu_affinity"] == "block"
    assert "available_accelerators" not in plan("frontier", project="chem", cores_per_node=4).executor


QUEUES = """
platform = "slurm"
network = { login = "lo", compute = "{host}" }
[nodes.cpu]
cpus = 64
[nodes.gpu]
cpus = 32
gpus = { ids = 4, cpus = ["0-7", "8-15", "16-23", "24-31"] }
memory = "400 GB"
[queues.cpu]
node = "cpu"
jobs = { queued = 3 }
[queues.gpu]
node = "gpu"
required = ["memory_per_node"]
[queues.come]
node = "gpu"
gpus = "implied"
forbidden = ["gpus_per_node"]
parameters = { partition = "gpu", qos = "come" }
setup = ["come setup"]
"""


@pytest.fixture
def queues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "many.toml").write_text(QUEUES)
    monkeypatch.setenv("PSIJ_PARSL_SITE_PATH", str(tmp_path))


@pytest.mark.usefixtures("queues")
def test_workers_are_those_of_the_queues_nodes() -> None:
    from psij_parsl.parsl.config import plan

    cpu = plan("many", queue="cpu").executor
    assert (cpu["max_workers_per_node"], "available_accelerators" in cpu) == (64, False)
    made = plan("many", queue="gpu")
    gpu = made.executor
    assert (gpu["max_workers_per_node"], gpu["available_accelerators"]) == (4, 4)
    assert (
        gpu["cpu_affinity"]
        == "list:0,1,2,3,4,5,6,7:8,9,10,11,12,13,14,15:16,17,18,19,20,21,22,23:24,25,26,27,28,29,30,31"
    )
    provider = made.provider_class(**made.provider)
    assert (provider.gpus_per_node, provider.mem_per_node) == (4, 400)  # a block has whole nodes
    assert provider._shape.job("true", "n").parameters["gpus_per_node"] == 4
    assert plan("many", queue="gpu", gpus_per_node=2).executor["max_workers_per_node"] == 2


@pytest.mark.usefixtures("queues")
def test_a_block_has_what_its_queue_adds_and_is_not_asked_for_gpus_that_come_with_it() -> None:
    from psij_parsl.parsl.config import plan

    made = plan("many", queue="come")
    assert made.executor["available_accelerators"] == 4
    job = made.provider_class(**made.provider)._shape.job("true", "n")
    assert (job.queue, job.queue_name, job.parameters["qos"], job.setup) == ("gpu", "come", "come", ("come setup",))
    assert (job.gpus_on_node, "gpus_per_rank" in job.implied, "gpus_per_node" in job.parameters) == (4, True, False)


def test_gpus_that_cannot_be_had_are_refused_in_the_word_that_was_said() -> None:
    from psij_parsl.parsl.config import plan

    with pytest.raises(InvalidRequest, match=r"local platform cannot ask for GPUs \(gpus_per_node=2\)"):
        plan("laptop", gpus_per_node=2)


def test_blocks_of_two_executors_that_this_host_has_no_room_for_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    from psij_parsl import parsl_config

    monkeypatch.setenv("PSIJ_LOCAL_CORES_TOTAL", "4")
    parsl_config(
        sites={"one": {"site": "laptop", "cores_per_node": 1}, "two": {"site": "laptop", "cores_per_node": 3}}
    )
    assert not [warning for warning in recwarn if "will wait" in str(warning.message)]
    with pytest.warns(UserWarning, match="one and two ask for 1 and 4 cores .* gives out 4: .* say cores_per_node"):
        parsl_config(sites={"one": {"site": "laptop", "cores_per_node": 1}, "two": "laptop"})


@pytest.mark.usefixtures("queues")
def test_there_are_no_more_blocks_than_the_queue_takes(caplog: pytest.LogCaptureFixture) -> None:
    from psij_parsl.parsl.config import plan

    assert plan("many", queue="cpu", max_blocks=3).provider["max_blocks"] == 3
    assert not caplog.records
    assert plan("many", queue="cpu", init_blocks=4, max_blocks=9).provider["max_blocks"] == 3
    assert "max_blocks is 3, for the queue cpu of many takes no more than that of 9" in caplog.text


@pytest.mark.usefixtures("queues")
def test_workers_call_back_at_the_sites_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    from psij_parsl.parsl.config import plan

    assert plan("many", queue="cpu").executor["address"] == "127.0.0.1"
    assert plan("many", queue="cpu", address="127.0.0.7").executor["address"] == "127.0.0.7"
    monkeypatch.setenv("PSIJ_JOB_ID", "j")  # inside a job it is a compute node
    monkeypatch.setattr("socket.gethostname", lambda: "localhost.example.org")
    assert plan("many", queue="cpu").executor["address"] == "127.0.0.1"


def test_the_cores_of_a_site_without_gpus_are_its_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from psij_parsl.parsl.config import plan

    (tmp_path / "big.toml").write_text(
        'platform = "slurm"\n[node]\ncpus = 8\nthreads_per_core = 2\nblocked = "0,4"\n'
    )
    monkeypatch.setenv("PSIJ_PARSL_SITE_PATH", str(tmp_path))
    assert plan("big").executor["max_workers_per_node"] == 3
    assert plan("big", cores_per_worker=2).executor["max_workers_per_node"] == 1


def test_a_site_file_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text('platform = "slurm"\n[defaults]\nranks_per_node = 4\ncpus_per_rank = 2\n')
    assert psij_run(["parsl", "show", "--config", str(tmp_path / "mine.toml")]) == 0
    answer = capsys.readouterr()
    assert "site='mine'" in answer.out
    assert "max_workers_per_node=8" in answer.out
    assert "among the site files" in answer.err


@pytest.mark.slow
def test_a_sites_configuration_runs_and_its_printed_form_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import psij_parsl

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PSIJ_LOCAL_CORES_TOTAL", "2")  # workers that are to start
    assert psij_run(["parsl", "write", "made.py", "--site", "laptop", "--max-blocks", "2", "-t", "1h"]) == 0
    space: dict[str, Any] = {}
    exec(compile((tmp_path / "made.py").read_text(), "made.py", "exec"), space)
    direct = psij_parsl.site("laptop").parsl_config(max_blocks=2, wall_time_min=60)
    assert repr(space["config"]) == repr(direct)
    assert repr(space["executor"].provider) == repr(direct.executors[0].provider)
    assert direct.executors[0].drain_period == (60 - 6) * 60
    assert direct.executors[0].encrypted
    with loaded(space["config"]):
        where, _ = apps()
        assert len([task.result(300) for task in [where(n) for n in range(100)]]) == 100


def test_a_plan_knows_workers_accelerators_and_affinity() -> None:
    from psij_parsl.parsl.config import plan

    gpus = plan("slurm", cores_per_node=64, gpus_per_node="a100:4").executor
    assert (gpus["max_workers_per_node"], gpus["available_accelerators"], gpus["cpu_affinity"]) == (4, 4, "block")
    cores = plan("slurm", cores_per_node=64, cores_per_worker=8, wall_time_min="2h").executor
    assert (cores["max_workers_per_node"], cores["drain_period"]) == (8, 6600)
    mpi = plan("slurm", num_nodes=4, job_mode="mpi")
    assert mpi.executor_class == "MPIExecutor"
    assert (mpi.executor["max_workers_per_block"], mpi.executor["mpi_launcher"]) == (4, "srun")
    assert plan("slurm", interface="lo").executor["address"] == "127.0.0.1"
    assert plan("slurm", address="localhost").executor["address"] in ("127.0.0.1", "::1")
    with pytest.raises(InvalidRequest, match=r"interface='hsn9' has no address here.*lo"):
        plan("slurm", interface="hsn9")
    with pytest.raises(InvalidRequest, match="no parameter 'max_block'.*'max_blocks'|no parameter 'max_block'"):
        plan("slurm", max_block=2)
    for name, value in {
        "workers_per_node": 0,
        "cores_per_worker": "x",
        "drain_min": -1,
        "strategy": "foo",
        "max_blocks": "two",
        "init_blocks": -1,
        "parallelism": "x",
        "worker_init": 3,
        "watchdog_s": "x",
        "mem_per_node": "x",
    }.items():
        with pytest.raises(InvalidRequest, match=f"{name}={value!r} "):
            plan("slurm", **{name: value})
    assert plan("slurm", init_blocks=2).provider["max_blocks"] == 2


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("mine")
    assert psij_run(["parsl", "write", str(tmp_path / "mine.py"), "--site", "laptop"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "mine.py").read_text() == "mine"


def test_importing_the_configuration_looks_for_no_network(tmp_path: Path) -> None:
    """B31: an address is looked for when a configuration is made, never when a module is imported."""
    text = textwrap.dedent("""
        import socket
        def never(*words): raise AssertionError(words)
        socket.getaddrinfo = socket.gethostbyname = never
        import psij_parsl.parsl.config
        psij_parsl.parsl.config.plan("laptop")
    """)
    subprocess.run([sys.executable, "-c", text], check=True, cwd=tmp_path, timeout=300)
