"""The screens of commands at 80 and 200 columns, with and without colours.

`GOLDEN=write pytest tests/cli/test_screens.py` writes them anew, to `tests/golden/screens/`. ESC is written as \\e.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from psij_parsl import Job
from psij_parsl.cli.output import short_moment
from psij_parsl.jobs.record import JobRecord
from psij_parsl.jobs.record_lines import line_of
from psij_parsl.states import EndReason, JobState, JobStatus
from tests.cli.terminals import Terminal, on_terminal

GOLDEN = Path(__file__).parents[1] / "golden" / "screens"
LONG_AGO = datetime(2024, 3, 5, 12).timestamp()
AGO_S = 90 * 60 + 30
RUNS_S = 30 * 60 + 20
HOME = "/home/alice/.psij-run"
C, F = JobState.COMPLETED, JobState.FAILED
SHOWN = "11-27 12:34"  # in place of the time at which the open jobs were submitted
OPEN = {  # what squeue says of each: id, state, start, nodes, reason
    "6fr0000005": ("105", "RUNNING", None, "n[1-4]", "None"),
    "6fr0000006": ("106", "PENDING", "2099-01-02T03:04:05", "", "Priority"),
    "6fr0000007": ("107", "PENDING", "N/A", "", "JobHeldUser"),
    "6fr0000008": ("108", "PENDING", "N/A", "", "ReqNodeNotAvail, UnavailableNodes:node[0001-0016,0100-0250]"),
    "6fr0000009": ("109", "PENDING", "N/A", "", "QOSMaxJobsPerUserLimit"),
}
ARRAY = "6fr0000009"


class Jobs(NamedTuple):
    """A state directory, when the open jobs in it were submitted, and when the one that runs began."""

    home: Path
    at: float
    begun: float

    def timeless(self, text: str) -> str:
        """A screen without what differs from day to day, and from place to place."""
        text = text.replace(str(self.home), HOME)
        for moment, instead in ((self.at, SHOWN), (self.begun, "11-27 13:34")):
            minute = time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
            text = re.sub(minute + r":\d\d", f"2026-{instead}:00", text)
            text = text.replace(short_moment(moment), instead)
        return text


#: Of a job of two nodes with four cores each, of which two were busy.
_USED: Mapping[str, Any] = {
    "cpu_s": 28000.0,
    "core_s": 115200.0,
    "cores": 8,
    "memory_bytes": 812 << 20,
    "memory_asked_bytes": 1 << 30,
    "memory_of": "NODE",
}


@pytest.fixture
def short_home() -> Iterator[Path]:
    """A state directory whose path has always the same length."""
    with TemporaryDirectory(prefix="screens-", dir="/tmp") as name:
        assert len(name) == len(HOME)
        yield Path(name)


@pytest.fixture
def submitted(short_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Jobs that have ended, and jobs in a Slurm that a stand-in speaks for."""
    home = short_home
    monkeypatch.setenv("PSIJ_PARSL_HOME", str(home))
    at, begun = time.time() - AGO_S, time.time() - RUNS_S

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
        line(
            "6fr0000002",
            "train-with-a-very-long-name-of-a-case",
            ended=end(F, 240, reason=EndReason.TIMEOUT),
            used={"": dict(_USED)},
        ),
        line("6fr0000003", "copy", ended=end(F, 0, reason=EndReason.LAUNCH_FAILED, message=missing)),
        line("6fr0000004", "sweep", ended=elements, array=(0, 1)),
        *(line(job_id, f"case-{job_id[-1]}", at) for job_id in OPEN if job_id != ARRAY),
        line(ARRAY, "many", at, array=tuple(range(1000))),
    ]
    (home / "journal.jsonl").write_bytes(b"".join(each + b"\n" for each in lines))
    rows = []
    for job_id, (native, state, start, nodes, reason) in OPEN.items():
        born, running = (time.strftime("%FT%T", time.localtime(moment)) for moment in (at, begun))
        start = start or running
        for key in [f"{native}_{index}" for index in range(1000)] if job_id == ARRAY else [native]:
            rows.append(f"{key}/{key}|{state}|0|0|{born}|{start}|N/A|{nodes}|psij:{job_id}|/dev/null|{reason}|.")
    (tmp_path / "answer").write_text("\n".join(rows) + "\n")
    (tmp_path / "squeue").write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    if len(short_moment(at)) != len(SHOWN):
        pytest.skip("this year has just begun: the day of submission has another width")
    described(home)
    return Jobs(home, at, begun)


def described(home: Path) -> None:
    """What was submitted as one of the jobs, and its files."""
    folder = home / "jobs" / "6fr0000005"
    folder.mkdir(parents=True)
    command = ["/home/alice/bin/solve", "--mesh", "wing of a plane.msh", "--steps", "20000", "--save-every", "500"]
    job = Job(command=command, directory="/home/alice/runs/17", num_nodes=4, ranks_per_node=8, wall_time_min="4h")
    (folder / "job.json").write_text(json.dumps({"job": job.to_dict()}))
    (folder / "script.sh").touch()


