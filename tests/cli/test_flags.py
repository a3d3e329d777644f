"""Flags: what they mean as a job, in which order they count, and what stands in a script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from psij_parsl.cli.commands.submit import SUBMIT
from psij_parsl.cli.flag_types import dependencies, environment_files, pairs, variables
from psij_parsl.cli.job_flags import JOB_FLAGS
from psij_parsl.cli.job_from_flags import FlagLayer, even_shape, fields, from_environment, merge, shape
from psij_parsl.cli.output import TextRenderer, length
from psij_parsl.cli.output_stream import Tail
from psij_parsl.cli.quick_parser import program_start
from psij_parsl.errors import InvalidRequest
from psij_parsl.job_size import FLAGS
from psij_parsl.job_texts import indices
from psij_parsl.system.files import last_lines
from tests.cli.helpers import one_sentence_and_a_hint, psij, psij_here


@pytest.mark.parametrize(
    ("nodes", "ranks", "each", "expected"),
    [
        (None, None, None, {}),
        (2, None, None, {"num_nodes": 2}),
        (None, None, 4, {"ranks_per_node": 4}),
        (2, None, 4, {"num_nodes": 2, "ranks_per_node": 4}),
        (2, 8, None, {"num_nodes": 2, "ranks_per_node": 4}),
        (None, 8, 4, {"num_nodes": 2, "ranks_per_node": 4}),
        (2, 8, 4, {"num_nodes": 2, "ranks_per_node": 4}),
        (None, 8, None, {"num_nodes": 1, "ranks_per_node": 8}),
    ],
)
def test_nodes_and_ranks_from_any_two(
    nodes: int | None, ranks: int | None, each: int | None, expected: dict[str, int]
) -> None:
    said = {"nodes": nodes, "ntasks": ranks, "ntasks_per_node": each}
    assert shape({name: value for name, value in said.items() if value}) == expected


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ({"nodes": 2, "ntasks": 7}, "possible are -n 6 or -n 8, or -N 1"),
        ({"nodes": 8, "ntasks": 6}, "use -N 6, or -n 8"),
        ({"ntasks": 7, "ntasks_per_node": 3}, "possible are -n 6 or -n 9, or -N 1"),
        (
            {"nodes": 2, "ntasks": 7, "ntasks_per_node": 3},
            "leave out one of -N, -n and --ntasks-per-node, or use -n 6",
        ),
    ],
)
def test_numbers_that_do_not_divide_say_what_would(said: dict[str, int], hint: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        even_shape(said)
    assert refused.value.hint == hint


@pytest.mark.parametrize(
    ("said", "numbers"),
    [
        ({"nodes": 2, "ntasks": 5}, {"num_nodes": 2, "ranks": 5}),
        ({"ntasks": 7, "ntasks_per_node": 3}, {"num_nodes": 3, "ranks": 7}),
        ({"nodes": 2, "ntasks": 5, "ntasks_per_node": 4}, {"num_nodes": 2, "ranks": 5}),
        ({"nodes": 2, "ntasks": 6, "ntasks_per_node": 4}, {"num_nodes": 2, "ranks_per_node": 3}),
    ],
)
def test_a_jobs_ranks_may_be_spread_unevenly(said: dict[str, int], numbers: dict[str, int]) -> None:
    assert shape(said) == numbers


def test_many_ranks_fill_the_nodes_of_a_site_that_says_how_many_each_has() -> None:
    assert shape({"ntasks": 256}, 128) == {"num_nodes": 2, "ranks_per_node": 128}
    assert shape({"ntasks": 4}, 128) == {"num_nodes": 1, "ranks_per_node": 4}


def test_indices_are_read_as_managers_write_them() -> None:
    assert indices("0-3,12,20-30:5") == (0, 1, 2, 3, 12, 20, 25, 30)
    for wrong in ("", "a", "3-1", "0-9%2", "1,,2", "0-99999999", "-1"):
        with pytest.raises(InvalidRequest):
            indices(wrong)


def test_dependencies_are_read_as_managers_write_them() -> None:
    assert dependencies(["12,afterany:13:14", "last,12"]) == (
        "afterok:12",
        "afterany:13",
        "afterany:14",
        "afterok:last",
    )
    assert dependencies(["singleton,after:12+5", "12?afterany:13:14"]) == (
        "singleton",
        "after:12+5",
        "afterok:12?afterany:13?afterany:14",
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("aftrok:12", "unknown kind of dependency 'aftrok'"),
        ("afterok:", "names no job after 'afterok'"),
        ("afterok:1::2", "names no job after 'afterok'"),
        ("12,", "next to one of its commas"),
        (",12", "next to one of its commas"),
        ("12,,13", "next to one of its commas"),
        ("12?", "next to ?"),
        ("12,13?14", "a comma and ? are in one list"),
        ("singleton:12", "names none itself"),
        ("after:12+x", "'x' is no number of minutes"),
        ("after:+5", "'5' is no number of minutes after the start of a job"),
    ],
)
def test_a_wrong_dependency_is_named(text: str, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        dependencies([text])
    assert says in caught.value.message
    assert caught.value.hint


def test_variables_are_set_copied_and_read_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "a b")
    assert variables(["A=1=2", "HERE", "EMPTY="]) == {"A": "1=2", "HERE": "a b", "EMPTY": ""}
    with pytest.raises(InvalidRequest, match="not set here"):
        variables(["NOWHERE"])
    file = tmp_path / "env"
    file.write_text("# comment\n\nexport A='x y'\nB=$HOME\nHERE\n")
    assert environment_files([str(file)]) == {"A": "x y", "B": "$HOME", "HERE": "a b"}
    with pytest.raises(InvalidRequest, match="No such file"):
        environment_files(["/nowhere/env"])


def test_parameters_are_name_and_value() -> None:
    assert pairs(["qos=debug", "mail-type=END,FAIL"]) == {"qos": "debug", "mail_type": "END,FAIL"}
    with pytest.raises(InvalidRequest):
        pairs(["qos"])


def test_stronger_layers_win_and_repeatable_flags_add_up() -> None:
    layers = [
        FlagLayer({"queue": "line", "env": ["A=1"], "platform": "slurm"}),
        FlagLayer({"queue": "script", "time": "2h", "env": ["A=2", "B=2"], "site": "polaris"}, "job.sh, line 2"),
        from_environment({"PSIJ_RUN_TIME": "5", "PSIJ_RUN_ACCOUNT": "chem", "PSIJ_RUN_OUTPUT": "json"}),
    ]
    chosen = merge(layers)
    assert chosen == {
        "queue": "line",
        "time": 120,
        "account": "chem",
        "env": {"A": "1", "B": "2"},
        "platform": "slurm",
    }
    assert fields(chosen) == {
        "queue": "line",
        "wall_time_min": 120,
        "project": "chem",
        "environment": {"A": "1", "B": "2"},
    }


@pytest.fixture
def held() -> list[str]:
    """Two jobs that wait."""
    return [psij_here("submit", "--hold", "--", "true").stdout.strip() for _ in range(2)]


def comes_after(*words: str) -> list[str]:
    """What a job of those words waits for."""
    assert psij_here("submit", *words).returncode == 0
    return json.loads(psij_here("info", "last", "--json").stdout)["after"]


def test_dependencies_that_are_said_one_by_one_all_count(held: list[str], tmp_path: Path) -> None:
    first, second = held
    assert comes_after("-d", first, "-d", f"afterany:{second}", "true") == [f"afterok:{first}", f"afterany:{second}"]
    job = script(tmp_path / "job.sh", f"#!/bin/sh\n#PSIJ -d {first}\n#PSIJ -d {second}\ntrue\n")
    assert comes_after(job) == [f"afterok:{first}", f"afterok:{second}"]
    assert comes_after("-d", f"after:{second}", job) == [f"after:{second}"]  # what is typed wins


def test_two_arrays_are_refused(tmp_path: Path) -> None:
    done = psij_here("submit", "--array", "0-3", "--array", "5", "--", "true")
    assert done.returncode == 2
    assert "--array is given twice, as 0-3 and as 5" in one_sentence_and_a_hint(done)[0]
    job = script(tmp_path / "job.sh", "#!/bin/sh\n#PSIJ --array 0-3\n#PSIJ -t 5\n#PSIJ --array 5\ntrue\n")
    done = psij_here("submit", job)
    assert done.returncode == 2
    assert f"{job}, line 4: --array is given twice" in one_sentence_and_a_hint(done)[0]
    assert psij_here("submit", "--hold", "--array", "1", "--array", "1", "true").returncode == 0
    assert (
        psij_here("render", "-t", "5", "-t", "9", "--platform", "slurm", "true").stdout.count("--time=00:09:00") == 1
    )


@pytest.mark.parametrize(
    "flag",
    [
        "-d",
        "--array",
        "-n",
        "--mem",
        "-t",
        "-o",
        "-i",
        "-e",
        "-D",
        "-J",
        "-q",
        "--config",
        "--site",
        "--platform",
        "--mode",
        "--launcher",
        "--env",
        "--env-file",
        "-X",
    ],
)
def test_a_flag_without_a_value_is_refused(flag: str, tmp_path: Path, home: Path) -> None:
    for words in (["submit", flag, "", "--", "true"], ["render", flag, "", "true"]):
        done = psij_here(*words)
        assert done.returncode == 2
        assert flag in one_sentence_and_a_hint(done)[0]
    if flag != "--config":
        job = script(tmp_path / "job.sh", f'#!/bin/sh\n#PSIJ {flag} ""\ntrue\n')
        assert f"{job}, line 2: " in one_sentence_and_a_hint(psij_here("submit", job))[0]
    assert not (home / "journal.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("launch", "-n", "", "true"), 125),
        (("launch", "-o", "", "--", "true"), 125),
        (("launch", "--launcher=", "true"), 125),
        (("list", "--since", ""), 2),
        (("wait", "--timeout", "", "all"), 125),
        (("site", "show", "--config", ""), 2),
        (("doctor", "--site", ""), 2),
        (("resources", "fit", "-n", ""), 2),
        (("clean", "--older-than", ""), 2),
    ],
)
def test_so_it_is_with_flags_that_are_no_jobs(words: tuple[str, ...], code: int) -> None:
    done = psij_here(*words)
    assert done.returncode == code
    one_sentence_and_a_hint(done)


def test_a_setup_may_be_empty_for_it_then_does_nothing() -> None:
    assert psij_here("submit", "--hold", "--setup", "", "--", "true").returncode == 0


@pytest.mark.parametrize(
    "words", ["submit -t 02:00 true", "launch -t 2:00 true", "launch --timeout 2:00 true", "wait --timeout 2:00 all"]
)
def test_a_time_that_could_be_two_is_refused(words: str) -> None:
    done = psij_here(*words.split())
    assert done.returncode in (2, 125)
    assert "2:00: it could be hours and minutes (" in one_sentence_and_a_hint(done)[0]


def test_such_a_time_of_a_script_or_a_variable_is_refused_and_slurms_own_is_read(tmp_path: Path) -> None:
    job = script(tmp_path / "job.sh", "#!/bin/sh\n#PSIJ -t 90:00\ntrue\n")
    assert f"{job}, line 2: -t 90:00: it could be" in one_sentence_and_a_hint(psij_here("submit", job))[0]
    assert "PSIJ_RUN_TIME 1:30: it could be" in psij_here("render", "true", PSIJ_RUN_TIME="1:30").stderr
    assert "--time=00:30:00" in psij_here("render", "--platform", "slurm", "true", SBATCH_TIMELIMIT="30:00").stdout


@pytest.mark.parametrize(
    ("flag", "path"),
    [
        *(("-i", path) for path in ("/dev/stdout", "/dev/fd/63", "/dev/../dev/tty", "/proc/self/fd/1")),
        *(("-o", path) for path in ("-", "/dev/stdin", "/dev/stdout", "/dev/../dev/fd/0", "/proc/self/fd/1")),
        *(("-e", path) for path in ("-", "/dev/stderr", "/dev/fd/63")),
    ],
)
def test_a_stream_of_ours_is_no_file_of_a_job(flag: str, path: str, here: Path) -> None:
    done = psij_here("run", flag, path, "--", "true")
    assert done.returncode == 125
    assert f"{flag} {path}: it is a stream of this command" in one_sentence_and_a_hint(done)[0]
    job = script(here / "job.sh", f"#!/bin/sh\n#PSIJ {flag} {path}\ntrue\n")
    assert f"{job}, line 2: {flag} {path}: it is" in one_sentence_and_a_hint(psij_here("submit", job))[0]
    assert psij_here("submit", "--hold", flag, "/dev/null", "--", "true").stderr == ""


def test_a_wrong_value_names_its_place() -> None:
    with pytest.raises(InvalidRequest, match=r"job\.sh, line 2: -t 1:90:00"):
        merge([FlagLayer({"time": "1:90:00"}, "job.sh, line 2")])
    with pytest.raises(InvalidRequest, match="PSIJ_RUN_TIME soon"):
        merge([from_environment({"PSIJ_RUN_TIME": "soon"})])


@pytest.mark.parametrize(
    ("words", "begin"),
    [
        ("-N 2 ./app -t 5 --json", 2),
        ("-N2 --queue=debug -- ./app", 3),
        ("--json -v ./app", 2),
        ("-vN 2 ./app", 2),
        ("", 0),
        ("-N", 1),
        ("-J -- ./app", 2),
        ("./app -- x", 0),
    ],
)
def test_the_programs_own_words_begin_at_the_first_that_is_no_flag(words: str, begin: int) -> None:
    assert program_start(SUBMIT, words.split())[0] == begin


def test_every_flag_has_one_line_of_help_and_its_own_spellings() -> None:
    spellings = [spelling for flag in JOB_FLAGS for spelling in flag.spellings]
    assert len(set(spellings)) == len(spellings)
    assert all(flag.help and "\n" not in flag.help for flag in JOB_FLAGS)


SAMPLES = {
    "time": "90",
    "array": "0-3",
    "begin": "16:00",
    "signal": "USR1",
    "dependency": ["1"],
    "mode": "mpi",
    "env": ["A=1"],
    "setup": ["true"],
}
#: These give a field in another way, or none.
OTHER_WAYS = {"ntasks", "gpus", "env_file", "no_env", "parameters", "site", "platform", "config", "json", "verbose"}
OTHER_WAYS |= {"wrap", "directives", "ignore_directives"}


def test_the_sites_messages_call_each_field_by_its_flag() -> None:
    flag_of_field = {}
    for flag in JOB_FLAGS:
        if flag.name not in OTHER_WAYS:
            text = True if flag.switch else SAMPLES.get(flag.name, "2")
            (field,) = fields(merge([FlagLayer({flag.name: text})]))
            flag_of_field[field] = flag
    flags = {flag.shown: flag for flag in JOB_FLAGS}
    flag_of_field |= {"ranks": flags["-n"], "gpu_kind": flags["-G"], "array_limit": flags["--array"]}
    assert set(FLAGS) == set(flag_of_field)
    for field, flag in flag_of_field.items():
        spellings = FLAGS[field].split("/")
        assert spellings == list(flag.spellings[: len(spellings)])


def test_lengths_of_time_are_short() -> None:
    told = [length(seconds) for seconds in (None, 0, 59, 75, 660, 11100, 187200)]
    assert told == ["", "0s", "59s", "1m15s", "11m", "3h05m", "2d04h"]


def test_control_characters_of_a_name_never_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from psij_parsl.cli.commands.status import COLUMNS

    TextRenderer().table(COLUMNS, [{"id": "1", "name": "a\x1b[2Jb", "state": "ACTIVE"}])
    assert "\x1b" not in capsys.readouterr().out


def test_a_tail_reads_on_and_begins_anew_when_the_file_was_cut(tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("of an earlier job\n")
    tail = Tail(file)
    assert tail.read() == b""
    file.write_text("one\n")
    assert tail.read() == b"one\n"
    with file.open("a") as more:
        more.write("two\n")
    assert (tail.read(), tail.read()) == (b"two\n", b"")
    file.write_text("1\n")
    assert tail.read() == b"1\n"


@pytest.mark.parametrize("text", ["", "a", "a\n", "a\nb", "a\nb\n", "\n\n\n", "x" * 70000 + "\nb\n" + "y\n" * 70000])
@pytest.mark.parametrize("lines", [0, 1, 2, 5])
def test_the_last_lines_are_found_from_the_end(tmp_path: Path, text: str, lines: int) -> None:
    file = tmp_path / "out"
    file.write_text(text)
    expected = "".join(text.splitlines(keepends=True)[-lines:]) if lines else ""
    assert last_lines(file, lines) == expected
    tail = Tail(file)
    tail.begin(lines)
    assert tail.read() == expected.encode()


def test_of_a_progress_bar_the_last_states_are_given(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"".join(b"%d %%\r" % percent for percent in range(100)))
    assert last_lines(tmp_path / "out", 2) == "98 %\r99 %\r"


# ---- job scripts -----------------------------------------------------------------------------------------------


def script(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_lines_of_a_script_are_flags_and_the_command_line_wins(tmp_path: Path) -> None:
    job = script(
        tmp_path / "job.sh",
        "#!/bin/sh\n# a comment\n#PSIJ -t 5 -J 'my job'\n#PSIJ --env WHO='a b'\n\n"
        'echo "$WHO" "$@" $0\n#PSIJ --bad\n',
    )
    done = psij("submit", "-t", "7", job, "-t", "1", "-N", "9")
    assert done.returncode == 0, done.stderr
    Path(job).write_text("#!/bin/sh\necho changed after the submission\n")
    assert psij("wait", "last").returncode == 0
    assert psij("logs", "last").stdout.startswith("a b -t 1 -N 9 ")
    told = json.loads(psij("info", "last", "--json").stdout)
    assert told["name"] == "my job"
    assert told["job"]["wall_time_min"] == 7


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("#PSIJ --quue x", "there is no option --quue"),
        ("#PSIJ -t 1:90:00", "-t 1:90:00"),
        ("#PSIJ -N 2 hostname", "'hostname' is not a flag"),
        ("#PSIJ -J 'open", "cannot be split"),
        ("#PSIJ --json", "--json cannot stand"),
        ("#PSIJ --dry-run", "--dry-run cannot stand"),
        ("#PSIJ -d aftr:1", "unknown kind"),
        ("#PSIJ --help", "--help cannot stand"),
    ],
)
def test_a_bad_line_of_a_script_is_named_by_file_and_number(tmp_path: Path, line: str, said: str) -> None:
    job = script(tmp_path / "job.sh", f"#!/bin/sh\n#PSIJ -t 5\n{line}\necho hi\n")
    done = psij_here("submit", job)
    assert done.returncode == 2
    sentence, _ = one_sentence_and_a_hint(done)
    assert f"{job}, line 3: " in sentence
    assert said in sentence


def test_behind_a_double_dash_the_lines_of_a_script_are_read_too(tmp_path: Path) -> None:
    job = script(tmp_path / "job.sh", "#!/bin/sh\n#PSIJ --env WORD=read\necho $WORD $PSIJ_JOB_MODE\n")
    for mode in (0o644, 0o755):
        Path(job).chmod(mode)
        done = psij("run", "-n", "2", "--", job)
        assert (done.returncode, done.stdout) == (0, "read script\n")


def test_a_script_that_is_not_executable_runs_by_its_first_line(tmp_path: Path) -> None:
    job = script(tmp_path / "job.py", "#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:])\n")
    assert psij("run", job, "a", "-t").stdout == "['a', '-t']\n"


def test_what_is_said_nowhere_comes_from_variables() -> None:
    said = {"PSIJ_RUN_TIME": "2h", "PSIJ_RUN_PLATFORM": "slurm", "PSIJ_RUN_QUEUE": "debug"}
    rendered = psij_here("render", "--", "true", **said).stdout
    assert "#SBATCH --time=02:00:00" in rendered
    assert "#SBATCH --partition=debug" in rendered
    assert "#SBATCH --partition=long" in psij_here("render", "-q", "long", "--", "true", **said).stdout
