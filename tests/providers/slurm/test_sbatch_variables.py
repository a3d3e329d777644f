"""SBATCH_ACCOUNT and its like: above the site's defaults, below PSIJ_RUN_*, the script and what is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from psij_parsl.providers.slurm.scheduler import SlurmScheduler
from psij_parsl.providers.slurm.variables import WISHES, time_limit
from tests.cli.helpers import one_sentence_and_a_hint, psij_here

pytestmark = pytest.mark.usefixtures("here")

SITE = """
platform = "slurm"
[defaults]
project = "sites"
queue = "sites"
wall_time_min = 5
[parameters]
qos = "sites"
"""


@pytest.fixture
def site(tmp_path: Path) -> str:
    (tmp_path / "machine.toml").write_text(SITE)
    return str(tmp_path / "machine.toml")


def lines(*flags: str, **environ: str) -> tuple[list[str], str]:
    """The directives of a job with these flags and variables, without our own, and what was said beside them."""
    done = psij_here("render", *flags, "--", "true", **environ)
    assert done.returncode == 0, done.stderr
    asked = done.stdout.partition("# psij-parsl's own:\n")[0]
    return [line.removeprefix("#SBATCH --") for line in asked.splitlines() if line[:8] == "#SBATCH "], done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("SBATCH_ACCOUNT", "mine", "account=mine"),
        ("SBATCH_PARTITION", "debug", "partition=debug"),
        ("SBATCH_QOS", "high", "qos=high"),
        ("SBATCH_TIMELIMIT", "30", "time=00:30:00"),
        ("SBATCH_CONSTRAINT", "gpu", "constraint=gpu"),
        ("SBATCH_RESERVATION", "maint", "reservation=maint"),
        ("SBATCH_EXCLUSIVE", "", "exclusive"),
        ("SBATCH_GRES", "gpu:1", "gres=gpu:1"),
        ("SBATCH_MEM_PER_NODE", "4G", "mem=4096M"),
        ("SBATCH_MEM_PER_GPU", "4G", "mem-per-gpu=4096M"),
        ("SBATCH_THREADS_PER_CORE", "2", "threads-per-core=2"),
        ("SBATCH_JOB_NAME", "name", "job-name=name"),
        ("SBATCH_REQUEUE", "1", "requeue"),
        ("SBATCH_NO_REQUEUE", "1", "no-requeue"),
    ],
)
def test_each_variable_says_what_it_says_to_sbatch(variable: str, value: str, line: str, site: str) -> None:
    found, said = lines("--config", site, **{variable: value})
    assert line in found
    assert f"from {variable}" in said
    assert len(said.splitlines()) == 1
    assert sum(each.partition("=")[0] == line.partition("=")[0] for each in found) == 1


def test_all_of_the_table_are_tried() -> None:
    tried = test_each_variable_says_what_it_says_to_sbatch.pytestmark[0].args[1]  # type: ignore[attr-defined]  # set by the mark
    assert {variable for variable, _, _ in tried} == WISHES.keys()


def test_the_order_of_those_who_say_it(site: str, tmp_path: Path) -> None:
    assert lines("--config", site)[0][-4:] == ["time=00:05:00", "partition=sites", "account=sites", "qos=sites"]
    sbatch = {"SBATCH_ACCOUNT": "sbatch", "SBATCH_QOS": "sbatch"}
    assert {"account=sbatch", "qos=sbatch"} <= set(lines("--config", site, **sbatch)[0])
    found, said = lines("--config", site, **sbatch, PSIJ_RUN_ACCOUNT="ours")
    assert {"account=ours", "qos=sbatch"} <= set(found)
    assert said == "psij-run: the environment sets -X qos sbatch from SBATCH_QOS\n"
    found, said = lines("--config", site, "-A", "typed", "-X", "qos=typed", **sbatch, PSIJ_RUN_ACCOUNT="ours")
    assert {"account=typed", "qos=typed"} <= set(found)
    assert said == ""
    (tmp_path / "job.sh").write_text("#!/bin/bash\n#PSIJ -A script\ntrue\n")
    done = psij_here("render", "--config", site, "job.sh", **sbatch)
    assert "--account=script\n" in done.stdout
    assert "--qos=sbatch\n" in done.stdout


def test_what_a_site_forbids_is_forbidden_there_too(tmp_path: Path) -> None:
    (tmp_path / "machine.toml").write_text('platform = "slurm"\nforbidden = ["qos", "memory_per_node"]\n')
    done = psij_here("render", "--config", str(tmp_path / "machine.toml"), "--", "true", SBATCH_QOS="high")
    assert done.returncode != 0
    assert "-X qos high from SBATCH_QOS" in done.stderr
    assert "must not ask for qos" in done.stderr


def test_where_a_queue_is_a_qos_the_variable_is_the_queue(tmp_path: Path) -> None:
    (tmp_path / "machine.toml").write_text('platform = "slurm"\nparameters.queue_as = "qos"\n')
    site = str(tmp_path / "machine.toml")
    assert "qos=high" in lines("--config", site, SBATCH_QOS="high")[0]
    found, said = lines("--config", site, "-q", "debug", SBATCH_QOS="high", SBATCH_PARTITION="x")
    assert [line for line in found if line.startswith(("qos", "partition"))] == ["qos=debug"]
    assert said == "psij-run: SBATCH_PARTITION is ignored\n"


def test_what_cannot_be_followed_is_said_and_what_is_no_wish_is_not(site: str) -> None:
    odd = {"SBATCH_HINT": "nomultithread", "SBATCH_EXCLUSIVE": "user", "SBATCH_TIMELIMIT": "UNLIMITED"}
    quiet = {"SBATCH_DEBUG": "1", "SBATCH_OUTPUT": "x", "SBATCH_CPU_BIND_TYPE": "mask", "SBATCH_EXPORT": "NONE"}
    found, said = lines("--config", site, **odd, **quiet)
    assert said == "psij-run: SBATCH_EXCLUSIVE, SBATCH_HINT, SBATCH_TIMELIMIT are ignored\n"
    assert found == lines("--config", site)[0]


def test_a_value_that_is_wrong_is_told_with_its_variable(site: str) -> None:
    done = psij_here("render", "--config", site, "--", "true", SBATCH_TIMELIMIT="soon")
    said, _ = one_sentence_and_a_hint(done)
    assert "SBATCH_TIMELIMIT" in said
    assert "soon" in said


def test_other_platforms_do_not_read_them() -> None:
    done = psij_here("render", "--platform", "local", "--", "true", SBATCH_ACCOUNT="mine", SBATCH_TIMELIMIT="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "mine" not in done.stdout


def test_the_job_finds_them_and_sbatch_does_not() -> None:
    environ = {"SBATCH_ACCOUNT": "mine", "SBATCH_EXPORT": "NONE", "PATH": "/bin"}
    scheduler = SlurmScheduler()
    assert not any(name.startswith("SBATCH") for name in scheduler.given(environ))
    from psij_parsl.jobs.job_environment import inherited

    kept = inherited(scheduler.drop_env, environ, scheduler.wish_env)
    assert kept == {"SBATCH_ACCOUNT": "mine", "PATH": "/bin"}


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("30", "30"),
        ("30:00", "30"),
        ("30:01", "31"),
        ("1:30:00", "90"),
        ("2-0", "2880"),
        ("1-2", "1560"),
        ("1-2:30", "1590"),
        ("1-2:30:01", "1591"),
        ("UNLIMITED", None),
        ("INFINITE", None),
        ("soon", "soon"),
        ("1:2:3:4", "1:2:3:4"),
    ],
)
def test_a_time_limit_as_slurm_reads_it(text: str, minutes: str | None) -> None:
    assert time_limit(text) == minutes
