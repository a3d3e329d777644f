"""What `site check` warns of: node types of a queue between which no job can choose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import psij_here

_SITE = """platform = "{platform}"
[nodes.old]
cpus = 8
{old}
[nodes.new]
cpus = 16
{new}
[queues.both]
max_nodes = 2
node = ["old", "new"]
{queue}
[queues.one]
node = "new"
"""


def warnings(here: Path, platform: str = "slurm", old: str = "", new: str = "", queue: str = "") -> list[str]:
    """Those of a site without faults: the exit code does not count them."""
    (here / "my.toml").write_text(_SITE.format(platform=platform, old=old, new=new, queue=queue))
    done = psij_here("site", "check", "./my.toml", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    (row,) = rows
    assert (row["state"], row["faults"]) == ("ok", [])
    return list(row["warnings"])


@pytest.mark.parametrize("platform", ["slurm", "pbspro", "oar"])
def test_types_with_the_same_request(here: Path, platform: str) -> None:
    (warning,) = warnings(here, platform)
    assert (
        "/my.toml:10: queues.both.node: nothing in a job's request tells these node types apart: old and new"
        in warning
    )
    assert "`parameters`" in warning


@pytest.mark.parametrize(
    "settings",
    [
        {"old": 'parameters = { constraint = "a" }', "new": 'parameters = { constraint = "b" }'},
        {"old": 'parameters = { constraint = "a" }', "new": "gpus = 4"},
        {"old": "gpus = 4", "new": 'parameters = { constraint = "b" }'},
        {"platform": "pbspro", "old": 'parameters.resources = ["m=a"]', "new": 'parameters.resources = ["m=b"]'},
    ],
    ids=["feature", "feature-and-gpus", "gpus-and-feature", "resource"],
)
def test_types_that_a_request_tells_apart(here: Path, settings: dict[str, str]) -> None:
    assert warnings(here, **settings) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"old": "gpus = 2", "new": "gpus = 4"},
        {"new": "gpus = 4", "queue": 'gpus = "implied"'},
        {"old": 'parameters = { constraint = "a" }', "new": 'parameters = { constraint = "a" }'},
        {"old": 'setup = ["export A=1"]', "new": 'environment = { B = "2" }'},
    ],
    ids=["gpus", "implied", "feature", "setup"],
)
def test_what_a_manager_is_not_told_tells_nothing_apart(here: Path, settings: dict[str, str]) -> None:
    assert len(warnings(here, **settings)) == 1


@pytest.mark.parametrize("new", ["", 'setup = ["export A=1"]'])
@pytest.mark.parametrize("old", ["gpus = 4", 'gpus = 4\nparameters = { constraint = "a" }'])
def test_jobs_that_need_no_gpus_may_come_to_nodes_with_some(here: Path, new: str, old: str) -> None:
    assert warnings(here, old=old, new=new, queue='required = ["gpus_per_rank"]') == []
    (warning,) = warnings(here, old=old, new=new)
    assert ": queues.both.node: a job without GPUs, which goes by new, may come to old nodes (give new" in warning


def test_a_variable_of_the_spool_that_is_not_set_here(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_HERE", str(here))
    for variable, number in (("OF_HERE", 0), ("OF_ELSEWHERE", 1)):
        (here / "my.toml").write_text(f'platform = "slurm"\nspool = "${variable}/psij"\n')
        (row,) = json.loads(psij_here("site", "check", "my.toml", "--json").stdout)
        assert (row["state"], len(row["warnings"])) == ("ok", number)
    assert "my.toml:2: spool is $OF_ELSEWHERE/psij, and OF_ELSEWHERE is not set here" in row["warnings"][0]
    shown = psij_here("render", "--site", "./my.toml", "--", "true")
    assert (shown.returncode, "psij_root='$OF_ELSEWHERE/psij/JOB'" in shown.stdout) == (0, True), shown.stderr
    assert "OF_ELSEWHERE is not set here, or empty: the script has it as it is" in shown.stderr
    assert psij_here("submit", "--site", "./my.toml", "--", "true").returncode == 3
    assert sorted(here.iterdir()) == [here / "my.toml"]


def test_people_see_them_beside_the_state(here: Path) -> None:
    warnings(here)
    done = psij_here("site", "check", "./my.toml")
    assert done.stdout.splitlines()[1].split()[:3] == ["./my.toml", "ok", "warning:"]


def test_of_all_sites_it_is_said_which_have_some(here: Path) -> None:
    done = psij_here("site", "check")
    assert done.returncode == 0, done.stdout
    assert "warning" not in done.stdout
    assert "warnings of alpine, " in done.stderr


def test_a_queue_that_does_not_say_its_nodes_has_no_types_to_tell_apart(here: Path) -> None:
    (here / "my.toml").write_text('platform = "slurm"\n[nodes.a]\ncpus = 1\n[nodes.b]\ncpus = 2\n[queues.q]\n')
    (row,) = json.loads(psij_here("site", "check", "./my.toml", "--json").stdout)
    assert row["warnings"] == []
