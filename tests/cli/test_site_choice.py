"""How a site is named on the command line: the same for all commands, by name or by file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.helpers import one_sentence_and_a_hint, psij_here

_FILE = """
name = "granite"
description = "A cluster"
platform = "slurm"
[queues.batch]
max_nodes = 7
"""

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(autouse=True)
def file(here: Path) -> None:
    (here / "my.toml").write_text(_FILE)
    (here / "mine").write_text(_FILE)


@pytest.mark.parametrize(
    "choice",
    [
        ("my.toml",),
        ("./mine",),
        ("--site", "my.toml"),
        ("--site=./mine",),
        ("--config", "mine"),
        ("--config=my.toml",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("command", [("show",), ("queues",), ("match", "-N", "2"), ("check",)], ids=" ".join)
def test_a_file_is_an_argument_or_a_flag_of_every_site_command(
    command: tuple[str, ...], choice: tuple[str, ...]
) -> None:
    done = psij_here("site", *command, *choice, "--json")
    assert done.returncode == 0, done.stderr
    assert ("granite" if command[0] == "show" else "batch" if command[0] != "check" else '"ok"') in done.stdout


@pytest.mark.parametrize("flag", ["--site=my.toml", "--site=./mine", "--config=mine"])
def test_a_job_goes_to_the_machine_of_a_file(flag: str) -> None:
    done = psij_here("render", flag, "-q", "batch", "-N", "8", "--", "true")
    assert done.stdout.startswith("#!/bin/bash\n#SBATCH")
    assert "queue batch takes at most 7 nodes" in done.stderr


@pytest.mark.parametrize(
    "environ",
    [{"PSIJ_SITE": "./mine"}, {"PSIJ_RUN_SITE": "my.toml"}, {"PSIJ_RUN_CONFIG": "mine"}],
    ids=lambda environ: next(iter(environ)),
)
def test_a_variable_names_it_unless_the_command_line_does(environ: dict[str, str]) -> None:
    said = json.loads(psij_here("site", "queues", "--json", **environ).stdout)
    assert said["site"] == "granite"
    said = json.loads(psij_here("site", "queues", "polaris", "--json", **environ).stdout)
    assert said["site"] == "polaris"


def test_match_tells_once_what_any_job_must_say(here: Path) -> None:
    (here / "my.toml").write_text(_FILE.replace("[queues", 'required = ["wall_time_min", "project"]\n[queues'))
    done = psij_here("site", "match", "my.toml", "-N", "3")
    assert (done.returncode, "yes" in done.stdout) == (0, True)
    assert "must say its wall_time_min (give -t/--time" in done.stderr
    assert psij_here("site", "match", "my.toml", "-N", "8", "-t", "5").returncode == 2


def test_match_takes_the_variables_of_jobs() -> None:
    done = psij_here("site", "match", "my.toml", PSIJ_RUN_NODES="8")
    assert done.returncode == 2
    assert "at most 7 nodes" in done.stdout


@pytest.mark.parametrize(
    "args",
    [
        ("show", "polaris", "--site", "lumi"),
        ("queues", "--site", "lumi", "--config", "mine"),
        ("test", "lumi", "--config=mine"),
    ],
    ids=" ".join,
)
def test_a_site_that_is_given_twice_is_an_error(args: tuple[str, ...]) -> None:
    done = psij_here("site", *args)
    assert done.returncode == 2
    one_sentence_and_a_hint(done)
    assert "the site is given twice" in done.stderr


@pytest.mark.parametrize("args", [("show", ""), ("queues", "--site="), ("check", "")], ids=" ".join)
def test_an_empty_name_is_an_error(args: tuple[str, ...]) -> None:
    done = psij_here("site", *args)
    assert done.returncode != 0
    assert "empty" in done.stderr + done.stdout or "there is no site ''" in done.stdout


def test_detection_says_by_what_a_person_has_chosen() -> None:
    done = psij_here("site", "detect", PSIJ_SITE="frontier")
    assert (done.stdout, done.stderr) == ("frontier\n", "psij-run: by $PSIJ_SITE: frontier\n")


def test_a_file_on_the_path_of_folders_is_told(here: Path) -> None:
    done = psij_here("site", "path", PSIJ_PARSL_SITE_PATH=str(here / "my.toml"))
    assert "none: it is a file, and a folder is wanted" in done.stdout


def test_a_script_names_no_file(here: Path) -> None:
    (here / "job.sh").write_text("#!/bin/bash\n#PSIJ --site ./mine\ntrue\n")
    done = psij_here("render", "job.sh")
    assert done.returncode == 2
    assert "job.sh, line 2: in a script --site takes a name, not a file" in done.stderr
