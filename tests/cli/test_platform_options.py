"""`psij-run platform options`: what the options of a submit command are here, and what a script's lines ask."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from psij_parsl.platforms.registry import platforms
from tests.cli.helpers import psij_here

ROOT = Path(__file__).parents[2]
WITH_TABLE = [name for name, found in platforms(plugins=False) if getattr(found, "directives", "")]


@pytest.mark.parametrize("name", WITH_TABLE)
def test_each_option_of_a_submit_command_is_told(name: str) -> None:
    told = json.loads(psij_here("platform", "options", name, "--json").stdout)
    assert told["command"]
    assert len(told["options"]) > 15
    assert {"option", "means", "say", "elsewhere"} == told["options"][0].keys()
    shown = psij_here("platform", "options", name).stdout.splitlines()
    assert len(shown) == len(told["options"]) + 1
    assert shown[0].split() == ["OPTION", "MEANS", "HERE", "ON", "ANOTHER", "MANAGER"]


def test_a_scripts_lines_are_told_one_by_one() -> None:
    script = str(ROOT / "tests/scripts/slurm/hybrid.csh")
    told = json.loads(psij_here("platform", "options", "slurm", "--script", script, "--json").stdout)
    assert told["words"]["num_nodes"] == 4
    rows = {row["option"]: row for row in told["options"]}
    assert rows["-N 4"] == {
        "line": 3,
        "option": "-N 4",
        "means": "num_nodes=4",
        "say": "-N",
        "elsewhere": "means the same",
    }
    assert rows["--nice=100"]["elsewhere"] == "can be left out"
    assert rows["--switches=2@10:00"]["elsewhere"] == "has no equivalent"


@pytest.mark.parametrize("name", WITH_TABLE)
def test_a_script_without_option_lines_is_said_to_have_none(name: str, tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_text("#!/bin/sh\necho\n")
    done = psij_here("platform", "options", name, "--script", str(tmp_path / "job.sh"))
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert "job.sh has no option lines of " in done.stderr


def test_a_description_of_htcondor_is_read_as_it_is() -> None:
    script = str(ROOT / "tests/scripts/htcondor/gpu.sub")
    done = psij_here("platform", "options", "htcondor", "--script", script, "--json")
    told = json.loads(done.stdout)
    assert (told["words"]["memory_per_node"], told["words"]["project"], done.stderr) == (16384, "bio.train", "")


def test_a_platform_without_option_lines_and_a_file_that_is_no_script_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\0ELF")
    for words, said in {
        ("local",): "reads no option lines",
        ("slurm", "--script", str(tmp_path / "none")): "cannot be read: No such file",
        ("slurm", "--script", str(tmp_path)): "cannot be read",
        ("slurm", "--script", str(tmp_path / "binary")): "is no script",
        ("nosuch",): "nosuch",
    }.items():
        done = psij_here("platform", "options", *words)
        assert done.returncode in (2, 3)
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 2


def test_the_pages_list_of_flags_says_what_the_tables_say() -> None:
    """Each row of "Which flag is it?": the option's word, or parameter, is that of the flag in the last column."""
    from psij_parsl.job_size import FLAGS
    from psij_parsl.platforms.registry import platform

    page = (ROOT / "docs/how-to/my-job-scripts.md").read_text()
    rows = re.findall(r"^\| (`.*`|) \| (`.*`|.*chunk|) \| `(.*)` \|$", page, re.MULTILINE)
    checked = 0
    for *said, ours in rows:
        for name, text in zip(("slurm", "pbspro"), said, strict=True):
            match = re.fullmatch(r"`(-[^`]*)`", text)
            if not match or ours.startswith("$"):
                continue
            table = platform(name).directive_table
            (one,) = table.reading([(1, match[1])]).directives
            parameter = re.match(r"-X (\w+)=", ours)
            if parameter:
                assert one.option.parameter == parameter[1], text
            elif not any(word.startswith("_") for word in one.option.sets):
                flags = [FLAGS[word] for word in one.option.sets if word in FLAGS]
                assert ours.split()[0] in " ".join([*flags, one.option.way]).replace("/", " "), text
            checked += 1
    assert checked > 20


def test_lines_that_stand_where_none_counts_are_named(tmp_path: Path) -> None:
    script = tmp_path / "late.sh"
    script.write_text("#!/bin/bash\n#SBATCH -N 2\nset -e\n#SBATCH -n 3\necho\n#SBATCH -t 5\n")
    done = psij_here("platform", "options", "slurm", "--script", str(script))
    assert "-N 2" in done.stdout
    assert done.stderr == f"psij-run: {script}: lines 4, 6 stand where sbatch reads no options\n"


def test_what_a_chunk_comes_to_is_told() -> None:
    script = str(ROOT / "tests/scripts/torque/gpus.sh")
    told = json.loads(psij_here("platform", "options", "torque", "--script", script, "--json").stdout)
    (nodes,) = [row for row in told["options"] if row["option"].startswith("-l nodes")]
    assert {*nodes["means"].split(", ")} == {"num_nodes=1", "ranks_per_node=8", "gpus_per_node=2", "cpus_per_rank=1"}


def test_what_is_told_to_be_said_here_is_taken(tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text(
        "#!/bin/bash\n#SBATCH --signal=B:USR1@300 --mem-per-cpu=200M --mem=0 --array=0-9%3 --requeue\n"
        "#SBATCH --hint=nomultithread --nice=-5 --qos=high -G 4 --mail-type=END,FAIL\n"
    )
    told = json.loads(psij_here("platform", "options", "slurm", "--script", str(script), "--json").stdout)
    said = {row["option"]: row["say"] for row in told["options"]}
    assert said == {
        "--signal=B:USR1@300": "--signal",
        "--mem-per-cpu=200M": "--mem-per-cpu",
        "--mem=0": "--mem",
        "--array=0-9%3": "--array",
        "--requeue": "-X requeue=yes",
        "--hint=nomultithread": "-X directives=--hint=nomultithread",
        "--nice=-5": "-X directives=--nice=-5",
        "--qos=high": "-X qos=high",
        "-G 4": "-G",
        "--mail-type=END,FAIL": "-X mail_type=END,FAIL",
    }
    for option, text in said.items():
        if text.startswith("-X"):
            done = psij_here("render", "--platform", "slurm", *text.split(" ", 1), "--", "true")
            assert f"#SBATCH {option}\n" in done.stdout, done.stderr
