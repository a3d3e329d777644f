"""Descriptions of jobs, as condor_submit of a real HTCondor understands them and as we do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, JobState
from psij_parsl.platforms.registry import platform
from psij_parsl.testing.tools import PATIENCE_S
from tests.cli.helpers import psij
from tests.clusters.managed import Remote

pytestmark = pytest.mark.slow

#: What each makes is compared, job by job.
DESCRIPTIONS = (
    "arguments = a 'b c' %d $5\noutput = o.$(Cluster).$(Process)\nqueue",
    "arguments = \"a 'b  c' \"\"d\"\" e''f 'it''s'g ''\"\nenvironment = \"A='x ''y' B=$(Process)\"\nqueue 2",
    'arguments = \\"b c\\" -x\nenvironment = A=1;B=x y\nqueue',
    "arguments = [$(x)][$(y)]\ninitialdir = run_$(Process)\nerror = e.$(Row)\nqueue x, y from list.txt",
    "arguments = [$(x)]$(Step)$(ItemIndex) $(Row)\nX = 3\nqueue 2 x in (a, b c)",
    "arguments = $(f) $Fn(f) $Fnx(f)\ninput = $(f)\nqueue f matching files *.dat",
    "arguments = $(f)\nqueue f matching *.dat",
    "arguments = $(x) $(Row)$(ItemIndex)$(Process)\nqueue x in [1:] (a,b,c)",
    "A=$(B) 1\nB=z\nA=$(A)2\narguments = $(A) $(undef:dd) $Fd(F)$Fp(F)$Fx(F)\nF=/x/y/z.tar.gz\nqueue",
    "arguments = a \\\n   b\n# c \\\nN = 2\nqueue $(N) * 2",
    "arguments = other\nqueue arguments, output from (\n a o1\n 'b' o2\n)",
    "arguments = $(initialdir)\nqueue initialdir in (run_0, run_1)",
    "arguments = [$(y)] $(x)\nqueue x, y from (\n  a b, c \n # nobody\n d,\te\n)",
)


def test_each_makes_the_jobs_that_condor_submit_makes(
    htcondor: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("run.sh", "a.dat", "b.tar.dat"):
        Path(name).write_text("#!/bin/sh\n")
    Path("list.txt").write_text("# a\nb , c\nd,e f\n")
    for number in range(3):
        Path(f"run_{number}").mkdir()
    Path("c.dat").mkdir()
    table = platform("htcondor").directive_table
    theirs = {text: jobs(f"executable = run.sh\n{text}\n") for text in DESCRIPTIONS}
    made = {}
    for text in DESCRIPTIONS:
        reading = table.read(f"executable = run.sh\n{text}\n")
        assert reading.untranslatable() == [], text
        words = dict(reading.words)
        elements = words.pop("elements", {}).values() or [{}]
        made[text] = [ours({**words, **own}, tmp_path) for own in elements]
        if len(made[text]) == 1:  # all are the same
            made[text] *= len(theirs[text])
    assert made == theirs


def ours(words: dict[str, Any], here: Path) -> dict[str, Any]:
    """A job of ours as an ad has it; the cluster of a dry run is 1."""
    files = {"In": "stdin", "Out": "stdout", "Err": "stderr"}
    return {
        "words": [*words["command"][1:]],
        "environment": words.get("environment", {}),
        "Iwd": str(here / words.get("directory", "")),
        **{name: words.get(word, "/dev/null").replace("{array}", "1") for name, word in files.items()},
    }


def jobs(text: str) -> list[dict[str, Any]]:
    """The jobs of a description, as condor_submit says that it would send them."""
    Path("job.sub").write_text(text)
    command = ["condor_submit", "-verbose", "-dry-run", "-", "job.sub"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, text + done.stderr
    found: list[dict[str, Any]] = []
    for ad in re.findall(r"^\*\* Proc [\d.]+:\n(.*?)\n\n", done.stdout, re.MULTILINE | re.DOTALL):
        said = dict(re.findall(r'^(\w+) = "?(.*?)"?$', ad, re.MULTILINE))
        values = {name: re.sub(r'\\(["\\])', r"\1", value) for name, value in said.items()}
        words = values["Args"].split() if "Args" in values else quoted_words(values.get("Arguments", ""))
        pairs = [pair.partition("=") for pair in quoted_words(values.get("Environment", ""))]
        found.append(
            {
                "words": [word.replace('\\"', '"') for word in words],
                "environment": {name: value for name, _, value in pairs},
                **{name: values[name] for name in ("Iwd", "In", "Out", "Err")},
            }
        )
    return found


def quoted_words(text: str) -> list[str]:
    """The words of an ad's text, in which single quotes hold blanks together."""
    quoted = re.compile(r"'((?:[^']|'')*)'")
    words = re.findall(r"(?:'(?:[^']|'')*'|[^\s'])+", text)
    return [quoted.sub(lambda match: match[1].replace("''", "'"), word) for word in words]


def test_its_jobs_run_with_what_it_says(htcondor: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.sh").write_text('#!/bin/sh\necho "$(basename "$PWD") [$*] $MODE"; exit "$2"\n')
    Path("run.sh").chmod(0o755)
    for number in range(2):
        Path(f"run_{number}").mkdir()
    Path("job.sub").write_text(
        "universe = vanilla\nexecutable = run.sh\narguments = $(x) $(Process)\nenvironment = MODE=$(x)\n"
        "initialdir = run_$(Process)\noutput = out.$(Cluster)\nrequest_memory = 100 MB\nrank = Memory\n"
        '+ProjectName = "lab"\nqueue x in (a b)\n'
    )
    executor = BatchSchedulerExecutor("htcondor")
    done = psij("submit", "--platform", "htcondor", "job.sub", PSIJ_PARSL_HOME=str(executor.journal.home))
    assert done.returncode == 0, done.stderr
    (job,) = (one for one in executor.list() if one.id == done.stdout.strip())
    asked = ["condor_q", job.native_id, "-af:r", "ProjectName", "RequestMemory", "Rank"]
    ads = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout
    assert {*ads.splitlines()} <= {'"lab" 100 Memory'}
    assert job.wait(PATIENCE_S).state is JobState.FAILED
    assert [status.exit_code for status in executor.status([f"{job.id}_0", f"{job.id}_1"])] == [0, 1]
    assert {path.parent.name: path.read_text() for path in tmp_path.glob(f"run_*/out.{job.native_id}")} == {
        "run_0": "run_0 [a 0] a\n",
        "run_1": "run_1 [b 1] b\n",
    }
