"""A run as a process: its files, its environment, its signals, its end, and that nothing outlives it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import Job
from psij_parsl.errors import InvalidRequest, LaunchError
from psij_parsl.resources import Node
from psij_parsl.runs.exit_codes import ExitCodesFile
from psij_parsl.runs.mpirun import MPIRun
from psij_parsl.runs.rank_io import RankIO
from psij_parsl.runs.registry import launcher
from psij_parsl.runs.run import Run, RunCommand
from psij_parsl.runs.run_processes import MARK, processes
from psij_parsl.system.files import last_lines
from tests.clusters.processes import Process

HERE = socket.gethostname()
Until = Callable[..., None]


def shell(script: str, ranks: int = 1, **fields: Any) -> Job:
    return Job(command=["bash", "-c", script, "rank"], ranks_per_node=ranks, **fields)


def fork(job: Job, **settings: Any) -> Run:
    """The run of a job by plain processes."""
    return launcher("fork" if job.num_ranks > 1 else "single")()(job, **settings)


def left(run: Run) -> list[int]:
    return list(processes(run.command.mark, run.pid))


def output(run: Run) -> list[str]:
    path = run.command.io.stdout
    assert path is not None
    return sorted(path.read_text().splitlines()) if path.exists() else []


@pytest.fixture
def out(tmp_path: Path) -> RankIO:
    return RankIO(stdout=tmp_path / "out")


# ---- files --------------------------------------------------------------------------------------------------------


def test_both_streams_go_to_one_file_unless_they_are_kept_apart(tmp_path: Path) -> None:
    job = shell("echo out; echo err >&2")
    for io in (RankIO(stdout=tmp_path / "both"), RankIO(stdout=tmp_path / "out", stderr=tmp_path / "err")):
        with fork(job, io=io) as run:
            assert run.wait(300) == 0
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"both": "out\nerr\n", "out": "out\n", "err": "err\n"}


def test_files_are_replaced_or_added_to(tmp_path: Path) -> None:
    for append, expected in ((False, "new\n"), (False, "new\n"), (True, "new\nnew\n")):
        with fork(shell("echo new"), io=RankIO(stdout=tmp_path / "out", append=append)) as run:
            run.wait(300)
        assert (tmp_path / "out").read_text() == expected


def test_a_job_says_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("words\n")
    job = shell("cat; echo err >&2", directory=tmp_path, stdin=Path("in"), stdout=Path("out"), stderr=Path("err"))
    with fork(job) as run:
        assert run.wait(300) == 0
    assert ((tmp_path / "out").read_text(), (tmp_path / "err").read_text()) == ("words\n", "err\n")


def test_input_is_the_first_ranks_alone_and_empty_by_default(tmp_path: Path, out: RankIO) -> None:
    (tmp_path / "in").write_text("words\n")
    for stdin, expected in ((tmp_path / "in", ["0 words", "1 ", "2 "]), (None, ["0 ", "1 ", "2 "])):
        with fork(shell('echo "$PSIJ_RANK $(cat)"', 3), io=RankIO(stdin=stdin, stdout=out.stdout)) as run:
            assert run.wait(300) == 0
        assert output(run) == expected


def test_each_rank_has_files_of_its_own_and_their_tails_are_at_hand(tmp_path: Path) -> None:
    io = RankIO(stdout=tmp_path / "out.%r", stderr=tmp_path / "err.%r")
    with fork(shell('for i in 1 2 3; do echo "$PSIJ_RANK $i"; done; echo e >&2', 3), io=io) as run:
        assert run.wait(300) == 0
    assert [run.tail(2, rank=rank) for rank in range(3)] == [f"{rank} 2\n{rank} 3\n" for rank in range(3)]
    assert run.tail(stderr=True, rank=2) == "e\n"


def test_lines_are_labelled_by_rank(out: RankIO) -> None:
    with fork(shell('echo "a  b"; echo err >&2', 2), io=RankIO(stdout=out.stdout, label=True)) as run:
        assert run.wait(300) == 0
    assert output(run) == ["[0] a  b", "[0] err", "[1] a  b", "[1] err"]


@pytest.mark.parametrize(
    ("script", "code", "lines"),
    [
        ("printf 'one\\n\\nlast'", 0, ["[0] ", "[0] last", "[0] one"]),
        ("echo left; sleep 600 & exit 3", 3, ["[0] left"]),  # it holds the output open
        ("echo gone; kill -9 $$", 137, ["[0] gone"]),
        # Once: what starts it gets the signal, too, and hands it on.
        ("trap 'trap \"\" TERM; echo told; exit 4' TERM; kill -TERM 0; sleep 600 & wait", 4, ["[0] told"]),
        ("printf '\\377\\n\\376'", 0, ["[0] \udcfe", "[0] \udcff"]),
    ],
)
@pytest.mark.parametrize("sh", ["dash", "bash"])
def test_labelled_lines_are_all_there_at_the_end_however_slowly_they_are_labelled(
    tmp_path: Path, script: str, code: int, lines: list[str], sh: str
) -> None:
    slow = tmp_path / "bin" / "sed"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\nsleep 0.3\nexec {shutil.which("sed")} "$@"\n')
    slow.chmod(0o755)
    (slow.parent / "sh").symlink_to(str(shutil.which(sh)))
    job = shell(script, environment={"PATH": f"{slow.parent}:{os.environ['PATH']}"})
    with fork(job, io=RankIO(stdout=tmp_path / "out", stderr=tmp_path / "err", label=True)) as run:
        assert run.wait(300) == code
        assert sorted((tmp_path / "out").read_text(errors="surrogateescape").splitlines()) == lines
        assert not left(run)


def test_without_a_folder_for_temporary_files_lines_are_not_labelled_and_that_is_said(tmp_path: Path) -> None:
    job = shell("echo hi", environment={"TMPDIR": str(tmp_path / "none")})
    with fork(job, io=RankIO(stdout=tmp_path / "out", stderr=tmp_path / "err", label=True)) as run:
        assert run.wait(300) == 0
    assert (tmp_path / "out").read_text() == "hi\n"
    assert "its lines are not labelled: TMPDIR must be" in (tmp_path / "err").read_text()


@pytest.mark.parametrize(("script", "code"), [("echo hi", 125), ("echo hi; exit 3", 3), (":", 0)])
@pytest.mark.parametrize("job_mode", ["mpi", "serial"])
def test_labelled_output_that_nobody_takes_is_no_success(script: str, code: int, job_mode: str) -> None:
    io = RankIO(stdout=Path("/dev/full"), label=True)
    with fork(shell(script, 2, job_mode=job_mode), io=io) as run:
        assert run.wait(300) == code


def test_the_tail_of_a_long_file_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_text("".join(f"line {at}\n" for at in range(100_000)) + "no end")
    assert last_lines(path, 3) == "line 99998\nline 99999\nno end"
    assert last_lines(path, 0) == last_lines(tmp_path / "none", 3) == ""
    assert last_lines(path, 10**6) == path.read_text()
    assert last_lines(path, 10**6, most_bytes=12) == "99999\nno end"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"stdout": Path("out.%r"), "stderr": Path("err")}, "for one of stdout and stderr alone"),
        ({"stderr": Path("err.%r")}, "for one of stdout and stderr alone"),
        ({"stdin": Path("x"), "stdout": Path("./x")}, "cannot be input and output at once"),
    ],
)
def test_files_that_cannot_be_had_together_are_refused(files: dict[str, Path], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        RankIO(**files)


@pytest.mark.parametrize(
    ("end", "recorded", "code"),
    [("PIPE", "137 143", 137), ("PIPE", "", 141), ("KILL", "143", 137), ("TERM", "3", 143)],
)
def test_a_launcher_that_dies_itself_hides_no_failure_that_led_to_it(
    tmp_path: Path, end: str, recorded: str, code: int
) -> None:
    """Intel's mpiexec was seen to die of SIGPIPE as its proxies left before it."""
    codes = tmp_path / "codes"
    script = f"for code in {recorded}; do echo $code >>{codes}; done; trap - PIPE; kill -{end} $$; sleep 600"
    command = RunCommand(
        argv=["bash", "-c", script],
        environment=os.environ,
        directory=tmp_path,
        mark=os.urandom(8).hex(),
        exit_codes=ExitCodesFile(codes),
    )
    with Run(command) as run:
        assert run.wait(300) == code
    assert not codes.exists()


