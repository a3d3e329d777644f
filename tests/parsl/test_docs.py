"""The page "Moving from Parsl's providers" maps every argument of the installed Parsl, and says what is so."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.errors import InvalidRequest
from tests.parsl.helpers import PARSL_IS_UNTIDY

pytestmark = [*PARSL_IS_UNTIDY]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "moving-from-parsl.md"
SECTIONS = {
    "SlurmProvider": "SlurmProvider",
    "PBSProProvider": "PBSProProvider (and TorqueProvider)",
    "TorqueProvider": "PBSProProvider (and TorqueProvider)",
    "LSFProvider": "LSFProvider",
    "GridEngineProvider": "GridEngineProvider",
    "LocalProvider": "LocalProvider",
}
ALL = "What all of Parsl's providers take"
#: One value of each argument, as Parsl's users write it.
VALUES: dict[str, Any] = {
    "nodes_per_block": 1,
    "init_blocks": 1,
    "min_blocks": 1,
    "max_blocks": 2,
    "parallelism": 0.5,
    "walltime": "00:20:00",
    "worker_init": "true",
    "account": "chem",
    "queue": "debug",
    "partition": "debug",
    "qos": "high",
    "constraint": "hbm",
    "gres": "gpu:2",
    "gpus_per_node": 2,
    "cores_per_node": 4,
    "cpus_per_node": 4,
    "mem_per_node": 8,
    "exclusive": True,
    "select_options": "ngpus=4:system=polaris",
    "cmd_timeout": 10,
    "clusters": "other",
    "regex_job_id": "x",
    "status_batch_size": 50,
}
OPTIONS = {
    "SlurmProvider": "#SBATCH --switches=2\n#SBATCH --reservation now",
    "PBSProProvider": "#PBS -l filesystems=home:eagle\n#PBS -l software=a,arch=b",
}


def rows(section: str) -> dict[str, str]:
    """The words in the first column of a section's table, and what the second one says of each."""
    text = PAGE.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    found: dict[str, str] = {}
    for line in re.findall(r"^\| (?!Parsl|---)(.*?) \| (.*?) \|", text, re.M):
        for quoted in re.findall(r"`([^`]+)`", line[0]):
            found |= dict.fromkeys(re.findall(r"[A-Za-z_]\w*", quoted.partition("=")[0]), line[1])
            found |= dict.fromkeys(re.findall(r"(\w+)=", quoted), line[1])
    return found


def arguments(kind: type) -> list[str]:
    return [name for name in inspect.signature(kind.__init__).parameters if name != "self"]


@pytest.mark.parametrize("name", SECTIONS)
def test_every_argument_of_parsls_provider_is_on_the_page(name: str) -> None:
    import parsl.providers

    told = {**rows(ALL), **rows(SECTIONS[name])}
    rest = {"init_blocks", "min_blocks", "max_blocks", "parallelism", "launcher", "worker_init", "cmd_timeout"}
    missing = {*arguments(getattr(parsl.providers, name))} - {*told}
    assert not missing - (rest if name == "LocalProvider" else set())


def test_every_launcher_of_parsls_and_its_arguments_are_on_the_page() -> None:
    import parsl.launchers

    told = rows("Launchers")
    for name in parsl.launchers.__all__:
        assert {name, *arguments(getattr(parsl.launchers, name))} <= {*told}, name


def test_the_launchers_that_the_page_names_are_there() -> None:
    from psij_parsl import launchers
    from psij_parsl.runs.registry import launcher

    for words in rows("Launchers").values():
        for name, said in re.findall(r"`(\w+Launcher)\(([^)]*)\)", words):
            kind = getattr(launchers, name)
            if name == "MPIRunLauncher":
                assert launcher(said.partition(",")[0].strip('"'))
            else:
                assert {*re.findall(r"(\w+)=", said)} <= {*arguments(kind)}


@pytest.mark.parametrize("name", ["SlurmProvider", "PBSProProvider", "LocalProvider"])
def test_what_the_page_calls_the_same_is_taken_and_the_rest_refused_with_a_hint(name: str) -> None:
    import parsl.providers

    import psij_parsl.providers

    ours, told = getattr(psij_parsl.providers, name), {**rows(ALL), **rows(SECTIONS[name])}
    for argument in arguments(getattr(parsl.providers, name)):
        if argument == "launcher":
            ours(launcher=parsl.launchers.SimpleLauncher())
        elif argument == "scheduler_options":
            assert ours(scheduler_options=OPTIONS[name]).parameters
            ours(scheduler_options="")
        elif told.get(argument) == "—":
            with pytest.raises(InvalidRequest, match=f"{argument} is not needed here"):
                ours(**{argument: VALUES[argument]})
        else:
            ours(**{argument: VALUES[argument]})
