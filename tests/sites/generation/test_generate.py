"""`site generate`: the file, and what it says when there can be none."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import sites
from psij_parsl.cli.site_checks import faults
from psij_parsl.platforms.tools import user_name
from psij_parsl.sites import Site
from psij_parsl.testing.replay import Recorded
from tests.cli.helpers import one_sentence_and_a_hint, psij_here
from tests.providers.readings import RECORDED
from tests.sites.generation.answers import Answers


def slurm(answers: Answers) -> Answers:
    """Slurm with two node types, asked by whoever runs this in place of root."""
    answers.recorded("slurm/site/two-types.*.txt")
    own = Recorded.read(RECORDED / "slurm/site/two-types.assoc.txt").output
    return answers.say([word.replace("=root", f"={user_name()}") for word in own.argv], own.stdout)


def generated(platform: str, file: Path, *more: str) -> tuple[Site, dict[str, Any]]:
    """The site of a file that was generated, which has no faults as it stands, and its document."""
    done = psij_here("site", "generate", "--platform", platform, "-o", str(file), *more)
    assert (done.returncode, done.stdout) == (0, f"{file}\n"), done.stderr
    site = sites.find(None, file)
    assert [str(fault) for fault in faults(site)] == []
    return site, tomllib.loads(file.read_text())


# ---- the file -----------------------------------------------------------------------------------------------


def test_the_file_says_what_a_person_should_fill_in(answers: Answers, folder: Path) -> None:
    slurm(answers)
    generated("slurm", folder / "two.toml")
    text = (folder / "two.toml").read_text()
    for key in ("description", "url", "contact", "verified", "launcher", "required", "spool"):
        assert f"\n# {key} = " in text
    assert "\n# auto = false  # its name is that of a queue for tests: decide whether it is one\n" in text
    assert text.count("\n# Decide on `auto` and `charge` of each queue before others use this file.") == 1


def test_each_line_that_is_marked_can_be_uncommented(answers: Answers, folder: Path) -> None:
    slurm(answers)
    file = folder / "two.toml"
    generated("slurm", file)
    lines = file.read_text().splitlines()
    marked = [at for at, line in enumerate(lines) if re.match(r"# \w+ = ", line)]
    assert len(marked) > 5
    for at in marked:
        lines[at] = lines[at].removeprefix("# ")
    file.write_text("\n".join(lines))
    assert sites.find(None, file).contact == "whom its users ask"


def test_without_a_file_it_is_printed(answers: Answers, folder: Path) -> None:
    slurm(answers)
    done = psij_here("site", "generate", "--platform", "slurm")
    assert tomllib.loads(done.stdout)["name"] == "accounted"
    assert not list(folder.iterdir())


def test_json_has_the_text_and_the_name(answers: Answers, folder: Path) -> None:
    slurm(answers)
    done = psij_here("site", "generate", "--platform", "slurm", "--name", "mine", "--json")
    said = json.loads(done.stdout)
    assert (said["name"], said["platform"], said["file"]) == ("mine", "slurm", None)
    assert tomllib.loads(said["text"])["name"] == "mine"


def test_a_name_that_is_not_the_files_is_written_into_it(answers: Answers, folder: Path) -> None:
    slurm(answers)
    site, document = generated("slurm", folder / "draft.toml", "--name", "mine")
    assert (site.name, document["name"]) == ("mine", "mine")
    site, document = generated("slurm", folder / "mine.toml")
    assert (site.name, "name" in document) == ("mine", False)


def test_a_file_is_overwritten_only_by_force(answers: Answers, folder: Path) -> None:
    slurm(answers)
    file = folder / "two.toml"
    file.write_text("mine\n")
    done = psij_here("site", "generate", "--platform", "slurm", "-o", str(file))
    said, hint = one_sentence_and_a_hint(done)
    assert (done.returncode, file.read_text(), answers.calls) == (2, "mine\n", [])
    assert "exists already" in said
    assert "--force" in hint
    generated("slurm", file, "--force")


# ---- where there can be none -----------------------------------------------------------------------------------


def test_a_manager_that_does_not_answer_leaves_no_file(answers: Answers, folder: Path) -> None:
    down = "slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)\n"
    answers.say(("scontrol", "show", "config"), "", down, rc=1)
    done = psij_here("site", "generate", "--platform", "slurm", "-o", "x.toml")
    said, hint = one_sentence_and_a_hint(done)
    assert done.returncode == 4
    assert "Unable to contact slurm controller" in said
    assert "nothing was written" in hint
    assert not list(folder.iterdir())


def test_a_manager_that_dies_between_two_answers_leaves_no_file(answers: Answers, folder: Path) -> None:
    answers.recorded("slurm/site/two-types.config.txt")
    done = psij_here("site", "generate", "--platform", "slurm", "-o", "x.toml")
    assert done.returncode == 4
    one_sentence_and_a_hint(done)
    assert not list(folder.iterdir())


def test_a_manager_without_nodes_and_queues_leaves_no_file(answers: Answers, folder: Path) -> None:
    slurm(answers).say(("scontrol", "-o", "show", "node"), "No nodes in the system\n")
    answers.say(("scontrol", "-o", "show", "partition"), "No partitions in the system\n")
    done = psij_here("site", "generate", "--platform", "slurm", "-o", "x.toml")
    said, _ = one_sentence_and_a_hint(done)
    assert (done.returncode, "Slurm told of no nodes and no queues" in said) == (4, True)
    assert not list(folder.iterdir())


def test_missing_commands_are_named(folder: Path) -> None:
    done = psij_here("site", "generate", "--platform", "slurm", "-o", "x.toml")
    said, _ = one_sentence_and_a_hint(done)
    assert done.returncode == 4
    assert "'scontrol' is not on PATH" in said


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("--platform", "nosuch"), 3, "nosuch"),
        (("--platform", "cobalt"), 4, "does not ask its manager"),
        (("--name", "a b"), 2, "cannot be a site's name"),
        (("-o", "two"), 2, "cannot be a site's file"),
        (("-o", "no/such/two.toml"), 2, "no folder that can be written to"),
        (("-o", "a b.toml"), 2, "cannot be a site's file"),
    ],
)
def test_a_wrong_request_is_one_sentence(words: tuple[str, ...], code: int, part: str, folder: Path) -> None:
    done = psij_here("site", "generate", *words)
    said, _ = one_sentence_and_a_hint(done)
    assert (done.returncode, part in said) == (code, True), done.stderr