COMMANDS = {
    "list": ["list", "--all"],
    "status": ["status"],
    "info": ["info", "6fr0000005", "6fr0000002", "6fr0000003", "6fr0000008"],
}
AT = pytest.mark.parametrize(("columns", "colour"), [(80, False), (80, True), (200, False), (200, True)])


def golden_is(name: str, text: str) -> None:
    """Compare a screen with the golden one, or write that."""
    golden = GOLDEN / f"{name}.txt"
    text = text.replace("\x1b", "\\e")
    if os.environ.get("GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def screen_name(command: str, columns: int, colour: bool) -> str:
    return f"{command}-{columns}{'-colours' if colour else ''}"


def plain(lines: Sequence[str]) -> list[str]:
    return [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]


@AT
@pytest.mark.parametrize("command", COMMANDS)
def test_the_screen_is_the_golden_one(command: str, columns: int, colour: bool, submitted: Jobs) -> None:
    lines = on_terminal(columns, *COMMANDS[command], colour=colour)
    text = submitted.timeless("".join(f"{line}\n" for line in lines))
    golden_is(screen_name(command, columns, colour), text)
    assert all(len(line) <= columns or len(line.split()) == 1 for line in plain(lines))
    assert "…" not in text
    assert ("\x1b[" in text) == colour


@AT
def test_the_live_screen_is_the_golden_one(columns: int, colour: bool, submitted: Jobs) -> None:
    terminal = Terminal("status", "--watch", columns=columns, NO_COLOR="" if colour else "1")
    terminal.until(lambda: "q quit" in terminal.shown)
    terminal.type("q")
    assert terminal.close() == 0
    assert len(terminal.screen) == 24
    assert max(map(len, plain(terminal.screen))) <= columns
    assert colour == any(re.search(r"\x1b\[[\d;]*3\dm", line) for line in terminal.screen)
    lines = terminal.screen if colour else plain(terminal.screen)
    text = submitted.timeless("".join(f"{line.rstrip()}\n" for line in lines))
    golden_is(screen_name("watch", columns, colour), re.sub(r"\b\ds ago", "1s ago", text))


@AT
def test_the_live_screen_with_an_unfolded_array_is_the_golden_one(
    columns: int, colour: bool, submitted: Jobs
) -> None:
    terminal = Terminal("status", "--watch", columns=columns, NO_COLOR="" if colour else "1")
    terminal.until(lambda: "q quit" in terminal.shown)
    terminal.type("Gu")
    terminal.until(lambda: f"{ARRAY}_2" in terminal.shown)
    terminal.type("jj")
    terminal.until(lambda: f"> {ARRAY}_1" in terminal.shown)
    terminal.type("q")
    assert terminal.close() == 0
    lines = terminal.screen if colour else plain(terminal.screen)
    text = submitted.timeless("".join(f"{line.rstrip()}\n" for line in lines))
    golden_is(screen_name("watch-unfolded", columns, colour), re.sub(r"\b\d+s ago", "1s ago", text))


def test_both_screens_tell_all_of_the_reasons(submitted: Jobs) -> None:
    wide, narrow = (GOLDEN / f"list-{columns}.txt" for columns in (200, 80))
    told = []
    for golden in (wide, narrow):
        head, *lines = golden.read_text().splitlines()
        told.append("".join(line[head.index("REASON") :] for line in lines).replace(" ", ""))
    assert told[0] == told[1]


@AT
def test_what_the_doctor_says_is_the_golden_screen(
    columns: int, colour: bool, submitted: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a host with nothing but a `squeue`, and a site file that is wrong. Rows that differ from host to host are left out."""
    sites = submitted.home / "sites"
    sites.mkdir()
    (sites / "granite.toml").write_text('platform = "slurm"\n[queues.debug]\nmax_nodse = 4\n')
    for name, value in {"PATH": str(tmp_path), "PSIJ_SITE": "slurm", "PSIJ_PARSL_SITE_PATH": str(sites)}.items():
        monkeypatch.setenv(name, value)
    lines = on_terminal(columns, "doctor", colour=colour)
    rows: list[str] = []
    for line, bare in zip(lines, plain(lines), strict=True):
        if bare.startswith(" "):  # of the row before
            rows[-1] += f"{line}\n"
        else:
            rows.append(f"{line}\n")
    kept = [row for row in rows if not re.match(r"\S+ +(python|packages|disk|state directory) ", plain([row])[0])]
    assert len(rows) - len(kept) == 4
    text = re.sub(r"answers in \d\.\d\d s", "answers in 0.01 s", "".join(kept))
    golden_is(screen_name("doctor", columns, colour), submitted.timeless(text))
    assert all(len(line) <= columns or len(line.split()) == 1 for line in plain(lines))
