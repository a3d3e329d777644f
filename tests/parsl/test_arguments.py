"""What `parsl_config` takes: all that Parsl takes, and what is whose; and several sites in one configuration."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from psij_parsl.cli.app import run as psij_run
from psij_parsl.errors import InvalidRequest
from tests.parsl.helpers import PARSL_IS_UNTIDY

pytestmark = [*PARSL_IS_UNTIDY, pytest.mark.usefixtures("many_cores")]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "parsl.md"
#: What each argument of Parsl's may be, where its default is no example, by its name.
EXAMPLES: dict[str, Any] = {
    "address": "127.0.0.9",
    "address_probe_timeout": 9,
    "available_accelerators": ["a", "b"],
    "checkpoint_files": ["/tmp/checkpoint"],
    "checkpoint_mode": "manual",
    "checkpoint_period": "00:10:00",
    "cpu_affinity": "block-reverse",
    "drain_period": 77,
    "exit_mode": "skip",
    "interchange_launch_cmd": ["interchange.py"],
    "interchange_port_range": (50000, 50010),
    "label": "mine",
    "launch_cmd": "process_worker_pool.py {addresses}",
    "loopback_address": "127.0.0.3",
    "mpi_launcher": "srun",
    "project_name": "chem",
    "run_dir": "elsewhere",
    "retry_handler": lambda error, task: 1.0,
    "std_autopath": lambda *words: "",
    "storage_access": [],
    "strategy": "none",
    "usage_tracking": 1,
    "worker_logdir_root": "/tmp/logs",
    "worker_port": 50001,
    "worker_ports": (50001, 50002),
    "worker_port_range": (50000, 50010),
    "working_dir": "/tmp/work",
}


def arguments(kind: type) -> dict[str, inspect.Parameter]:
    return {name: one for name, one in inspect.signature(kind.__init__).parameters.items() if name != "self"}


def objects() -> dict[str, Any]:
    """Arguments that are objects of Parsl's, where the installed one has them."""
    from parsl.dataflow import dependency_resolvers, memoization
    from parsl.executors.high_throughput import manager_selector
    from parsl.monitoring import MonitoringHub

    found: dict[str, Any] = {
        "monitoring": MonitoringHub.__new__(MonitoringHub),  # its packages may not be here, and it is not used
        "dependency_resolver": dependency_resolvers.DEEP_DEPENDENCY_RESOLVER,
        "manager_selector": manager_selector.BlockIdManagerSelector(),
    }
    if hasattr(memoization, "BasicMemoizer"):
        found["memoizer"] = memoization.BasicMemoizer(memoize=False)
        from parsl.monitoring.radios.udp import UDPRadio

        found["remote_monitoring_radio"] = UDPRadio(address="localhost")
    return found


def example(name: str, parameter: inspect.Parameter) -> Any:
    if name in (made := objects()):
        return made[name]
    if name in EXAMPLES:
        return EXAMPLES[name]
    if isinstance(parameter.default, bool):
        return not parameter.default
    plain = isinstance(parameter.default, int | float)
    return parameter.default + 3 if plain else 3


@pytest.mark.parametrize("job_mode", ["serial", "mpi"])
def test_every_argument_of_parsls_arrives(job_mode: str) -> None:
    """By the signatures of the installed Parsl, each with another value than its default."""
    import parsl.config
    import parsl.executors

    import psij_parsl

    kind = getattr(parsl.executors, "MPIExecutor" if job_mode == "mpi" else "HighThroughputExecutor")
    for made_by in (parsl.config.Config, kind):
        for name, parameter in arguments(made_by).items():
            if name in ("provider", "executors"):
                continue
            value = example(name, parameter)
            if job_mode == "mpi" and name == "interchange_launch_cmd":
                value = "interchange.py"
            config = psij_parsl.site("slurm").parsl_config(job_mode=job_mode, **{name: value})
            (executor,) = config.executors
            assert isinstance(executor, kind)
            arrived = getattr(config if made_by is parsl.config.Config else executor, name)
            if name == "block_error_handler":
                assert arrived.__name__ == "noop_error_handler"
            else:
                assert arrived == value, name
                assert value is None or value != parameter.default


