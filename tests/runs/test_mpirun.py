"""The words that start the ranks of a run: exact, one word one element; and the fork launcher at work in bash."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psij_parsl import Job
from psij_parsl.errors import InvalidRequest, TemplateError
from psij_parsl.job_size import Resources
from psij_parsl.jobs.launch_lines import launch_lines
from psij_parsl.runs.mpirun import MPIRun
from psij_parsl.runs.registry import launcher
from psij_parsl.signals import fresh

SMALL = Resources(num_nodes=2, ranks_per_node=4)
WIDE = Resources(
    num_nodes=2, ranks_per_node=4, cpus_per_rank=3, threads_per_core=2, gpus_per_rank=1, memory_per_node=5000
)

GOLDEN = {
    ("srun", "mpi", "small"): "srun --kill-on-bad-exit=1 --nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=1",
    ("srun", "mpi", "wide"): (
        "srun --kill-on-bad-exit=1 --nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=6 --gpus-per-node=4"
        " --mem=5000M"
    ),
    ("srun", "serial", "small"): (
        "srun --mpi=none --kill-on-bad-exit=0 --nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=1"
    ),
    ("srun", "per_node", "small"): (
        "srun --mpi=none --kill-on-bad-exit=0 --overlap --cpu-bind=none --nodes=2 --ntasks=8 --ntasks-per-node=4"
    ),
}


@pytest.mark.parametrize(("name", "mode", "shape"), GOLDEN)
def test_the_words_of(name: str, mode: str, shape: str) -> None:
    found = launcher(name)().argv({"small": SMALL, "wide": WIDE}[shape], mode=mode)
    assert found == GOLDEN[name, mode, shape].split()


def test_named_hosts_are_one_word() -> None:
    words = launcher("srun")().argv(SMALL, hosts=["n1", "n2"])
    assert "--nodelist=n1,n2" in words


def test_text_for_a_script_is_the_same_words_quoted() -> None:
    method = launcher("fork")()
    shape = Resources(ranks_per_node=3)
    assert shlex.split(method.text(shape)) == method.argv(shape)
    assert ["echo", '--nodelist="$hosts"'][1] in launcher("srun")().text(SMALL, hosts='"$hosts"')


def test_one_rank_needs_no_launcher_and_more_need_one() -> None:
    single = launcher("single")()
    assert single.argv(Resources()) == []
    with pytest.raises(InvalidRequest, match="8 ranks need a launch method") as caught:
        single.argv(SMALL)
    assert caught.value.hint


def test_fork_stays_on_its_host() -> None:
    with pytest.raises(InvalidRequest, match="2 nodes cannot be reached"):
        launcher("fork")().argv(SMALL)


def test_a_mode_that_a_method_has_not_is_refused() -> None:
    class OnlyMpi(MPIRun):
        name = "only"
        mpi = ("run", "{{ num_ranks }}")

    with pytest.raises(InvalidRequest, match="cannot start serial runs"):
        OnlyMpi().argv(SMALL, mode="serial")


def test_a_word_that_renders_to_nothing_is_left_out_and_none_is_split() -> None:
    class Odd(MPIRun):
        name = "odd"
        mpi = ("run", "{% if gpus_per_node %}-g{% endif %}", "-n {{ num_ranks }} *", "")

    assert Odd().argv(SMALL) == ["run", "-n 8 *"]
    assert Odd().text(SMALL) == "run '-n 8 *'"


def test_a_word_that_says_what_nothing_gives_is_refused_when_it_is_made() -> None:
    with pytest.raises(TemplateError, match="uses 'num_rank', which nothing gives.*did you mean 'num_ranks'"):

        class Misspelt(MPIRun):
            mpi = ("run", "{{ num_rank }}")


def test_a_method_that_does_not_say_how_many_is_refused_when_it_is_made() -> None:
    with pytest.raises(TemplateError, match="serial never says how many ranks"):

        class Mute(MPIRun):
            mpi = ("run", "{{ num_ranks }}")
            serial = ("run",)


@given(
    st.integers(1, 99),
    st.integers(1, 99),
    st.integers(1, 99),
    st.integers(1, 4),
    st.integers(0, 8),
    st.sampled_from(["mpi", "serial", "per_node"]),
)
def test_no_shape_gives_an_empty_or_a_split_word(
    nodes: int, ranks: int, cpus: int, threads: int, gpus: int, mode: str
) -> None:
    shape = Resources(
        num_nodes=nodes, ranks_per_node=ranks, cpus_per_rank=cpus, threads_per_core=threads, gpus_per_rank=gpus
    )
    words = launcher("srun")().argv(shape, mode=mode)
    assert all(word and not set(word) & set(" {}%") for word in words)
    assert str(nodes * ranks) in " ".join(words).replace("=", " ").split()


def test_a_jobs_mode_picks_the_words(tmp_path: Path) -> None:
    def words(job: Job, default: str = "srun") -> list[str]:
        *line, command = shlex.split(launch_lines(job, default, tmp_path).start)
        assert command == "$@"
        return line

    once = ("", '  exec -- "$@"')
    assert launch_lines(Job(command=["true"]), "srun", tmp_path) == once
    assert launch_lines(Job(command=["true"], num_nodes=2, job_mode="script"), "srun", tmp_path) == once
    mpi = Job(command=["true"], num_nodes=2, ranks_per_node=4)
    assert words(mpi) == ["exec", "--", *launcher("srun")().argv(mpi)]
    assert words(mpi.with_(job_mode="serial")) == ["exec", "--", *launcher("srun")().argv(mpi, mode="serial")]
    assert "psij-fork" in words(Job(command=["true"], ranks_per_node=2, launcher="fork"))


def test_a_launch_line_hides_no_program_of_ours(tmp_path: Path) -> None:
    """The program of `fork` has many lines: the script names it, and the line is read at a glance."""
    lines = launch_lines(Job(command=["true"], ranks_per_node=2, launcher="fork"), "srun", tmp_path)
    assert lines.start == '  exec -- bash -c "$psij_program_1" psij-fork 2 "$@"'
    assert "\npsij_program_1='psij_n=$1;" in lines.before


# ---- fork, in a real bash ------------------------------------------------------------------------------------------


def fork(
    ranks: int, mode: str, script: str, *, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    words = [*launcher("fork")().argv(Resources(ranks_per_node=ranks), mode=mode), "bash", "-c", script, "rank"]
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        start_new_session=True,
        preexec_fn=fresh(),
    )
    assert process.stdin
    process.stdin.write(stdin)
    process.stdin.close()
    process.stdin = None
    return process


def ended(process: subprocess.Popen[bytes], seconds: float = 20) -> tuple[int, list[str]]:
    out, errors = process.communicate(timeout=seconds)
    assert b"syntax" not in errors, errors
    return process.returncode, sorted(out.decode().splitlines())


@pytest.mark.parametrize("mode", ["mpi", "serial"])
def test_each_copy_knows_its_place(mode: str) -> None:
    script = 'echo "$PSIJ_RANK $PSIJ_LOCAL_RANK $PSIJ_NUM_RANKS"'
    assert ended(fork(3, mode, script)) == (0, ["0 0 3", "1 1 3", "2 2 3"])


@pytest.mark.parametrize("mode", ["mpi", "serial"])
def test_words_reach_each_copy_as_they_are(mode: str, tmp_path: Path) -> None:
    argv = launcher("fork")().argv(Resources(ranks_per_node=2), mode=mode)
    odd = ["a b", "it's", "$HOME", "*", "", "tail\\", "a\nb", "-n"]
    write = 'printf "%s|" "$@" >out.$PSIJ_RANK'
    subprocess.run([*argv, "bash", "-c", write, "rank", *odd], check=True, cwd=tmp_path)
    for rank in range(2):
        assert text(tmp_path / f"out.{rank}") == "|".join(odd) + "|"


@pytest.mark.parametrize("mode", ["mpi", "serial"])
@pytest.mark.parametrize("failing", [0, 1, 3])
def test_the_exit_code_is_the_failing_copys(mode: str, failing: int) -> None:
    assert ended(fork(4, mode, f"[ $PSIJ_RANK != {failing} ] || exit 7"))[0] == 7


@pytest.mark.parametrize("mode", ["mpi", "serial"])
@pytest.mark.parametrize("order", ["0 1 2 3", "3 2 1 0"])
def test_a_late_failure_is_seen_whatever_ended_before(mode: str, order: str) -> None:
    """Those that ended well, in any order, must not be counted twice, nor hide the one that fails last."""
    script = f"""order=({order}); sleep 0.${{order[$PSIJ_RANK]}}5; [ $PSIJ_RANK != {order[-1]} ] || exit 9"""
    assert ended(fork(4, mode, script))[0] == 9


@pytest.mark.parametrize("mode", ["mpi", "serial"])
def test_a_copy_that_a_signal_ends_counts_as_failed(mode: str) -> None:
    assert ended(fork(2, mode, "[ $PSIJ_RANK = 0 ] || kill -9 $$"))[0] == 128 + signal.SIGKILL


def test_in_an_mpi_run_one_failure_ends_the_others() -> None:
    began = time.monotonic()
    code, lines = ended(fork(4, "mpi", "if [ $PSIJ_RANK = 2 ]; then sleep 0.3; exit 5; fi; exec sleep 60"))
    assert (code, lines) == (5, [])
    assert time.monotonic() - began < 50  # the others would run for 60


def test_in_serial_mode_one_failure_leaves_the_others_running() -> None:
    code, lines = ended(fork(4, "serial", "if [ $PSIJ_RANK = 2 ]; then exit 5; fi; sleep 0.5; echo survived"))
    assert (code, lines) == (5, ["survived"] * 3)


@pytest.mark.parametrize("mode", ["mpi", "serial"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_run_ends_every_copy_before_it_ends_itself(
    mode: str, number: int, tmp_path: Path, comes_true: Callable[..., None]
) -> None:
    script = "trap 'sleep 0.3; echo bye; exit 3' TERM; echo $$ >pid.$PSIJ_RANK; while :; do sleep 0.1; done"
    process = fork(3, mode, script, cwd=tmp_path)
    comes_true(lambda: all(text(tmp_path / f"pid.{rank}") for rank in range(3)))
    process.send_signal(number)
    code, lines = ended(process)
    assert lines == ["bye"] * 3  # all had the time to say it
    assert code == 3
    assert not any(alive(int(text(tmp_path / f"pid.{rank}"))) for rank in range(3))


@pytest.mark.parametrize("mode", ["mpi", "serial"])
def test_the_input_goes_to_the_first_copy(mode: str) -> None:
    assert ended(fork(3, mode, "cat", stdin=b"words\n")) == (0, ["words"])


@pytest.mark.parametrize("mode", ["mpi", "serial"])
def test_a_command_that_does_not_exist_ends_with_127(mode: str) -> None:
    argv = launcher("fork")().argv(Resources(ranks_per_node=2), mode=mode)
    done = subprocess.run([*argv, "no-such-command"], capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert "no-such-command" in done.stderr


def test_variables_of_the_submitter_do_not_change_the_run(tmp_path: Path) -> None:
    words: Sequence[str] = [*launcher("fork")().argv(Resources(ranks_per_node=2)), "printenv", "PSIJ_RANK"]
    environment = {**os.environ, "n": "9", "r": "9", "pids": "1", "code": "5", "IFS": "$p"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, sorted(done.stdout.splitlines())) == (0, ["0", "1"])


def test_a_copys_own_variables_of_these_names_are_kept() -> None:
    words = [*launcher("fork")().argv(Resources(ranks_per_node=2)), "bash", "-c", 'echo "$n $r $p $c $code $pids"']
    environment = {**os.environ, "n": "1", "r": "2", "p": "3", "c": "4", "code": "5", "pids": "6"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == "1 2 3 4 5 6\n" * 2


@pytest.mark.slow
def test_in_an_mpi_run_a_copy_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    script = "trap '' TERM; if [ $PSIJ_RANK = 1 ]; then sleep 0.2; exit 4; fi; exec sleep 60"
    assert ended(fork(2, "mpi", script), 30)[0] == 4


@pytest.mark.parametrize("mode", ["mpi", "serial"])
def test_copies_that_end_at_once_are_never_missed(mode: str) -> None:
    words = [*launcher("fork")().argv(Resources(ranks_per_node=8), mode=mode), "bash", "-c"]
    for turn in range(12):
        done = subprocess.run(
            [*words, f"exit $((PSIJ_RANK == {turn % 8} ? 6 : 0))"], capture_output=True, timeout=30, check=False
        )
        assert done.returncode == 6
        assert subprocess.run([*words, "true"], capture_output=True, timeout=30, check=False).returncode == 0


def text(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
