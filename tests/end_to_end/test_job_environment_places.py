"""What a job finds of its node, its site and its setup, on real Slurm and on this host."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.helpers import COMMAND, psij
from tests.clusters.slurm import SlurmCluster

pytestmark = [pytest.mark.usefixtures("here"), pytest.mark.slow]

PSIJ = " ".join([sys.executable, *COMMAND[1:]])


@pytest.fixture(params=["local", pytest.param("slurm", marks=pytest.mark.cluster)])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The platform of the test's jobs."""
    if request.param == "slurm":
        cluster: SlurmCluster = request.getfixturevalue("slurm_plain")
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
    return str(request.param)


@pytest.fixture
def prolog(slurm_plain: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The task prolog of real Slurm nodes, as it was again afterwards."""
    for name, value in slurm_plain.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PSIJ_RUN_PLATFORM", "slurm")
    (found,) = (slurm_plain.directory / "etc").glob("*rolog*")
    text = found.read_text()
    yield found
    found.write_text(text)


def said(*words: str, **environ: str) -> list[str]:
    done = psij("run", "-t", "5", *words, **environ)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout.splitlines()


def test_what_a_task_prolog_sets_wins_over_the_shell_and_what_is_said_over_both(prolog: Path, here: Path) -> None:
    prolog.write_text(
        prolog.read_text() + f"echo export TMPDIR={here}/$SLURM_JOB_ID\n"
        'echo "export SITE=it\'s \\"odd\\" \\$x"\necho export SAID=node\necho export MODULEPATH=/node\necho export PATH=/node:$PATH\n'
    )
    shell = {"TMPDIR": "/home/me/tmp", "SITE": "login", "SAID": "shell", "MODULEPATH": "/mine", "MINE": "1"}
    script = 'echo "${TMPDIR%/*}" "$SITE" "$SAID" "$MODULEPATH" "$MINE" "$SLURM_JOB_NUM_NODES"; echo "$PATH" | grep -c /node'
    command = ["--env", "SAID=typed", "--", "bash", "-c", f"{script}; true"]
    assert said(*command, **shell) == [f'{here} it\'s "odd" $x typed /mine 1 1', "0"]


@pytest.mark.usefixtures("prolog")
def test_slurmds_own_tmpdir_is_a_stopgap() -> None:
    """slurmd sets /tmp where the directory that it is given cannot be made."""
    assert said("--", "sh", "-c", "echo $TMPDIR", TMPDIR="/proc/nowhere") == ["/proc/nowhere"]


@pytest.mark.usefixtures("prolog")
def test_devices_are_the_nodes() -> None:
    told = said("-g", "1", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES", CUDA_VISIBLE_DEVICES="7")
    assert told == ["0"]


def test_the_locale_of_the_clients_messages_is_not_the_jobs(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LC_ALL", raising=False)
    assert said("--platform", place, "--", "sh", "-c", "echo got=$LC_ALL") == ["got="]
    assert said("--platform", place, "--", "sh", "-c", "echo got=$LC_ALL", LC_ALL="C") == ["got=C"]


def test_a_failed_setup_is_a_failed_launch(place: str) -> None:
    done = psij("run", "--platform", place, "--setup", "true", "--setup", "cd /no/such", "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (125, "")
    assert "LAUNCH_FAILED" in done.stderr
    assert "its setup failed: cd /no/such (exit code 1)" in done.stderr
    (row,) = json.loads(psij("status", "last", "--json").stdout)
    assert (row["state"], row["reason"]) == ("FAILED", "LAUNCH_FAILED")
    assert "cd /no/such" in row["message"]


def test_each_element_of_an_array_has_its_own_setup(place: str) -> None:
    done = psij(
        "run", "--platform", place, "--array", "0-1", "--setup", 'test "$PSIJ_ARRAY_INDEX" = 1', "--", "echo", "ran"
    )
    assert done.returncode == 125
    assert "ran" in done.stdout
    states = {row["id"][-1]: row["state"] for row in json.loads(psij("status", "last", "--json").stdout)}
    assert states in ({"0": "FAILED", "1": "COMPLETED"}, {next(iter(states)): "FAILED"})


def test_files_that_the_user_names_are_the_groups_too(place: str, here: Path) -> None:
    script = f"umask 002; exec {PSIJ} run --platform {place} -o out -e err -- sh -c 'umask; touch made'"
    done = psij("run", "--platform", "local", "--", "bash", "-c", script)
    assert done.returncode == 0, done.stderr
    assert (here / "out").read_text() == "0002\n"
    for name in ("out", "err", "made"):
        assert stat.S_IMODE((here / name).stat().st_mode) == 0o664


# ---- the site of a job ----------------------------------------------------------------------------------------------


@pytest.fixture
def site(place: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A site file that is in no layer, with a launcher and a memory of its own."""
    (here / "elsewhere").mkdir()
    file = here / "elsewhere" / "machine.toml"
    file.write_text(
        f'platform = "{place}"\nlauncher = "fork"\n[environment]\nOF_SITE = "yes"\n[node]\nmemory = 12345\n'
    )
    monkeypatch.setenv("PSIJ_SITE", "nowhere")  # what the shell says is of no account where the site is named
    return str(file)


def test_a_job_knows_its_site_and_the_file_that_was_named(site: str, place: str) -> None:
    told = said("--config", site, "--", "sh", "-c", "echo $PSIJ_SITE $PSIJ_SITE_FILE $OF_SITE")
    assert told == [f"machine {site} yes"]
    assert said("--no-env", "--config", site, "--", "sh", "-c", "echo $PSIJ_SITE $PSIJ_SITE_FILE") == [
        f"machine {site}"
    ]
    assert said("--platform", place, "--", "sh", "-c", "echo ${PSIJ_SITE-none} ${PSIJ_SITE_FILE-none}") == [
        "none none"
    ]


def test_launch_and_resources_in_a_job_use_its_site(site: str, place: str) -> None:
    script = f"{PSIJ} resources detect --json; {PSIJ} launch -v -- true 2>&1"
    detected, launched = "\n".join(said("--config", site, "--", "bash", "-c", script)).rsplit("\n", 1)
    assert launched.startswith("psij-run: fork on ")  # else single here, and srun there
    (node,) = json.loads(detected)["nodes"]
    assert node["memory_mb"] == (12345 if place == "local" else node["memory_mb"])  # Slurm tells it


def test_a_job_submits_to_its_own_site(site: str, place: str, here: Path) -> None:
    inner = f"{PSIJ} run -t 5 -- sh -c 'echo $OF_SITE $PSIJ_SITE $PSIJ_JOB_ID'"
    told = said("--config", site, "--", "bash", "-c", f"echo $PSIJ_JOB_ID; {inner}", PSIJ_RUN_SITE="other")
    outer, of_inner = told[0], told[1].split()
    assert of_inner[:2] == ["yes", "machine"]
    assert of_inner[2] != outer
    rows = json.loads(psij("list", "--all", "--json").stdout)
    assert {row["site"] for row in rows if row["id"] in (outer, of_inner[2])} == {"machine"}
    assert {row["platform"] for row in rows} == {place}


def test_a_site_that_is_not_known_on_the_node_is_told_and_is_no_error_in_the_job(
    site: str, place: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"rm {site}; {PSIJ} launch -- echo ran 2>&1"
    first = said("--config", site, "--", "bash", "-c", script)
    (here / "sites").mkdir()
    (here / "sites" / "mine.toml").write_text(f'platform = "{place}"\n')
    monkeypatch.setenv("PSIJ_PARSL_SITE_PATH", str(here / "sites"))
    second = said("--site", "mine", "--", "bash", "-c", f"rm {here}/sites/mine.toml; {PSIJ} launch -- echo ran 2>&1")
    for told, name in ((first, "machine"), (second, "mine")):
        assert told[-1] == "ran"
        assert f"the site {name} of this job is not known on this host" in "".join(told)
