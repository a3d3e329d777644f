"""`psij-run launch`: on this host, and in an allocation of several; one, and hundreds at once; and when it is killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest

from psij_parsl.cli.app import build
from psij_parsl.cli.command import Invocation
from psij_parsl.cli.commands import launch as launch_command
from psij_parsl.cli.quick_parser import parse
from psij_parsl.resources import NodeResources
from psij_parsl.runs.run_processes import MARK
from tests.cli.helpers import COMMAND, psij, psij_here
from tests.clusters.packages import ManagerUnavailable
from tests.runs import real_mpis
from tests.runs.launches import RECORD, crowd, held_twice, recorded
from tests.runs.real_mpis import Hosts, said

LAUNCH = [*COMMAND, "launch"]
CPUS, GPUS = 4, 2
Until = Callable[..., None]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every launch starts in an empty directory."""
    monkeypatch.chdir(tmp_path)
    for name in (*real_mpis.ENVIRONMENT, "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def launched(*words: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*LAUNCH, *words],
        env={**os.environ, **environ},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )


def ended(process: subprocess.Popen[str], seconds: float = 60) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def everything(environ: Mapping[str, str] = os.environ) -> NodeResources:
    """All of the allocation, as the next process sees it."""
    return NodeResources.discover(environ)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# ---- its words ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-N 2 -n4 -l -- ./a -x", ({"nodes": "2", "ntasks": "4", "label": True}, ["./a", "-x"])),
        ("-lvN2 --env A=1 --env=B= a", ({"label": True, "verbose": True, "nodes": "2", "env": ["A=1", "B="]}, ["a"])),
        ("-o -- --option=--mpi=pmix -- -c", ({"output": "--", "option": ["--mpi=pmix"]}, ["-c"])),
        ("", ({}, [])),
        ("a -N 2", ({}, ["a", "-N", "2"])),
        ("--help", None),
        ("--nodez 2 a", None),
        ("-N", None),
        ("--label=yes a", None),
        ("-z a", None),
    ],
)
def test_flags_are_read_as_typer_reads_them(line: str, expected: tuple[dict[str, object], list[str]] | None) -> None:
    """Without it, for it takes long to load; whatever is wrong, or asks for help, is left to typer."""
    invocation = parse(launch_command.LAUNCH, line.split())
    assert (invocation and (invocation.texts, invocation.arguments)) == expected
    if expected is not None:
        seen: list[Invocation] = []
        with mock.patch.dict(
            vars(launch_command), LAUNCH=launch_command.LAUNCH._replace(run=lambda out, said: seen.append(said) or 0)
        ):
            build("launch").main(args=["launch", *line.split()], standalone_mode=False)
        assert [said._replace(command=launch_command.LAUNCH) for said in seen] == [invocation]


def test_its_help_is_about_runs_and_not_about_jobs() -> None:
    told = " ".join(psij_here("launch", "--help").stdout.split())
    assert "Site whose launch method" in told
    for wrong in ("job script", "#PSIJ", "ubmit"):
        assert wrong not in told


def test_a_launch_loads_no_typer() -> None:
    program = "import sys, psij_parsl.cli as c; sys.argv[1:] = ['launch', 'true']; c.main(); print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"typer", "pydantic", "parsl"} & set(modules)


# ---- on a host alone ----------------------------------------------------------------------------------------------


def test_a_laptop_without_any_mpi_runs_copies() -> None:
    done = psij("launch", "-l", "--", "sh", "-c", "echo $PSIJ_NUM_RANKS $PSIJ_CPUS")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"[0] 1 {min(os.sched_getaffinity(0))}\n"
    assert psij("run", "--", "hostname").stdout == f"{os.uname().nodename}\n"


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("exit 125", 125)]
)
def test_the_exit_code_is_the_runs(script: str, code: int) -> None:
    assert psij_here("launch", "--", "sh", "-c", script).returncode == code


