"""The machines that we ship: golden scripts, bad requests answered before submission, a source for each value.

`GOLDEN=write pytest tests/sites/test_machines.py` writes the golden scripts anew.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from psij_parsl import site as machine
from psij_parsl.sites import find
from tests.cli.helpers import psij_here

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
GOLDEN = Path(__file__).parents[1] / "golden"
MACHINES = ("aurora", "frontier", "lumi", "perlmutter", "polaris")
GENERIC = ("cobalt", "flux", "gridengine", "htcondor", "laptop", "pbspro", "slurm", "torque")

#: How a user of each asks for ninety minutes: what comes before `-- ./app`.
GOOD = {
    "aurora": ("-N", "256", "-t", "90", "-q", "prod", "-A", "X"),
    "cobalt": ("-N", "2", "-n", "8", "-c", "2", "-t", "90", "-q", "default", "-A", "X"),
    "flux": ("-N", "2", "-n", "8", "-c", "2", "-g", "1", "-t", "90", "-q", "batch", "-A", "X"),
    "frontier": ("-N", "92", "--ntasks-per-node", "8", "-c", "7", "-g", "1", "-t", "90", "-A", "X"),
    "gridengine": (
        "-N",
        "2",
        "-n",
        "8",
        "-c",
        "2",
        "--mem",
        "4G",
        "-t",
        "90",
        "-q",
        "all.q",
        "-A",
        "X",
        "-X",
        "pe=mpi",
    ),
    "htcondor": ("-n", "8", "-c", "2", "-g", "1", "--mem", "4G", "-t", "90", "-A", "X"),
    "laptop": ("-n", "2", "-t", "90"),
    "lumi": ("-N", "2", "--ntasks-per-node", "8", "-g", "1", "-t", "90", "-q", "standard-g", "-A", "project_1"),
    "pbspro": ("-N", "2", "-n", "8", "-c", "2", "-g", "1", "--mem", "4G", "-t", "90", "-q", "workq", "-A", "X"),
    "torque": ("-N", "2", "-n", "8", "-c", "2", "-g", "1", "--mem", "4G", "-t", "90", "-q", "batch", "-A", "X"),
    "perlmutter": ("-N", "4", "-t", "90", "-q", "regular", "-A", "X_g", "-X", "constraint=gpu"),
    "polaris": ("-N", "10", "-t", "90", "-q", "prod", "-A", "X"),
    "slurm": ("-N", "2", "-n", "8", "-c", "2", "-g", "1", "--mem", "4G", "-t", "90", "-q", "batch", "-A", "X"),
}
WALL_TIME = {
    "cobalt": "-t 1:30:00",
    "flux": "--time-limit=90m",
    "gridengine": "h_rt=1:30:00",
    "htcondor": "allowed_job_duration = 5400",
    "pbspro": "walltime=1:30:00",
    "torque": "walltime=1:30:00",
    "slurm": "--time=01:30:00",
    "local": "--time 5400",
}

#: Bad requests: flags, whether it is refused (else the limit is soft, and a warning), and what the answer says.
BAD: dict[str, dict[str, tuple[tuple[str, ...], bool, str]]] = {
    "polaris": {
        "too large": (("-N", "3", "-t", "30", "-q", "debug", "-A", "X"), True, r"at most 2 nodes.*debug-scaling"),
        "too long": (("-N", "1", "-t", "2h", "-q", "debug", "-A", "X"), True, r"60 minutes at most.*preemptable"),
        "too small": (("-N", "9", "-t", "30", "-q", "prod", "-A", "X"), True, r"from 10 nodes on.*debug-scaling"),
        "no project": (("-N", "1", "-t", "30", "-q", "debug"), True, r"say its project.*-A/--account"),
        "forbidden": (
            ("-N", "1", "-q", "debug", "-A", "X", "-X", "charge_to=project"),
            True,
            r"leave out -X charge_to",
        ),
        "unknown queue": (("-N", "10", "-q", "prud", "-A", "X"), True, r"no queue 'prud'.*did you mean 'prod'"),
        "routed queue": (("-N", "10", "-q", "small", "-A", "X"), True, r"no queue 'small'"),
    },
    "aurora": {
        "too large": (("-N", "300", "-t", "30", "-q", "debug-scaling", "-A", "X"), True, r"at most 256 nodes.*prod"),
        "too long": (("-N", "1", "-t", "90", "-q", "debug", "-A", "X"), True, r"60 minutes at most.*capacity"),
        "no project": (("-N", "1", "-t", "30", "-q", "debug"), True, r"say its project.*-A/--account"),
        "no queue": (("-N", "1", "-t", "30", "-A", "X"), True, r"say its queue.*-q/--queue"),
        "forbidden": (
            ("-N", "1", "-q", "debug", "-A", "X", "-X", "charge_to=project"),
            True,
            r"leave out -X charge_to",
        ),
        "unknown queue": (("-N", "1", "-q", "debgu", "-A", "X"), True, r"no queue 'debgu'.*did you mean 'debug'"),
    },
    "perlmutter": {
        "too large": (
            ("-N", "9", "-q", "debug", "-A", "X", "-X", "constraint=cpu"),
            False,
            r"at most 8 nodes.*regular",
        ),
        "too long": (
            ("-t", "40", "-q", "debug", "-A", "X", "-X", "constraint=cpu"),
            False,
            r"30 minutes at most.*regular",
        ),
        "no project": (("-q", "debug", "-X", "constraint=cpu"), True, r"say its project.*-A/--account"),
        "no constraint": (("-q", "debug", "-A", "X"), True, r"say its constraint.*-X constraint=VALUE"),
        "forbidden": (
            ("-q", "debug", "-A", "X", "-X", "constraint=cpu", "-X", "qos=debug"),
            True,
            r"leave out -X qos",
        ),
        "unknown queue": (
            ("-q", "debg", "-A", "X", "-X", "constraint=cpu"),
            False,
            r"no queue 'debg'.*did you mean 'debug'",
        ),
    },
    "frontier": {
        "too large": (("-N", "65", "-t", "20h", "-q", "extended", "-A", "X"), True, r"at most 64 nodes"),
        "too large for all": (("-N", "9473", "-t", "90", "-A", "X"), True, r"queue batch takes at most 9472 nodes"),
        "too long": (("-N", "2", "-t", "13h", "-A", "X"), True, r"720 minutes at most.*extended"),
        "no project": (("-N", "2", "-t", "30"), True, r"say its project.*-A/--account"),
        "forbidden": (("-A", "X", "-X", "filesystems=home"), True, r"no parameter 'filesystems'.*show slurm"),
        "unknown queue": (("-q", "bach", "-A", "X"), True, r"no queue 'bach'.*did you mean 'batch'"),
    },
    "lumi": {
        "too large": (("-N", "40", "-q", "dev-g", "-A", "X"), False, r"at most 32 nodes.*standard-g"),
        "too long": (("-t", "4h", "-q", "dev-g", "-A", "X"), False, r"180 minutes at most.*standard-g"),
        "no project": (("-q", "dev-g"), True, r"say its project.*-A/--account"),
        "forbidden": (("-q", "dev-g", "-A", "X", "-X", "place=pack"), True, r"no parameter 'place'.*show slurm"),
        "unknown queue": (("-q", "standrad", "-A", "X"), False, r"no queue 'standrad'.*did you mean 'standard'"),
    },
}


def rendered(site: str, *flags: str, tmp_path: Path) -> tuple[int, str, str]:
    done = psij_here("render", "--site", site, *flags, "--", "./app", PSIJ_PARSL_HOME=str(tmp_path / "state"))
    return done.returncode, done.stdout.replace(str(tmp_path), "/home/me"), done.stderr


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PSIJ_SPOOL", str(tmp_path / "state" / "jobs"))  # frontier asks for it
    (tmp_path / "app").touch(mode=0o755)


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """A script says the umask of whoever submits it."""
    old = os.umask(0o022)
    yield
    os.umask(old)


@pytest.mark.parametrize("site", [*MACHINES, *GENERIC])
def test_the_script_is_the_golden_one(site: str, tmp_path: Path) -> None:
    code, script, said = rendered(site, *GOOD[site], tmp_path=tmp_path)
    assert (code, said) == (0, "")
    golden = GOLDEN / f"{site}.sh"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(script)
    assert script == golden.read_text()
    assert WALL_TIME[find(site).platform] in script
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=True).stderr == ""


def test_polaris_as_people_ask_for_it() -> None:
    head = re.findall(r"^#PBS -(?![NSjov]).*$", (GOLDEN / "polaris.sh").read_text(), re.MULTILINE)
    assert head == [
        "#PBS -l select=10:ncpus=64:mpiprocs=1:ngpus=4:system=polaris",
        "#PBS -l place=scatter",
        "#PBS -l walltime=1:30:00",
        "#PBS -l filesystems=home:eagle",
        "#PBS -q prod",
        "#PBS -A X",
    ]


@pytest.mark.parametrize(("site", "case"), [(site, case) for site, cases in BAD.items() for case in cases])
def test_a_bad_request_is_answered_before_submission_with_what_to_change(
    site: str, case: str, tmp_path: Path
) -> None:
    flags, refused, said = BAD[site][case]
    code, script, answer = rendered(site, *flags, tmp_path=tmp_path)
    assert re.search(said, " ".join(answer.split("\n"))), answer
    assert code == (2 if refused else 0)
    assert bool(script) != refused


@pytest.mark.parametrize("site", MACHINES)
def test_submitting_says_the_same_as_rendering(site: str, tmp_path: Path) -> None:
    """The check is where both begin; a refused job leaves no record."""
    flags, _, said = BAD[site]["no project"]
    state = tmp_path / "state"
    done = psij_here("submit", "--site", site, *flags, "--", "true", PSIJ_PARSL_HOME=str(state))
    assert done.returncode == 2
    assert re.search(said, " ".join(done.stderr.split("\n")))
    assert not (state / "jobs").exists()


@pytest.mark.parametrize("site", MACHINES)
def test_every_value_has_its_source(site: str) -> None:
    text = (CONFIGS / f"{site}.toml").read_text()
    sources = set(re.findall(r"^#   ([A-Z0-9]+) ", text, re.MULTILINE))
    assert sources
    for line in text.splitlines():
        if line and not line.startswith(("#", "[")):
            _, mark, source = line.rpartition("  # ")
            assert mark, line
            named = set(re.findall(r"\b[A-Z][A-Z0-9]+\b", source)) & sources
            assert named or "documentation" in source, line


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
    monkeypatch.setattr("socket.gethostname", lambda: host)
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
    assert re.search("a job with the defaults alone is refused.*60 minutes at most", first)
    assert re.search("mine.toml:8.*'rankz'", second)


def test_a_site_file_that_is_no_toml_is_told_before_a_job_goes_elsewhere(home: Path) -> None:
    folder = home.parent / "config" / "psij_parsl" / "sites"
    folder.mkdir(parents=True)
    (folder / "cluster.toml").write_text("garbage[")
    done = psij_here("submit", "--", "true")
    assert done.returncode == 0
    assert "the site cluster cannot be detected" in done.stderr
    assert "cluster.toml:1" in done.stderr


def test_frontier_asks_where_its_jobs_folders_are_to_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PSIJ_SPOOL")
    done = psij_here("submit", "--site", "frontier", "-A", "X", "-q", "batch", "--", "./app")
    assert done.returncode == 3
    assert "PSIJ_SPOOL is not set here" in done.stderr


def test_a_site_file_with_faults_is_told_and_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'extends = "polaris"\nrequired = ["projcet"]\n[parameters]\nfilesystem = "home"\nplace = "all over"\n'
    )
    done = psij_here("site", "check", str(file))
    assert done.returncode == 3
    for said in ("mine.toml:2", "projcet", "mine.toml:4", "'filesystem'", "mine.toml:5", "placement"):
        assert said in done.stdout, said


@pytest.mark.parametrize("site", MACHINES)
def test_each_machine_has_a_configuration_of_parsl(site: str) -> None:
    queue = {"perlmutter": "debug", "aurora": "debug", "polaris": "debug", "lumi": "dev-g", "frontier": "batch"}[site]
    extra = {"constraint": "gpu"} if site == "perlmutter" else {}
    made = machine(site).parsl_config(project="X", queue=queue, num_nodes=2, wall_time_min=30, **extra)
    provider = made.executors[0].provider
    assert provider.label == find(site).platform
    assert provider.nodes_per_block == 2
