"""MPI in job scripts over two nodes: PBS's, run by hand on hosts of their own, and Slurm's. Real MPIs of Debian."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.jobs.file_settings import FileSettings, JobPlace
from psij_parsl.jobs.job_files import SubmissionRequest
from psij_parsl.providers.pbspro.template import PBSProTemplate
from tests.clusters.packages import ManagerUnavailable
from tests.clusters.slurm import SlurmCluster
from tests.parsl.helpers import ON_SLURM
from tests.runs import real_mpis
from tests.runs.real_mpis import Hosts, said

pytestmark = pytest.mark.slow

TELL = 'echo "$(hostname)|$PATH|${LD_LIBRARY_PATH-none}"'


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hosts, Path]]:
    """Two hosts, whose daemons have an environment of their own, and the programs of both MPIs."""
    folder = tmp_path_factory.mktemp("mpi")
    try:
        real_mpis.install()
        with real_mpis.hosts(2) as found:
            real_mpis.build(folder)
            text = found.agent.read_text().replace(
                "exec nsenter", "unset LD_LIBRARY_PATH; PATH=/usr/bin:/bin exec nsenter"
            )
            found.agent.write_text(text)
            yield found, folder
    except ManagerUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def in_pbs_job(
    job: Job, hosts: Hosts, folder: Path, launcher: str = "mpiexec", extra: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Run a job's script as PBS does on its first node: exit code, stdout, stderr."""
    folder.mkdir()
    environ = {**os.environ, **hosts.environment, **(extra or {})}
    (folder / "pbs").write_text("".join(f"{name}.cluster.example\n" * 2 for name in hosts.names))
    settings = FileSettings(template=PBSProTemplate, launcher=launcher, drop_environment=("PBS_*",))
    script = SubmissionRequest.make(settings, job, JobPlace("j1", "psij:j1", folder), environ=environ).write()
    node = {"PBS_JOBID": "7.server", "PBS_NODEFILE": str(folder / "pbs"), "PATH": environ["PATH"], "HOME": "/root"}
    done = subprocess.run(
        [*hosts.on(hosts.names[0]), "bash", str(script)],
        env=node,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode, (folder / "stdout").read_text(), (folder / "stderr").read_text() + done.stderr


@pytest.fixture
def known_by_both_names(places: tuple[Hosts, Path]) -> Hosts:
    """PBS names nodes in full, while each calls itself by its short name."""
    hosts, _ = places
    if "cluster.example" not in (text := hosts.agent.read_text()):
        for name in hosts.names:
            text = text.replace(f"\n{name}) ", f"\n{name} | {name}.cluster.example) ")
        hosts.agent.write_text(text)
        known = hosts.group.directory / "etc" / "hosts"
        known.write_text(
            "".join(
                f"{line} {line.split()[1]}.cluster.example\n" if line[:9] == "127.0.92." else f"{line}\n"
                for line in known.read_text().splitlines()
            )
        )
    return hosts


@pytest.mark.parametrize("launcher", ["openmpi", "mpich", "mpiexec"])
def test_a_script_of_pbs_starts_mpi_on_all_its_nodes(
    launcher: str, places: tuple[Hosts, Path], known_by_both_names: Hosts, tmp_path: Path
) -> None:
    """Debian's Open MPI knows nothing of PBS. What `mpiexec` is here, the alternatives of Debian say."""
    own = {"mpiexec": "openmpi" if "OpenRTE" in _version("mpiexec") else "mpich"}.get(launcher, launcher)
    job = Job(command=[str(places[1] / f"ranks.{own}")], num_nodes=2, ranks_per_node=2, directory=tmp_path)
    code, out, err = in_pbs_job(job, known_by_both_names, tmp_path / "folder", launcher)
    assert code == 0, err
    ranks = said(out)
    assert [(each["rank"], each["size"], each["host"]) for each in ranks] == [
        (0, 4, "node01"),
        (1, 4, "node01"),
        (2, 4, "node02"),
        (3, 4, "node02"),
    ]
    assert "WARNING" not in err
    assert {each["OMP_NUM_THREADS"] for each in ranks} == {"1"}


@pytest.mark.parametrize("launcher", ["openmpi", "mpich"])
def test_ranks_that_do_not_divide_by_the_nodes_are_all_started(
    launcher: str, places: tuple[Hosts, Path], known_by_both_names: Hosts, tmp_path: Path
) -> None:
    command = [str(places[1] / f"ranks.{launcher}")]
    job = Job(command=command, num_nodes=2, ranks=3, directory=tmp_path)
    code, out, err = in_pbs_job(job, known_by_both_names, tmp_path / "folder", launcher)
    assert code == 0, err
    assert [(each["rank"], each["size"], each["host"]) for each in said(out)] == [
        *((rank, 3, "node01") for rank in (0, 1)),
        (2, 3, "node02"),
    ]


def _version(program: str) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("mode", ["mpi", "serial"])
@pytest.mark.parametrize("launcher", ["openmpi", "mpich"])
def test_ranks_of_a_script_have_the_callers_path_on_every_node(
    launcher: str, mode: str, known_by_both_names: Hosts, tmp_path: Path
) -> None:
    mine = {"PATH": f"{tmp_path}/my bin:{os.environ['PATH']}", "LD_LIBRARY_PATH": f"{tmp_path}/lib"}
    job = Job(command=["sh", "-c", TELL], num_nodes=2, ranks_per_node=1, job_mode=mode, directory=tmp_path)
    code, out, err = in_pbs_job(job, known_by_both_names, tmp_path / "folder", launcher, mine)
    assert code == 0, err
    assert sorted(out.splitlines()) == [f"node0{n}|{mine['PATH']}|{mine['LD_LIBRARY_PATH']}" for n in (1, 2)]
    assert "WARNING" not in err


@pytest.mark.parametrize("mode", ["mpi", "serial"])
def test_a_failing_copy_is_told_whatever_the_mpiexec_is(
    mode: str, known_by_both_names: Hosts, tmp_path: Path
) -> None:
    command = ["sh", "-c", '[ "${PMI_RANK-$OMPI_COMM_WORLD_RANK}" = 0 ] || exit 5; sleep 4; touch left']
    job = Job(command=command, num_nodes=2, ranks_per_node=1, job_mode=mode, directory=tmp_path)
    code, _, err = in_pbs_job(job, known_by_both_names, tmp_path / "folder")
    assert code == 5, err
    assert (tmp_path / "left").exists() == (mode == "serial")


# ---- the same on Slurm ----------------------------------------------------------------------------------------------


@ON_SLURM
@pytest.mark.parametrize("launcher", ["srun", "openmpi", "mpich", "mpiexec"])
def test_ranks_on_slurm_have_the_callers_path_on_every_node(
    launcher: str, slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_mpis.install()
    mine = f"{tmp_path}/my bin:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", mine)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    for name, value in real_mpis.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    executor = BatchSchedulerExecutor("slurm", home=tmp_path / "state")
    job = Job(
        command=["sh", "-c", TELL],
        num_nodes=2,
        ranks_per_node=1,
        job_mode="serial",
        launcher=launcher,
        directory=tmp_path,
    )
    submission = executor.submit(job)
    assert submission.wait(timeout=90)
    err = (submission.folder / "stderr").read_text()
    told = sorted((submission.folder / "stdout").read_text().splitlines())
    assert [line.split("|")[1] for line in told] == [mine] * 2, err
    own = {"/usr/lib"} if launcher in ("openmpi", "mpiexec") else set()  # Open MPI 5 adds its own on other nodes
    assert {line.split("|")[2] for line in told} <= {"none"} | own, err
    assert [line.split("|")[0] for line in told] == list(slurm.nodes[:2])
    assert "WARNING" not in err
