"""The screens of `list` at 80 and 200 columns, with and without colours.

`GOLDEN=write pytest tests/cli/test_list_screens.py` writes them anew, to `tests/golden/screens/`. ESC is written as \\e.
"""

from __future__ import annotations

import os
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.cli.output import short_moment
from psij_parsl.jobs.record import JobRecord
from psij_parsl.jobs.record_lines import line_of
from psij_parsl.states import EndReason, JobState, JobStatus
from tests.cli.terminals import on_terminal

GOLDEN = Path(__file__).parents[1] / "golden" / "screens"
LONG_AGO = datetime(2024, 3, 5, 12).timestamp()
AGO_S = 90 * 60 + 20
C, F = JobState.COMPLETED, JobState.FAILED
SHOWN = "11-27 12:34"  # in place of the time at which the open jobs were submitted
OPEN = {  # what squeue says of each: id, state, start, nodes, reason
    "6fr0000005": ("105", "RUNNING", -1820, "n[1-4]", "None"),
    "6fr0000006": ("106", "PENDING", "2099-01-02T03:04:05", "", "Priority"),
    "6fr0000007": ("107", "PENDING", "N/A", "", "JobHeldUser"),
    "6fr0000008": ("108", "PENDING", "N/A", "", "ReqNodeNotAvail, UnavailableNodes:node[0001-0016,0100-0250]"),
    "6fr0000009": ("109", "PENDING", "N/A", "", "QOSMaxJobsPerUserLimit"),
}
ARRAY = "6fr0000009"


@pytest.fixture
def submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> float:
    """Jobs that have ended and jobs in a Slurm that a stand-in speaks for; when these were submitted."""
    for name in [name for name in os.environ if name.startswith(("SLURM", "PSIJ"))]:
        monkeypatch.delenv(name)
    home = tmp_path / "state"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("PSIJ_PARSL_HOME", str(home))
    at = time.time() - AGO_S

    def line(job_id: str, name: str, submitted: float = LONG_AGO, **fields: Any) -> bytes:
        times = {"intended": submitted, "committed": submitted}
        place = f"{home}/jobs/{job_id}"
        return line_of(
            JobRecord(job_id, "slurm", place, name=name, **{"native": f"10{job_id[-1]}", **times, **fields})
        )

    def end(state: JobState, minutes: int, **fields: Any) -> dict[str, JobStatus]:
        return {"": JobStatus(state, started=LONG_AGO + 600, ended=LONG_AGO + 600 + 60 * minutes, **fields)}

    elements = {
        str(index): JobStatus(C, exit_code=0, started=LONG_AGO + index, ended=LONG_AGO + 50) for index in (0, 1)
    }
    missing = "this directory is not there on the node: /lustre/project/p1/data/of/alice/run-17/input"
    lines = [
        line("6fr0000001", "prepare", ended=end(C, 4, exit_code=0), site="perlmutter"),
        line("6fr0000002", "train-with-a-very-long-name-of-a-case", ended=end(F, 240, reason=EndReason.TIMEOUT)),
        line("6fr0000003", "copy", ended=end(F, 0, reason=EndReason.LAUNCH_FAILED, message=missing)),
        line("6fr0000004", "sweep", ended=elements, array=(0, 1)),
        *(line(job_id, f"case-{job_id[-1]}", at) for job_id in OPEN if job_id != ARRAY),
        line(ARRAY, "many", at, array=tuple(range(1000))),
    ]
    (home / "journal.jsonl").write_bytes(b"".join(each + b"\n" for each in lines))
    rows = []
    for job_id, (native, state, start, nodes, reason) in OPEN.items():
        born, begun = (time.strftime("%FT%T", time.localtime(moment)) for moment in (at, time.time() - 1820))
        start = start if isinstance(start, str) else begun
        for key in [f"{native}_{index}" for index in range(1000)] if job_id == ARRAY else [native]:
            rows.append(f"{key}/{key}|{state}|0|0|{born}|{start}|N/A|{nodes}|psij:{job_id}|/dev/null|{reason}|.")
    (tmp_path / "answer").write_text("\n".join(rows) + "\n")
    (tmp_path / "squeue").write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    if len(short_moment(at)) != len(SHOWN):
        pytest.skip("this year has just begun: the day of submission has another width")
    return at


@pytest.mark.parametrize("colour", [False, True], ids=["plain", "colours"])
@pytest.mark.parametrize("columns", [80, 200])
def test_the_screen_is_the_golden_one(columns: int, colour: bool, submitted: float) -> None:
    lines = on_terminal(columns, "list", "--all", colour=colour)
    text = "".join(f"{line}\n" for line in lines).replace(short_moment(submitted), SHOWN).replace("\x1b", "\\e")
    golden = GOLDEN / f"list-{columns}{'-colours' if colour else ''}.txt"
    if os.environ.get("GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()
    plain = [re.sub(r"\\e\[\d*m", "", line) for line in text.splitlines()]
    assert max(map(len, plain)) <= columns
    assert "…" not in text
    assert ("\\e[" in text) == colour


def test_both_screens_tell_all_of_the_reasons(submitted: float) -> None:
    wide, narrow = (GOLDEN / f"list-{columns}.txt" for columns in (200, 80))
    told = []
    for golden in (wide, narrow):
        head, *lines = golden.read_text().splitlines()
        told.append("".join(line[head.index("REASON") :] for line in lines).replace(" ", ""))
    assert told[0] == told[1]