def test_further_executors_stand_beside_the_sites() -> None:
    from parsl.executors.threads import ThreadPoolExecutor

    import psij_parsl

    config = psij_parsl.site("slurm").parsl_config(executors=[ThreadPoolExecutor(label="here")])
    assert [executor.label for executor in config.executors] == ["psij", "here"]
    with pytest.raises(InvalidRequest, match="two executors with the label 'psij'"):
        psij_parsl.site("slurm").parsl_config(executors=[ThreadPoolExecutor(label="psij")])


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"monitorin": 1}, "'monitorin' is no argument of .*did you mean 'monitoring', an argument of parsl.Config"),
        ({"retry": 1}, "did you mean 'retries', an option of parsl_config"),
        ({"heartbeat_treshold": 1}, "did you mean 'heartbeat_threshold', an argument of HighThroughputExecutor"),
        ({"constrain": "gpu"}, "did you mean 'constraint', a parameter of slurm"),
        ({"worker_ini": "true"}, "did you mean 'worker_init', an argument of SlurmProvider"),
        ({"xyzzy": 1}, "slurm has no parameter 'xyzzy'"),
        ({"provider": 1}, "provider cannot be given"),
        ({"retries": "two"}, 'Parsl refuses an argument: .*"?retries"?'),
        ({"heartbeat_period": "two"}, 'Parsl refuses an argument: .*"?heartbeat_period"?'),
        (
            {"max_workers_per_node": 3, "workers_per_node": 3},
            "max_workers_per_node and workers_per_node say the same",
        ),
        ({"drain_period": 3, "drain_min": 3}, "drain_period and drain_min say the same"),
        ({"address": "localhost", "interface": "lo"}, "address and interface say the same"),
        ({"mpi_launcher": "srun"}, 'mpi_launcher is an argument of MPIExecutor.*job_mode="mpi"'),
        ({"job_mode": "mpi", "cpu_affinity": "block"}, "cpu_affinity is an argument of HighThroughputExecutor"),
        ({"job_mode": "mpi", "accelerators": 2}, "MPIExecutor has no accelerators"),
        ({"max_workers": 3}, "Parsl .* has no max_workers.*workers_per_node"),
        ({"regex_job_id": "x"}, "regex_job_id is not needed here"),
    ],
)
def test_what_nobody_takes_is_refused_with_the_nearest_name_and_whose_that_is(
    wishes: dict[str, Any], said: str
) -> None:
    from psij_parsl.parsl.config import parsl_config

    with pytest.raises(InvalidRequest) as caught:
        parsl_config("slurm", **wishes)
    assert re.search(said, f"{caught.value.message} {caught.value.hint}"), str(caught.value)


def test_an_argument_of_another_parsl_is_told_with_what_takes_its_place() -> None:
    import parsl.config

    from psij_parsl.parsl.config import parsl_config

    gone = next(name for name in ("app_cache", "memoizer") if name not in arguments(parsl.config.Config))
    with pytest.raises(InvalidRequest, match=f"has no {gone}"):
        parsl_config("slurm", **{gone: True})


def test_a_name_that_is_a_platforms_parameter_and_parsls_argument_is_refused() -> None:
    """No platform of ours has one; a plug-in's may."""
    from psij_parsl.parsl.arguments import sorted_out
    from psij_parsl.providers import SlurmProvider

    template = SimpleNamespace(params={"heartbeat_period": None, "constraint": None})

    class Provider(SlurmProvider):
        platform = SimpleNamespace(template_class=template, name="odd", directives="")  # type: ignore[assignment]

    with pytest.raises(InvalidRequest, match="an argument of HighThroughputExecutor and a parameter of odd"):
        sorted_out({"heartbeat_period": 3}, Provider)
    assert sorted_out({"constraint": "x"}, Provider).block == {"constraint": "x"}


def test_what_is_filled_in_can_be_said_and_the_page_names_all_of_it() -> None:
    from psij_parsl.parsl.config import plan

    filled = plan("slurm", cores_per_node=8)
    assert filled.executor["drain_period"] == 540
    said = plan("slurm", cores_per_node=8, max_workers_per_node=3, drain_period=None, available_accelerators=2)
    assert (said.executor["max_workers_per_node"], said.executor["drain_period"]) == (3, None)
    assert said.executor["available_accelerators"] == 2
    text = PAGE.read_text()
    names = {*filled.executor, *filled.config, *said.executor, "block_error_handler", "interchange_launch_cmd"}
    assert {name for name in names if f"`{name}`" not in text} == set()


# ---- several sites -----------------------------------------------------------------------------------------------