# ---- environment, process, place ----------------------------------------------------------------------------------


def test_the_environment_is_set_in_the_child_alone(out: RankIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "here")
    monkeypatch.setenv("PMI_RANK", "3")  # an outer run's
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "9")
    before = dict(os.environ)
    script = 'echo "$KEPT $GIVEN ${PMI_RANK-none} ${OMPI_COMM_WORLD_SIZE-none} $OMP_NUM_THREADS"'
    with fork(shell(script, environment={"GIVEN": "a $b"}, cpus_per_rank=3), io=out) as run:
        run.wait(300)
    assert output(run) == ["here a $b none none 3"]
    assert dict(os.environ) == before


def test_a_job_may_inherit_nothing(out: RankIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "here")
    with fork(
        shell('echo "${KEPT-none} $GIVEN"', environment={"GIVEN": "x"}, inherit_environment=False), io=out
    ) as run:
        run.wait(300)
    assert output(run) == ["none x"]


def test_the_users_threads_are_the_users(out: RankIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with fork(shell("echo $OMP_NUM_THREADS $MKL_NUM_THREADS", cpus_per_rank=3), io=out) as run:
        run.wait(300)
    assert output(run) == ["7"]


def test_a_run_is_a_session_of_its_own(out: RankIO) -> None:
    with fork(shell("ps -o sid= -p $$", 2), io=out) as run:
        run.wait(300)
        assert {int(line) for line in output(run)} == {run.pid}
    assert run.pid != os.getsid(0)


def test_setup_runs_before_the_command(out: RankIO) -> None:
    with fork(shell('echo "$LOADED"', 2, setup="export LOADED='a module'"), io=out) as run:
        run.wait(300)
    assert output(run) == ["a module"] * 2


def test_ranks_have_the_cores_and_gpus_that_were_assigned(out: RankIO) -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    node = Node(HERE, tuple(reversed(cores)), ("4", "7"))
    script = 'echo "$PSIJ_RANK $(taskset -cp $$ | sed "s/.*: //") $CUDA_VISIBLE_DEVICES"'
    job = shell(script, len(cores), gpus_per_rank=1, environment={"CUDA_VISIBLE_DEVICES": "4,7"})
    with fork(job, nodes=(node,), io=out) as run:
        assert run.wait(300) == 0
    assert output(run) == [f"{at} {core} {gpu}" for at, (core, gpu) in enumerate(zip(node.cpus, "47", strict=False))]


def test_binding_can_be_left_to_the_user(out: RankIO) -> None:
    node = Node(HERE, (min(os.sched_getaffinity(0)),), ("4",))
    with fork(
        shell("nproc; echo ${CUDA_VISIBLE_DEVICES-unset} ${OMP_NUM_THREADS-unset}"), nodes=(node,), io=out, bind=False
    ) as run:
        run.wait(300)
    assert output(run) == [str(len(os.sched_getaffinity(0))), "unset unset"]


def test_nodes_that_do_not_fit_the_job_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="the job asks for 1 nodes, and 2 were assigned"):
        fork(shell("true"), nodes=(Node(HERE, (0,)), Node("other", (0,))))
    with pytest.raises(InvalidRequest, match="starts processes on this host only, and other was assigned"):
        fork(shell("true"), nodes=(Node("other", (0,)),))


