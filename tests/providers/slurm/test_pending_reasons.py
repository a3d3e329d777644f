"""Slurm's reasons why a job waits, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from psij_parsl.platforms.registry import platform
from psij_parsl.providers.slurm.pending_reasons import in_words
from psij_parsl.providers.slurm.records import read_squeue

REASONS = [line for line in (Path(__file__).parent / "reasons.txt").read_text().splitlines() if "#" not in line]
ENDS = {"InactiveLimit", "NonZeroExitCode", "OutOfMemory", "RaisedSignal", "TimeLimit"}  # why jobs ended
WORDS = {
    "Priority": "others have a higher priority",
    "QOSMaxJobsPerUserLimit": "its QOS limits running jobs per user",
    "QOSMaxSubmitJobPerUserLimit": "its QOS limits submitted jobs per user",
    "QOSGrpCpuLimit": "its QOS limits cores in all",
    "QOSMinGRES": "its QOS asks for more GPUs or other devices",
    "AssocGrpCPUMinutesLimit": "its account limits core minutes in all",
    "AssocGrpCPURunMinutesLimit": "its account limits core minutes of running jobs in all",
    "AssocMaxWallDurationPerJobLimit": "its account limits wall time per job",
    "MaxGRESPerAccount": "its QOS limits GPUs or other devices per account",
    "MaxMemoryRunMinsPerUser": "its QOS limits memory minutes of running jobs per user",
    "ReqNodeNotAvail, UnavailableNodes:c[1-2]": "nodes that it needs are not available: UnavailableNodes:c[1-2]",
    "ReqNodeNotAvail,_Reserved_for_maintenance": "nodes that it needs are not available: Reserved_for_maintenance",
    "Nodes_required_for_job_are_DOWN,_DRAINED": "Nodes required for job are DOWN, DRAINED",
    "job_requeued_in_held_state": "job requeued in held state",
    "None": "",
    "": "",
    "SomethingNew": "SomethingNew",
}


@pytest.mark.parametrize("reason", WORDS)
def test_a_reason_in_words(reason: str) -> None:
    assert in_words(reason) == WORDS[reason]


def test_each_reason_that_slurm_has_is_known() -> None:
    assert len(REASONS) > 200
    unknown = {reason for reason in REASONS if in_words(reason) == reason}
    assert unknown == ENDS
    assert not [reason for reason in REASONS if "_" in in_words(reason) or "  " in in_words(reason)]


def test_the_platform_says_it() -> None:
    assert platform("slurm").scheduler_class().in_words("BeginTime") == "waits for its begin"
    assert platform("lsf").scheduler_class().in_words("as it is") == "as it is"


def test_the_start_of_a_job_that_waits_is_what_the_scheduler_expects() -> None:
    line = "13|PENDING|0|0|2026-11-26T06:44:09|{}|2026-11-26T06:55:49||(null)|/dev/null|Resources|."
    waits = read_squeue(line.format("2026-11-26T06:45:49"))
    assert waits is not None
    assert waits.status.started is None
    assert (
        waits.status.expected
        == read_squeue(line.replace("PENDING", "RUNNING").format("2026-11-26T06:45:49")).status.started
    )  # type: ignore[union-attr]  # it is a job
    unknown = read_squeue(line.format("N/A"))
    assert unknown is not None
    assert unknown.status.expected is None
