"""Odd words on PBS: what is in the script's body arrives byte by byte, what is in a directive too, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState
from psij_parsl.errors import InvalidRequest
from psij_parsl.jobs.file_settings import FileSettings, JobPlace
from psij_parsl.jobs.job_files import render
from psij_parsl.providers.pbspro.template import PBSProTemplate
from psij_parsl.testing.tools import PATIENCE_S, ended
from tests.simulated.pbs.script import directives, split

Executor = Callable[..., BatchSchedulerExecutor]


@pytest.fixture
def executor(pbspro: Executor) -> BatchSchedulerExecutor:
    return pbspro(grace_s=0.5, settle_s=0.5)


HOSTILE = [
    "a b",
    "it's",
    'say "x"',
    "$HOME",
    "a;b",
    "a\\b",
    "tail\\",
    "a #b",
    "#",
    "a,b",
    "é",
    "a&b",
    "a^b",
    "*",
    "`x`",
    "%j",
    "a:b",
    "-x",
]


def test_hostile_words_arrive_unchanged(executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
    """As name, output, directory, environment value and argument; all of them are in the script's body."""
    jobs = {}
    for word in HOSTILE:
        folder = tmp_path / f"in {word}"
        folder.mkdir()
        text = 'printf "%s\\n" "$WORD" "$1" "$PWD"'
        jobs[word] = executor.submit(
            Job(
                command=["bash", "-c", text, "x", word],
                name=word,
                directory=folder,
                environment={"WORD": word},
                stdout=Path(f"out {word}"),
            )
        )
    for word, job in jobs.items():
        assert ended(job) is JobState.COMPLETED, (word, job.status())
        folder = tmp_path / f"in {word}"
        assert (folder / f"out {word}").read_text() == f"{word}\n{word}\n{folder}\n"
        assert job.name == word


FIELDS = ("project", "queue", "chunk", "resources", "group_list", "place", "mail_user", "filesystems")


@pytest.mark.parametrize("word", [*HOSTILE, "a\nb", "a\rb", "\u2028"])
@pytest.mark.parametrize("field", FIELDS)
def test_hostile_words_in_directives_arrive_unchanged_or_are_refused_with_the_rule(field: str, word: str) -> None:
    """What a directive says is read back by qsub's own rules."""
    said = f"system={word}" if field in ("chunk", "resources") else word
    values: dict[str, object] = (
        {field: said}
        if field in ("project", "queue")
        else {"parameters": {field: [said] if field in ("chunk", "resources") else said}}
    )
    job = Job(command=["true"], **values)  # type: ignore[arg-type]  # one field or another
    try:
        text = render(
            FileSettings(template=PBSProTemplate, launcher="single"), job, JobPlace("j1", "psij:j1", Path("/f"))
        )
    except InvalidRequest as error:
        refusal = error.message
    else:
        words = [split(line) for line in directives(text)]
        assert any(said in part for line in words for part in line)
        return
    assert refusal.startswith(field)
    assert "refused" in refusal
    assert "must" in refusal


@pytest.mark.parametrize("place", ["sp ace", "qu'ote", "é", "back\\slash", "co:lon", "ca^ret", "com,ma"])
def test_a_spool_of_any_name_will_do(pbspro: Executor, tmp_path: Path, place: str) -> None:
    executor = pbspro(spool=tmp_path / place)
    assert executor.submit(Job(command=["echo", "x"])).result(PATIENCE_S) == "x\n"