# ---- start, poll, wait, signal, end -------------------------------------------------------------------------------


def test_a_run_is_polled_and_waited_for(tmp_path: Path, out: RankIO, comes_true: Until) -> None:
    os.mkfifo(tmp_path / "go")
    run = fork(shell(f"read x <{tmp_path / 'go'}; exit 3", 1), io=out)
    assert run.returncode is None
    run.start()
    assert run.poll() is None
    assert run.wait(0.05) is None
    (tmp_path / "go").write_text("\n")
    assert run.wait() == run.poll() == run.wait(0) == run.returncode == 3
    run.close()
    run.close()


def test_what_was_not_started_has_nothing_to_tell() -> None:
    run = fork(shell("true"))
    for ask in (run.poll, run.wait, run.kill, run.terminate):
        with pytest.raises(InvalidRequest, match="not started"):
            ask()
    run.close()
    with run, pytest.raises(InvalidRequest, match="started already"):
        run.start()


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGTERM])
def test_a_signal_reaches_the_ranks(number: int, ranks: int, out: RankIO, comes_true: Until) -> None:
    script = f"trap 'echo got; exit 0' {number}; echo ready; while :; do sleep 0.05; done"
    with fork(shell(script, ranks), io=out) as run:
        comes_true(lambda: output(run).count("ready") == ranks)
        run.signal(number)
        assert run.wait(300) == 0
    assert output(run).count("got") == ranks


def test_terminate_asks_first_and_then_kills(out: RankIO, comes_true: Until) -> None:
    polite = "trap 'echo bye; exit 6' TERM; echo ready; while :; do sleep 0.05; done"
    stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    for script, grace_s, code in ((polite, 20, 6), (stubborn, 0.3, 137)):
        with fork(shell(script, 2), io=out) as run:
            comes_true(lambda run=run: output(run).count("ready") == 2)
            assert run.terminate(grace_s) == code
            assert left(run) == []


def test_leaving_the_block_ends_what_runs(out: RankIO, comes_true: Until) -> None:
    with pytest.raises(KeyError), fork(shell("echo ready; sleep 600", 2), io=out) as run:
        comes_true(lambda: output(run).count("ready") == 2)
        raise KeyError
    assert left(run) == []
    assert run.returncode is not None