def test_several_sites_are_one_configuration() -> None:
    import psij_parsl

    config = psij_parsl.parsl_config(
        sites={
            "many": {"site": "slurm", "num_nodes": 2, "cluster": "one"},
            "big": {"site": psij_parsl.site("slurm"), "cluster": "two", "heartbeat_period": 7},
            "runs": {"site": "pbspro", "job_mode": "mpi", "max_blocks": 3},
        },
        project="chem",
        retries=2,
        run_dir="all",
    )
    many, big, runs = config.executors
    assert [executor.label for executor in config.executors] == ["many", "big", "runs"]
    assert (config.retries, config.run_dir) == (2, "all")
    assert [executor.provider.project for executor in config.executors] == ["chem"] * 3
    assert (many.provider.num_nodes, big.provider.num_nodes, big.heartbeat_period) == (2, 1, 7)
    clusters = [executor.provider._make_executor().scheduler.cluster_name for executor in (many, big)]
    assert clusters == ["one", "two"]
    assert (type(runs).__name__, runs.provider.max_blocks) == ("MPIExecutor", 3)
    by_name = psij_parsl.parsl_config(sites=["slurm", psij_parsl.site("pbspro")], num_nodes=4)
    assert [executor.label for executor in by_name.executors] == ["slurm", "pbspro"]


@pytest.mark.parametrize(
    ("sites", "further", "said"),
    [
        (["slurm", "slurm"], {}, "two executors with the label 'slurm'"),
        ({}, {}, "there is no site in sites"),
        ({"a": {"site": "slurm", "retries": 2}}, {}, "a: retries is one for all sites"),
        ({"a": {"site": "slurm", "label": "b"}}, {}, "the key in sites is the label"),
        ({"a": "slurm"}, {"label": "b"}, "several sites cannot have one label"),
        ({"a": "slurm"}, {"site": "slurm"}, "site and sites are both given"),
        ({"a": "slurm", "b": {"site": "pbspro", "qos": "x"}}, {}, "^b: 'qos' is no argument"),
        ({"a": "slurm", "b": "nowhere"}, {}, "^b: .*nowhere"),
    ],
)
def test_sites_that_do_not_go_together_are_refused(sites: Any, further: dict[str, Any], said: str) -> None:
    import psij_parsl

    with pytest.raises(psij_parsl.Error) as caught:
        psij_parsl.parsl_config(sites=sites, **further)
    assert re.search(said, f"{caught.value.message} {caught.value.hint}"), str(caught.value)


# ---- the same as text --------------------------------------------------------------------------------------------


def test_several_sites_and_parsls_arguments_are_printed_as_they_are_made(capsys: pytest.CaptureFixture[str]) -> None:
    import psij_parsl

    words = (
        "parsl show --site slurm -N 2 -X constraint=hbm -X retries=2 -X exit_mode=wait -X heartbeat_threshold=300"
        " -X garbage_collect=no -X worker_port_range=(50000,50010) -X block_error_handler=no"
    )
    also = ["--also", "--site pbspro --label runs --mode mpi -A chem -X drain_min=3", "--also", "--site lsf"]
    assert psij_run([*words.split(), *also]) == 0
    space: dict[str, Any] = {}
    exec(compile(capsys.readouterr().out, "made.py", "exec"), space)
    direct = psij_parsl.parsl_config(
        sites={
            "slurm": {
                "site": "slurm",
                "num_nodes": 2,
                "constraint": "hbm",
                "heartbeat_threshold": 300,
                "worker_port_range": (50000, 50010),
                "block_error_handler": False,
            },
            "runs": {"site": "pbspro", "job_mode": "mpi", "project": "chem", "drain_min": 3},
            "lsf": "lsf",
        },
        retries=2,
        exit_mode="wait",
        garbage_collect=False,
    )
    assert re.sub("0x[0-9a-f]+", "", repr(space["config"])) == re.sub("0x[0-9a-f]+", "", repr(direct))
    for made, own in zip(space["config"].executors, direct.executors, strict=True):
        assert type(made) is type(own)
        assert repr(made.provider) == repr(own.provider)
        assert made.interchange_launch_cmd == own.interchange_launch_cmd


def test_what_cannot_be_printed_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    show = ["parsl", "show", "--site", "slurm"]
    for words, said in (
        (["-X", "retries=two"], "retries=two is refused: it must be int"),
        (["-X", "monitoring=yes"], "monitoring=yes is refused: it must be "),
        (["-X", "retrys=2"], "did you mean 'retries'"),
        (["-X", "max_blocks=2"], "use --max-blocks"),
        (["--also", "--foo"], "--also '--foo' is not understood"),
        (["--also", "'"], "is not understood"),
        (["--also", "--site slurm"], "two executors with the label 'slurm'"),
        (["--also", "--site lsf -X retries=1"], "retries is one for all sites"),
        (["--also", "--site lsf", "--yaml"], "one engine"),
    ):
        assert psij_run([*show, *words]) == 2
        assert said in capsys.readouterr().err