def test_output_streams_and_files(here: Path) -> None:
    done = psij("launch", "--", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    for words in (("-o", "both"), ("-o", "both", "--append"), ("-o", "o.%r", "-e", "e.%r")):
        assert psij("launch", *words, "--", "sh", "-c", "echo out; echo err >&2").stdout == ""
    (here / "in").write_text("words\n")
    assert psij("launch", "-i", "in", "-o", "cat", "cat").returncode == 0
    found = {path.name: path.read_text() for path in here.iterdir()}
    assert found == {"both": "out\nerr\n" * 2, "o.0": "out\n", "e.0": "err\n", "in": "words\n", "cat": "words\n"}


def test_our_input_is_left_alone_unless_asked_for() -> None:
    """A loop over lines that launches for each must not lose them."""
    words = [*LAUNCH, "--", "cat"]
    for more, expected in (([], ""), (["-i", "-"], "mine\n")):
        done = subprocess.run(
            [*words[:-2], *more, *words[-2:]], input="mine\n", capture_output=True, text=True, check=True
        )
        assert done.stdout == expected


def test_environment_directory_and_threads(here: Path) -> None:
    (here / "sub").mkdir()
    script = "echo $WORD $(basename $PWD) $OMP_NUM_THREADS"
    assert psij("launch", "--env", "WORD=a b", "-D", "sub", "--", "sh", "-c", script).stdout == "a b sub 1\n"
    assert psij("launch", "--bind", "none", "--", "sh", "-c", "echo ${PSIJ_CPUS-none}").stdout == "none\n"


def test_what_the_site_says_of_its_nodes_is_heeded(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores near to the GPU, blocked ones for nobody, and a vendor whose variable masks."""
    cores = sorted(os.sched_getaffinity(0))
    site = 'platform = "local"\n[node]\ngpus = ["0.0", "0.1"]\n'
    (here / "near.toml").write_text(f'{site}gpu_cpus = {{ "0.0" = "{cores[-1]}", "0.1" = "{cores[0]}" }}\n')
    (here / "blocked.toml").write_text(f'{site}blocked = "{cores[0]}"\n')
    monkeypatch.setenv("PSIJ_PARSL_SITE_PATH", str(here))
    script = "echo $PSIJ_CPUS $PSIJ_GPUS"
    assert psij("launch", "--site", "near", "-g", "1", "--", "sh", "-c", script).stdout == f"{cores[-1]} 0.0\n"
    blocked = psij("launch", "--site", "blocked", "-c", str(len(cores)), "true")
    assert (blocked.returncode, f"{len(cores)} cores, and the largest has {len(cores) - 1}" in blocked.stderr) == (
        125,
        True,
    )
    if len(cores) > 1:
        assert psij("launch", "--site", "blocked", "--", "sh", "-c", script).stdout == f"{cores[1]}\n"


def test_what_can_never_fit_is_said_at_once_with_the_reason() -> None:
    cores = len(os.sched_getaffinity(0))
    for words, why in (
        (("-n", str(cores + 1)), f"{cores + 1} cores, and the largest has {cores}"),
        (("-N", "2"), "2 nodes were asked for, and this allocation has 1"),
        (("-g", "3"), "3 GPUs, and the largest has 0"),
    ):
        done = psij_here("launch", *words, "--", "true")
        assert done.returncode == 125
        assert why in done.stderr
        assert "\nhint: " in done.stderr
    done = psij_here("launch", "--json", "-N", "2", "--", "true")
    assert json.loads(done.stderr)["error"].startswith("2 nodes were asked for")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "there is no command to run"),
        (("--share", "x", "true"), "--share x: it must be a whole number"),
        (("--launcher", "srum", "true"), "there is no launcher 'srum'"),
        (("--launcher", "aprun", "true"), "there is no program 'aprun' on PATH here"),
        (
            ("-o", "/no/such/file", "true"),
            "there is no directory /no/such for the run's output file file\nhint: mkdir -p /no/such",
        ),
        (("-o", "x.%r", "-e", "y", "true"), "for one of stdout and stderr alone"),
        (("-D", "/no/such", "true"), "the run's directory /no/such is not there"),
        (("--mode", "script", "-n", "2", "true"), "script mode starts one rank"),
        (
            ("-n", "2", "--launcher", "fork", "--option=--x", "true"),
            "'fork' has no launcher that the option --x could",
        ),
        (("--launcher", "single", "--option=--x", "true"), "'single' has no launcher that the option --x could"),
        (("--option=--x", "true"), "has no launcher that the option --x could"),
    ],
)
def test_an_error_of_ours_is_125_and_one_sentence(words: tuple[str, ...], why: str) -> None:
    done = psij_here("launch", *words)
    assert (done.returncode, done.stdout) == (125, "")
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_for_the_files_of_ranks_that_is_not_there_is_named() -> None:
    done = psij("launch", "--launcher", "fork", "-o", "/no/such/%r", "true")
    assert done.returncode == 125
    (line,) = done.stderr.splitlines()
    assert line.startswith("psij: rank 0 on ")
    assert line.endswith(": there is no directory /no/such for the output; mkdir -p makes it")


def test_a_program_that_is_not_there_is_127() -> None:
    done = psij("launch", "no-such-program")
    assert done.returncode == 127
    assert "there is no program no-such-program" in done.stderr


def test_one_that_does_not_fit_now_waits_and_then_runs(here: Path, comes_true: Until) -> None:
    cores = str(len(os.sched_getaffinity(0)))
    os.mkfifo(here / "go")
    first = launched("-c", cores, "--", "sh", "-c", "read x <go; echo first >>order")
    comes_true(lambda: any(node.cpus for node in everything().busy()))
    impatient = psij_here("launch", "--no-wait", "--", "true")
    assert impatient.returncode == 125
    assert "no room for this run now" in impatient.stderr
    late = psij_here("launch", "--timeout", "1s", "--", "true")
    assert (late.returncode, "no room for this run within 1 s" in late.stderr) == (124, True)
    second = launched("-v", "--", "sh", "-c", "echo second >>order")
    assert second.stderr is not None
    assert "waiting for room" in second.stderr.readline()
    (here / "go").write_text("\n")
    assert ended(first)[0] == ended(second)[0] == 0
    assert (here / "order").read_text() == "first\nsecond\n"


@pytest.mark.parametrize("inner", [["--launcher", "fork"], ["--array", "0"]])
def test_one_within_a_run_does_not_wait_for_what_that_run_holds(inner: list[str]) -> None:
    here = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": os.uname().nodename, "SLURM_JOB_CPUS_PER_NODE": "2"}
    for cores, why in (("2", "beside the run that it is started in"), ("1", "")):
        done = psij("launch", "--launcher", "fork", "-c", cores, "--", *LAUNCH, *inner, "--", "echo", "ran", **here)
        assert (done.returncode, done.stdout) == ((125, "") if why else (0, "ran\n"))
        assert why in done.stderr


def test_one_that_waits_leaves_when_it_is_told_to(here: Path, comes_true: Until) -> None:
    with everything().assign(_whole()) as held:  # type: ignore[union-attr]  # there is room: nobody else is here
        assert held
        waiting = launched("-v", "--", "touch", "started")
        assert waiting.stderr is not None
        waiting.stderr.readline()
        waiting.send_signal(signal.SIGTERM)
        assert ended(waiting)[0] == 128 + signal.SIGTERM
    assert not (here / "started").exists()


def _whole() -> object:
    from psij_parsl.job_size import Resources

    return Resources(ranks_per_node=len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_and_is_the_exit_code(number: int, here: Path, comes_true: Until) -> None:
    script = "trap 'echo asked >>said; exit 3' INT TERM HUP; echo $$ >pid; while :; do sleep 0.05; done"
    process = launched("--", "bash", "-c", script)
    comes_true(lambda: (here / "pid").exists())
    process.send_signal(number)
    assert ended(process)[0] == 128 + number
    assert (here / "said").read_text() == "asked\n"


def test_a_rank_that_does_not_listen_is_killed_after_the_grace(here: Path, comes_true: Until) -> None:
    process = launched(
        "--grace", "1", "--", "bash", "-c", "trap '' INT TERM; echo $$ >pid; while :; do sleep 9; done"
    )
    comes_true(lambda: (here / "pid").exists() and (here / "pid").read_text())
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 128 + signal.SIGTERM
    assert not alive(int((here / "pid").read_text()))


def test_other_signals_are_handed_on(here: Path, comes_true: Until) -> None:
    process = launched("--", "bash", "-c", "trap 'exit 0' USR1; echo $$ >pid; while :; do sleep 0.05; done")
    comes_true(lambda: (here / "pid").exists())
    process.send_signal(signal.SIGUSR1)
    assert ended(process)[0] == 0


def test_a_signal_that_comes_while_it_starts_is_handed_on_too(here: Path) -> None:
    """The rank sends it itself, the moment that it runs, while each write of the launch takes its time."""
    if shutil.which("strace") is None:
        pytest.skip("there is no strace on this host")
    (here / "rank").write_text("trap 'exit 0' USR1\nkill -USR1 $(<launch)\nwhile :; do sleep 0.05; done\n")
    slow = ["strace", "-D", "-o", "/dev/null", "-e", "trace=write", "-e", "inject=write:delay_enter=500000"]
    words = [*slow, *LAUNCH, "--", "bash", "rank"]
    done = subprocess.run(["bash", "-c", 'echo $$ >launch; exec "$@"', "-", *words], check=False, timeout=300)
    assert done.returncode == 0


def test_a_python_script_does_the_same(here: Path) -> None:
    """The example of the documentation: nodes for a job, and a run on them, both given back."""
    script = """
from pathlib import Path
from psij_parsl import Job
from psij_parsl.runs.mpirun import MPIRun
from psij_parsl.resources import NodeResources
job = Job(command=["sh", "-c", "echo rank $PSIJ_RANK"], stdout=Path("out"))
resources = NodeResources.discover()
with resources.assign(job) as nodes, MPIRun.for_site(launcher="fork")(job, nodes) as run:
    assert run.wait(300) == 0
assert not any(node.cpus for node in resources.busy())
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)
    assert (here / "out").read_text() == "rank 0\n"


# ---- in an allocation of several hosts ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    try:
        real_mpis.install()
        with real_mpis.hosts(4) as found:
            yield found
    except ManagerUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def job(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a job of PBS on these hosts, with 4 CPUs and 2 GPUs on each; MPICH is its MPI."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "nodes").write_text("".join(f"{name}\n" * CPUS for name in hosts.names))
    site = folder / "site.toml"
    site.write_text('platform = "local"\nlauncher = "mpich"\n')
    environ = {
        "PBS_JOBID": f"{folder.name}.server",
        "PBS_NODEFILE": str(folder / "nodes"),
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(GPUS))),
        **hosts.environment,
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    (folder / "sites").mkdir()
    (folder / "sites" / "here.toml").write_text(site.read_text())
    monkeypatch.setenv("PSIJ_PARSL_SITE_PATH", str(folder / "sites"))
    monkeypatch.setenv("PSIJ_SITE", "here")
    return environ


@pytest.mark.slow
def test_ranks_are_spread_over_the_nodes_of_the_job(job: dict[str, str], here: Path) -> None:
    program = real_mpis.build(here)["mpich"]
    found = said(psij("launch", "-N", "3", "-n", "6", "-g", "1", "--", str(program)).stdout)
    assert [line["host"] for line in found] == [name for name in ("node01", "node02", "node03") for _ in range(2)]
    assert [line["PSIJ_CPUS"] for line in found] == ["0", "1"] * 3
    assert [line["CUDA_VISIBLE_DEVICES"] for line in found] == ["0", "1"] * 3
    found = said(psij("launch", "-n", "8", "--", str(program)).stdout)  # more than one node has cores for
    assert [line["host"] for line in found] == ["node01"] * 4 + ["node02"] * 4
    assert {line["CUDA_VISIBLE_DEVICES"] for line in found} == {""}  # none was asked for, so none is seen


@pytest.mark.slow
def test_nodes_are_shared_in_parts_and_taken_whole(job: dict[str, str], here: Path) -> None:
    with everything().assign(_one(), share=2) as first:  # type: ignore[union-attr]
        assert first[0].name == "node01"
        assert psij("launch", "--share", "1", "--", "uname", "-n").stdout == "node02\n"
        assert psij("launch", "--share", "2", "--", "uname", "-n").stdout == "node01\n"
        assert psij("launch", "--spread", "--", "uname", "-n").stdout == "node02\n"


def _one() -> object:
    from psij_parsl.job_size import Resources

    return Resources()


@pytest.mark.slow
def test_no_run_is_started_that_cannot_end_before_the_wall_time(
    job: dict[str, str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cobalt says in the environment when the job ends."""
    monkeypatch.delenv("PBS_JOBID")
    (here / "nodes").write_text("node01\n")
    words = {
        "COBALT_JOBID": here.name,
        "COBALT_NODEFILE": str(here / "nodes"),
        "COBALT_ENDTIME": str(int(time.time()) + 600),
    }
    for name, value in words.items():
        monkeypatch.setenv(name, value)
    late = psij_here("launch", "--time", "20", "--", "touch", "started")
    assert late.returncode == 125
    assert "it is to run for 1200 s, and the wall time ends in" in late.stderr
    assert not (here / "started").exists()
    assert psij("launch", "--time", "5", "--", "touch", "started").returncode == 0
    assert (here / "started").exists()


@pytest.mark.slow
def test_two_hundred_at_once_never_hold_a_core_or_a_gpu_twice(
    job: dict[str, str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mixed shapes on 4 nodes: the ranks tell what they had, and when; all finish, and nothing is left."""
    monkeypatch.setenv("RECORD_IN", str(here / "had"))
    (here / "had").mkdir()
    (here / "out").mkdir()
    chance = random.Random(7)
    shapes = (
        ["-n", "1"],
        ["-n", "2"],
        ["-n", "1", "-c", "2"],
        ["-n", "1", "-g", "1"],
        ["-N", "2", "-n", "2"],
        ["-n", "4"],
        ["-N", "2", "-n", "4", "-g", "1"],
        ["--share", "4", "-n", "1"],
    )
    ranks = {"1": 1, "2": 2, "4": 4}
    chosen = [chance.choice(shapes) for _ in range(200)]
    codes = crowd([[*shape, "--", *RECORD, "0.02"] for shape in chosen], here / "out", {})
    outputs = {(here / "out" / str(at)).read_text() for at in range(len(chosen))}
    assert codes == [0] * 200, outputs
    had = recorded(here / "had")
    assert len(had) == sum(ranks[shape[shape.index("-n") + 1]] for shape in chosen)
    assert held_twice(had) == []
    assert sum(len(rank.gpus) for rank in had) == sum(
        int(shape[shape.index("-n") + 1]) for shape in chosen if "-g" in shape
    )
    assert not any(node.cpus or node.gpus for node in everything().busy())


# ---- who is killed ------------------------------------------------------------------------------------------------


def marked() -> set[str]:
    """The marks of all runs that have processes."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        found |= {word.decode() for word in words if word.startswith(f"{MARK}=".encode())}
    return found


@pytest.mark.slow
def test_killed_launches_leave_no_process_and_a_whole_ledger(
    job: dict[str, str], here: Path, comes_true: Until
) -> None:
    """The launch command, the launcher, a node's daemon or a rank, each killed at a random moment, a hundred times."""
    chance = random.Random(3)
    before = marked()
    script = "echo $$ >$0.$PSIJ_RANK; trap '' TERM HUP; while :; do sleep 600; done"
    for turn in range(25):
        group = [
            launched("--grace", "1", "-N", "2", "-n", "2", "--", "bash", "-c", script, f"pid.{turn}.{at}")
            for at in range(4)
        ]
        time.sleep(chance.uniform(0, 1.5))
        for at, process in enumerate(group):
            ranks = [int(text) for path in here.glob(f"pid.{turn}.{at}.*") if (text := path.read_text().strip())]
            below = _descendants(process.pid)
            victims = {
                "command": [process.pid],
                "launcher": [pid for pid in below if _name(pid).startswith("mpiexec")],
                "daemon": [pid for pid in below if _name(pid) == "hydra_pmi_proxy"],
                "rank": ranks,
            }
            _kill(chance.choice(victims[chance.choice(list(victims))] or [process.pid]))
        for process in group:
            if process.poll() is None:
                process.terminate()  # it may be one that still waits
            ended(process)
    comes_true(lambda: marked() <= before, 30, "the end of every run")
    comes_true(lambda: not any(node.cpus for node in everything().busy()), 30, "all cores to be free")
    assert psij("launch", "-N", "4", "-n", "16", "--", "true").returncode == 0


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [each for child in children for each in (child, *_descendants(child))]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
