"""The sites that we ship, as the command has them: generic ones' golden scripts, what bad requests are told, detection.

What each machine's queues render is in test_golden_sites.py, what each machine refuses in test_requests.py.

`GOLDEN=write pytest tests/sites/test_machines.py` writes the golden scripts anew.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.helpers import psij_here
from tests.sites.typical_jobs import GENERIC, MACHINES, pretend_home

GOLDEN = Path(__file__).parents[1] / "golden"

#: How a user of each generic site asks for ninety minutes: what comes before `-- ./app`.
GOOD = {
    "cobalt": "-N 2 -n 8 -c 2 -t 90 -q default -A X",
    "flux": "-N 2 -n 8 -c 2 -g 1 -t 90 -q batch -A X",
    "gridengine": "-N 2 -n 8 -c 2 --mem 4G -t 90 -q all.q -A X -X pe=mpi",
    "htcondor": "-n 8 -c 2 -g 1 --mem 4G -t 90 -A X",
    "laptop": "-n 2 -t 90",
    "lsf": "-N 2 -n 8 -c 2 -g 1 --mem 4G -t 90 -q normal -A X",
    "oar": "-N 2 -n 8 -c 2 -t 90 -q default -A X",
    "pbspro": "-N 2 -n 8 -c 2 -g 1 --mem 4G -t 90 -q workq -A X",
    "slurm": "-N 2 -n 8 -c 2 -g 1 --mem 4G -t 90 -q batch -A X",
    "torque": "-N 2 -n 8 -c 2 -g 1 --mem 4G -t 90 -q batch -A X",
}
WALL_TIME = {
    "cobalt": "-t 1:30:00",
    "flux": "--time-limit=90m",
    "gridengine": "h_rt=1:30:00",
    "htcondor": "allowed_job_duration = 5400",
    "laptop": "--time 5400",
    "lsf": "-W 1:30",
    "oar": "walltime=1:30:00",
    "pbspro": "walltime=1:30:00",
    "slurm": "--time=01:30:00",
    "torque": "walltime=1:30:00",
}

#: Bad requests, one of each kind: the site, what is asked, whether it is refused (else it is a warning), and what is said.
BAD: dict[str, tuple[str, str, bool, str]] = {
    "too large": ("polaris", "-N 3 -t 30 -q debug -A X", True, r"at most 2 nodes.*capacity would take it"),
    "too small": ("polaris", "-N 9 -t 30 -q prod -A X", True, r"from 10 nodes on.*-N 10"),
    "too long": ("frontier", "-N 2 -t 13h -A X", True, r"run 2 h at most.*extended would take it"),
    "too short": ("aurora", "-N 2 -t 2 -q capacity -A X", True, r"from 5 min on.*-t 5"),
    "beyond a soft limit": ("perlmutter", "-N 9 -q debug -A X", False, r"at most 8 nodes.*regular"),
    "no project": ("polaris", "-N 1 -t 30 -q debug", True, r"say its project.*-A/--account"),
    "no queue": ("lumi", "-N 1 -t 30 -A X", True, r"say its queue.*-q/--queue"),
    "forbidden": ("polaris", "-N 1 -t 9 -q debug -A X -X charge_to=project", True, r"leave out -X charge_to"),
    "no such parameter": ("frontier", "-A X -X filesystems=home", True, r"no parameter 'filesystems'.*show slurm"),
    "no such choice": ("perlmutter", "-A X -X constraint=gqu", True, r"'gqu' is no constraint.*mean 'gpu'"),
    "unknown queue": ("frontier", "-q bach -A X", True, r"no queue 'bach'.*did you mean 'batch'"),
    "unknown queue where some limits are soft": (
        "perlmutter",
        "-q debg -A X",
        False,
        r"no queue 'debg'.*did you mean 'debug'",
    ),
}


def rendered(site: str, ask: str, tmp_path: Path) -> tuple[int, str, str]:
    done = psij_here(
        "render", "--site", site, *shlex.split(ask), "--", "./app", PSIJ_PARSL_HOME=str(tmp_path / "state")
    )
    return done.returncode, done.stdout.replace(str(tmp_path), "/home/me"), done.stderr


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app").touch(mode=0o755)
    pretend_home(monkeypatch)


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """A script says the umask of whoever submits it."""
    old = os.umask(0o022)
    yield
    os.umask(old)


@pytest.mark.parametrize("site", GENERIC)
def test_the_script_is_the_golden_one(site: str, tmp_path: Path) -> None:
    code, script, said = rendered(site, GOOD[site], tmp_path)
    assert (code, said) == (0, "")
    golden = GOLDEN / f"{site}.sh"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(script)
    assert script == golden.read_text()
    assert WALL_TIME[site] in script
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=True).stderr == ""


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_answered_before_submission_with_what_to_change(case: str, tmp_path: Path) -> None:
    site, ask, refused, said = BAD[case]
    code, script, answer = rendered(site, ask, tmp_path)
    assert re.search(said, " ".join(answer.split("\n"))), answer
    assert code == (2 if refused else 0)
    assert bool(script) != refused


def test_submitting_says_the_same_as_rendering(tmp_path: Path) -> None:
    """The check is where both begin; a refused job leaves no record."""
    site, ask, _, said = BAD["no project"]
    state = tmp_path / "state"
    done = psij_here("submit", "--site", site, *shlex.split(ask), "--", "true", PSIJ_PARSL_HOME=str(state))
    assert done.returncode == 2
    assert re.search(said, " ".join(done.stderr.split("\n")))
    assert not (state / "jobs").exists()


def test_all_shipped_sites_are_in_order() -> None:
    done = psij_here("site", "check")
    assert done.returncode == 0, done.stdout
    assert {*MACHINES, *GENERIC} <= set(done.stdout.split())


@pytest.mark.parametrize(
    ("site", "host", "environ"),
    [
        ("polaris", "polaris-login-02", {}),
        ("aurora", "aurora-uan-0010", {}),
        ("frontier", "login05.frontier", {}),
        ("perlmutter", "login31", {"NERSC_HOST": "perlmutter"}),
    ],
)
def test_machines_are_detected(
    site: str, host: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(nodename=host))
    done = psij_here("site", "detect", **environ)
    assert (done.returncode, done.stdout) == (0, f"{site}\n")
    assert host in done.stderr or "NERSC_HOST" in done.stderr


def test_elsewhere_no_machine_is_detected() -> None:
    done = psij_here("site", "detect")
    assert done.stdout == "laptop\n"
    assert "--site" in done.stderr


def test_values_that_cannot_work_together_are_told(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'platform = "slurm"\nlauncher = "srun"\ndefaults = { queue = "short", wall_time_min = "2h" }\n'
        '[queues.short]\nmax_wall_time_min = "1h"\nstrict = true\n'
        '[launch]\nmpi = ["srun", "-n", "{{ rankz }}"]\n'
    )
    done = psij_here("site", "check", str(file))
    assert done.returncode == 3
    first, second = done.stdout.splitlines()[1:]
    assert re.search("a job with the defaults alone is refused.*run 1 h at most", first)
    assert re.search("mine.toml:8.*'rankz'", second)


def test_a_site_file_that_is_no_toml_is_told_before_a_job_goes_elsewhere(home: Path) -> None:
    folder = home.parent / "config" / "psij_parsl" / "sites"
    folder.mkdir(parents=True)
    (folder / "cluster.toml").write_text("garbage[")
    done = psij_here("submit", "--", "true")
    assert done.returncode == 0
    assert "the site cluster cannot be detected" in done.stderr
    assert "cluster.toml:1" in done.stderr


def test_a_site_file_with_faults_is_told_and_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'extends = "polaris"\nrequired = ["projcet"]\n[parameters]\nfilesystem = "home"\nplace = "all over"\n'
    )
    done = psij_here("site", "check", str(file))
    assert done.returncode == 3
    for said in ("mine.toml:2", "projcet", "mine.toml:4", "'filesystem'", "mine.toml:5", "placement"):
        assert said in done.stdout, said
