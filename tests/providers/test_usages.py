"""What jobs have used, by the answers of managers: recorded ones, and such with other figures in the same places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from psij_parsl.platforms.queries import UsageQuestion
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.platforms.usage import MemoryOf, Usage, UsageRecord
from psij_parsl.providers.gridengine.scheduler import GridEngineScheduler
from psij_parsl.providers.htcondor.scheduler import HTCondorScheduler
from psij_parsl.providers.lsf.scheduler import LSFScheduler
from psij_parsl.providers.pbspro.scheduler import PBSProScheduler
from psij_parsl.providers.torque.scheduler import TorqueScheduler
from psij_parsl.system.commands import Output
from psij_parsl.testing.replay import Recorded, Replay

RECORDED = Path(__file__).parents[1] / "recorded"
MIB = 1024**2


def told(
    scheduler: type[Scheduler],
    answer: str,
    *ids: str,
    running: bool = False,
    changes: Mapping[str, str] | None = None,
) -> dict[str, UsageRecord]:
    """What a scheduler tells of these jobs, when it hears a recorded answer, with other figures in it."""
    text = Recorded.read(RECORDED / answer).output.stdout if answer.endswith(".txt") else answer
    for before, after in (changes or {}).items():
        assert before in text
        text = text.replace(before, after)

    def answered(argv: Sequence[str]) -> Output:
        return Output(tuple(argv), 0, text, "", 0.0)

    questions = [UsageQuestion(job_id, 0.0, float("inf")) for job_id in ids]
    return scheduler(run=Replay(answered)).usages(questions, running=running)


# ---- PBS Pro and Torque ------------------------------------------------------------------------------------------

_PBS = "openpbs/walltime.qstat-f-json-x.txt"


def test_pbs_that_has_seen_no_cpu_time_says_nothing_of_it() -> None:
    usage = told(PBSProScheduler, _PBS, "241.head")["241.head"].usage
    assert (usage.cpu_s, usage.core_s, usage.cores) == (None, 17.0, 1)
    assert usage.memory_bytes == 1412 * 1024
    assert usage.memory_asked_bytes is None


def test_pbs_tells_the_cpu_time_of_its_cores_and_the_memory_of_the_job() -> None:
    changes = {
        '"cput":	"00:00:00"': '"cput":	"00:01:08"',
        '"ncpus":	1,\n				"vmem"': '"ncpus":	8,\n				"vmem"',
        '"nodect":	1': '"nodect":	2, "mem": "2gb"',
        '"exec_host":	"head/1"': '"exec_host":	"head/1*4+n2/0*4"',
    }
    record = told(PBSProScheduler, _PBS, "241.head", changes=changes)["241.head"]
    assert record.final
    assert record.usage == Usage(
        68.0, 136.0, 8, 1412 * 1024, 2048 * MIB, MemoryOf.JOB, "without ranks that were started by ssh"
    )


def test_pbs_tells_what_a_running_job_has_used_so_far() -> None:
    changes = {'"job_state":	"F"': '"job_state":	"R"'}
    record = told(PBSProScheduler, _PBS, "241.head", running=True, changes=changes)["241.head"]
    assert not record.final
    assert record.usage.memory_bytes == 1412 * 1024


def test_torque_tells_the_same_and_its_slots_are_the_cores() -> None:
    changes = {
        "<cput>00:00:00</cput><vmem>9872kb</vmem><walltime>00:00:01": "<cput>00:00:30</cput><walltime>00:00:10",
        "<exec_host>tq1/0</exec_host><Hold_Types>n</Hold_Types><Join_Path>n</Join_Path><Keep_Files>n</Keep_Files>"
        "<Mail_Points>a</Mail_Points><mtime>1795667521": "<exec_host>tq1/0-2,5</exec_host><mtime>1795667521",
        "<nodes>1:ppn=1</nodes><walltime>00:05:00": "<mem>100mb</mem><nodes>1:ppn=4</nodes><walltime>00:05:00",
    }
    usage = told(TorqueScheduler, "torque/ended-xml.txt", "0.tq1", changes=changes)["0.tq1"].usage
    assert usage == Usage(30.0, 40.0, 4, 6204 * 1024, 100 * MIB)
    assert told(TorqueScheduler, "torque/ended-xml.txt", "0.tq1")["0.tq1"].usage.cpu_s is None


# ---- Grid Engine -------------------------------------------------------------------------------------------------


def test_grid_engine_adds_up_the_processes_of_a_job_on_all_nodes_but_its_slots_once() -> None:
    changes = {"cpu          0.010s": "cpu          5.000s"}
    usage = told(GridEngineScheduler, "gridengine/pe-tasks.qacct-j.txt", "149", changes=changes)["149"].usage
    assert usage == Usage(5.0 + 5.0 + 0.187, 12.0, 4, 17680 * 1024, None, MemoryOf.PROCESS), (
        "3 s of the script's table"
    )


def test_grid_engine_is_asked_about_several_jobs_at_once() -> None:
    found = told(GridEngineScheduler, "gridengine/history.qacct-m-o.txt", "148", "149")
    assert [record.final for record in found.values()] == [True, True]


def test_grid_engines_memory_is_that_of_the_largest_process_in_kib() -> None:
    changes = {
        "ru_maxrss    4.715KB": "ru_maxrss    838.861KB",
        "end_time     Sat Nov 21 21:42:39": "end_time     Sat Nov 21 21:42:59",
        "cpu          0.009s": "cpu          10.000s",
        "slots        1 ": "slots        4 ",
        "category     NONE": "category     -pe smp 4",
    }
    usage = told(GridEngineScheduler, "gridengine/completed.qacct-j.txt", "58", changes=changes)["58"].usage
    assert usage == Usage(10.0, 80.0, 4, 838861 * 1024, None, MemoryOf.PROCESS)


def test_a_grid_engine_that_charges_what_was_reserved_does_not_make_each_job_efficient() -> None:
    changes = {
        "ru_wallclock 0s": "ru_wallclock 20s",
        "cpu          0.009s": "cpu          20.000s",
        "category     NONE": "category     -l x",
    }
    usage = told(GridEngineScheduler, "gridengine/completed.qacct-j.txt", "58", changes=changes)["58"].usage
    assert usage.cpu_s == pytest.approx(0.009), "ru_utime and ru_stime"


def test_grid_engine_knows_nothing_of_running_jobs_and_is_not_asked() -> None:
    assert told(GridEngineScheduler, "gridengine/completed.qacct-j.txt", "58", running=True) == {}


# ---- HTCondor ----------------------------------------------------------------------------------------------------

_CONDOR = {
    '"RequestMemory": 100': '"RemoteUserCpu": 5.5, "RemoteSysCpu": 0.5, "CpusProvisioned": 3, "ResidentSetSize": 2500, "ResidentSetSize_RAW": 2048,'
    ' "MemoryProvisioned": 128',
    '"JobCurrentStartDate": 1795664979': '"JobCurrentStartDate": 1795664960',
}


def test_htcondor_tells_the_cpu_time_of_the_last_run_and_its_memory_in_kib() -> None:
    record = told(HTCondorScheduler, "htcondor/history-ok.txt", "1.0", changes=_CONDOR)["1.0"]
    assert record.usage == Usage(6.0, 60.0, 3, 2 * MIB, 128 * MIB)


def test_an_ad_without_figures_tells_nothing() -> None:
    assert not told(HTCondorScheduler, "htcondor/history-ok.txt", "1.0")["1.0"].usage.known


# ---- LSF ---------------------------------------------------------------------------------------------------------

_LSF = """JOBID^JOBINDEX^STAT^SUBMIT_TIME^CPU_USED^RUN_TIME^SLOTS^MAX_MEM^QUEUE
7^0^DONE^Nov 26 22:23:47 2026^12.5 second(s)^25 second(s)^2^1.5 Gbytes^normal
8^2^RUN^Nov 26 22:23:47 2026^0.0 second(s)^0 second(s)^1^-^normal
9^0^EXIT^Nov 26 22:23:47 2026^3.0 second(s)^4 second(s)^1^128 Mbytes^normal
"""


def test_lsf_tells_its_figures_in_words() -> None:
    found = told(LSFScheduler, _LSF, "7", "8[2]", "9")
    assert found["7"].usage == Usage(12.5, 50.0, 2, 1536 * MIB)
    assert found["9"].usage.memory_bytes == 128 * MIB
    assert (found["8[2]"].usage, found["8[2]"].final) == (Usage(), False)