def test_a_rank_that_leaves_something_behind_leaves_nothing(out: RankIO) -> None:
    """Not even in a session of its own, and deaf to TERM."""
    script = "setsid bash -c 'trap \"\" TERM; sleep 600' >/dev/null 2>&1 & echo started"
    with fork(shell(script), io=out) as run:
        assert run.wait(300) == 0
        assert left(run) == []


def test_a_run_started_in_a_thread_outlives_the_thread(out: RankIO, comes_true: Until) -> None:
    for ranks in (1, 2):
        run = fork(shell("echo ready; sleep 0.5; exit 3", ranks), io=out)
        thread = threading.Thread(target=run.start)
        thread.start()
        thread.join()
        with run:
            assert run.wait(300) == 3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"directory": Path("/no/such/place")}, "the run's directory /no/such/place is not there"),
        ({"stdin": Path("/no/such/file")}, "the run's stdin file /no/such/file cannot be opened: No such file"),
        (
            {"stdout": Path("/no/such/file")},
            "there is no directory /no/such for .* output file file .mkdir -p /no/such",
        ),
        ({"stdout": Path("/")}, "cannot be opened: Is a directory"),
        ({"environment": {"LONG": "x" * 3_000_000}}, "cannot be started: Argument list too long"),
    ],
)
def test_a_failed_start_says_why(change: dict[str, Any], why: str) -> None:
    run = fork(shell("true").with_(**change))
    with pytest.raises(LaunchError, match=why):
        run.start()
    assert run._guard is None  # nothing was left to guard


def test_a_launcher_that_is_not_there_is_told() -> None:
    with pytest.raises(LaunchError, match="there is no program 'aprun' on PATH here.*choose another --launcher"):
        MPIRun.for_site(launcher="aprun")(shell("true", 2))


# ---- who is killed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 3])
def test_when_the_launcher_is_killed_no_rank_remains(ranks: int, out: RankIO, comes_true: Until) -> None:
    with fork(shell("trap '' TERM HUP; echo ready; sleep 600", ranks), io=out) as run:
        comes_true(lambda: output(run).count("ready") == ranks)
        os.kill(run.pid, signal.SIGKILL)
        assert run.wait(300) == 137
        assert left(run) == []


def test_when_a_rank_is_killed_the_run_ends_with_its_signal(out: RankIO, comes_true: Until) -> None:
    with fork(shell("echo $$; exec sleep 600", 3), io=out) as run:
        comes_true(lambda: len(output(run)) == 3)
        os.kill(int(output(run)[1]), signal.SIGKILL)
        assert run.wait(300) == 137
        assert left(run) == []


def test_when_the_guard_is_killed_we_still_end_everything(out: RankIO, comes_true: Until) -> None:
    with fork(shell("echo ready; sleep 600", 2), io=out) as run:
        comes_true(lambda: output(run).count("ready") == 2)
        assert run._guard is not None
        os.kill(run._guard.pid, signal.SIGKILL)
        assert run.kill() == 137
        assert left(run) == []


_OWNER = """
import sys
from pathlib import Path
from psij_parsl import Job
from psij_parsl.runs.rank_io import RankIO
from psij_parsl.runs.registry import launcher
job = Job(command=["bash", "-c", "trap '' TERM INT HUP; echo ready; sleep 600 & wait; sleep 600"], ranks_per_node=2)
run = launcher("fork")()(job, io=RankIO(stdout=Path(sys.argv[1])))
print(run.command.mark, flush=True)
with run:
    print(run.pid, run._guard.pid, flush=True)
    run.wait()
"""


@pytest.mark.parametrize("turn", range(8))
def test_when_we_are_killed_at_any_moment_nothing_remains(turn: int, tmp_path: Path, comes_true: Until) -> None:
    """The owner, at a random moment from its run's start on; with it, every second time, the launcher."""
    chance = random.Random(turn)
    owner = subprocess.Popen([sys.executable, "-c", _OWNER, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    mark = owner.stdout.readline().strip()
    session = guard = 0
    if turn % 2:
        session, guard = map(int, owner.stdout.readline().split())
    try:
        owner.wait(chance.choice([0.0, 0.002, 0.01, 0.03, 0.3]))
    except subprocess.TimeoutExpired:
        owner.kill()
    if session:
        os.kill(session, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    comes_true(lambda: not list(processes(mark, session or -1)), what=f"the end of {MARK}={mark}")
    if guard:
        comes_true(lambda: (found := Process.of(guard)) is None or not found.alive, what="the guard's end")
