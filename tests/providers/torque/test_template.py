"""What a job asks Torque for, in `#PBS` lines; what a block of Parsl's does; what a job's variables tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.errors import InvalidRequest
from psij_parsl.providers.torque.allocation import allocation
from psij_parsl.providers.torque.provider import TorqueProvider
from psij_parsl.providers.torque.template import depend


def lines(**fields: object) -> list[str]:
    text = BatchSchedulerExecutor("torque").render(Job(command=["true"], **fields))  # type: ignore[arg-type]
    return [line.removeprefix("#PBS ") for line in text.splitlines() if line.startswith("#PBS ")]


def test_memory_is_the_whole_jobs_and_gpus_are_each_nodes() -> None:
    said = lines(
        num_nodes=3, ranks_per_node=4, cpus_per_rank=2, gpus_per_rank=1, memory_per_node=1000, job_mode="script"
    )
    assert "-l nodes=3:ppn=8:gpus=4" in said
    assert "-l mem=3000mb" in said


def test_a_parameter_replaces_what_follows_from_the_ranks() -> None:
    parameters = {"ppn": 16, "gpus": 2, "features": ["bigmem", "ib"], "resources": ["pmem=2gb"]}
    said = lines(ranks_per_node=4, gpus_per_rank=1, parameters=parameters)
    assert "-l nodes=1:ppn=16:gpus=2:bigmem:ib" in said
    assert "-l pmem=2gb" in said


def test_a_priority_may_be_below_0() -> None:
    assert "-p -10" in lines(parameters={"priority": "-10"})


@pytest.mark.parametrize(
    ("name", "said"), [("abcdefghijklmnopqrstuvwxyz", "abcdefghijklmno"), ("1abc", "job_1abc"), ("a b", "a_b")]
)
def test_a_name_is_within_torques_rule(name: str, said: str) -> None:
    assert f"-N {said}" in lines(name=name)


def test_an_array_may_have_gaps_and_a_limit() -> None:
    assert "-t 0-3,7" in lines(array=(0, 1, 2, 3, 7))
    assert "-t 0-3,7%2" in lines(array=(0, 1, 2, 3, 7), parameters={"slots": 2})
    with pytest.raises(InvalidRequest, match="this job is none"):
        lines(parameters={"slots": 2})


def test_dependencies_are_said_each_kind_once_and_arrays_have_kinds_of_their_own() -> None:
    after = ["1.tq1", "afterok:2.tq1", "afterany:3.tq1", "afterok:4[].tq1", "after:5[].tq1", "afternotok:6[2].tq1"]
    assert depend(after) == (
        "afterok:1.tq1:2.tq1,afterany:3.tq1,afterokarray:4[].tq1,afterstartarray:5[].tq1,afternotok:6[2].tq1"
    )


@pytest.mark.parametrize("text", ["1.tq1,umask=0", "all", "1.tq1@other", "-W"])
def test_a_dependency_that_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="must be the id of a job of Torque"):
        depend([text])


@pytest.mark.parametrize(
    "resource", ["mem=5gb", "Walltime=1", "nodes=2", "ncpus=4", "procs=8", "gpus=1", "a b=1", "x", "pmem=1;x"]
)
def test_a_resource_that_the_script_sets_itself_or_that_is_odd_is_refused(resource: str) -> None:
    with pytest.raises(InvalidRequest, match="resources"):
        lines(parameters={"resources": [resource]})


@pytest.mark.parametrize(("folder", "named"), [("plain", True), ("a b", False), ("a$b", False), ("a:b", False)])
def test_the_log_is_in_the_folder_where_its_name_can_be_said(tmp_path: Path, folder: str, named: bool) -> None:
    text = BatchSchedulerExecutor("torque", spool=tmp_path / folder).render(Job(command=["true"]))
    [line] = [line for line in text.splitlines() if line.startswith("#PBS -o ")]
    assert line.endswith("/manager.log" if named else " /dev/null")


def test_a_block_of_parsls_takes_its_words() -> None:
    provider = TorqueProvider(
        nodes_per_block=2,
        walltime="01:00:00",
        queue="batch",
        cores_per_node=8,
        scheduler_options="#PBS -l pmem=2gb,software=x\n#PBS -l naccesspolicy=singlejob",
    )
    assert provider.num_nodes == 2
    assert [*provider.parameters["resources"]] == ["pmem=2gb", "software=x", "naccesspolicy=singlejob"]


def test_a_blocks_scheduler_options_set_parameters_queue_and_project() -> None:
    provider = TorqueProvider(scheduler_options="#PBS -q batch -A chem\n#PBS -r y -m ae\n#PBS -W group_list=chem")
    assert (provider.queue, provider.project) == ("batch", "chem")
    expected = {"rerunnable": "yes", "mail_events": "ae", "group_list": "chem"}
    assert {name: provider.parameters[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("-q batch@other", "another server"),
        ("-W depend=afterok:1", "waits for no other job"),
        ("-W block=true", "platform show torque"),
        ("-t 0-3", "max_blocks"),
        ("-h", "never start"),
        ("-I", "terminal"),
        ("-z", "reads the id"),
        ("-N x", "Parsl names the block"),
        ("-V", "environment"),
        ("-v A=1", "worker_init"),
        ("-o x", "block's folder"),
        ("-joe", "block's folder"),
        ("-k oe", "as the job goes on"),
        ("-l nodes=2:ppn=4", "num_nodes"),
        ("-l walltime=60", "wall_time_min"),
        ("-l mem=4gb", "mem_per_node"),
    ],
)
def test_a_scheduler_option_that_a_block_must_not_have_is_refused_with_the_way_that_works(
    said: str, hint: str
) -> None:
    with pytest.raises(InvalidRequest, match="cannot be asked for") as caught:
        TorqueProvider(scheduler_options=f"#PBS {said}")
    assert hint in caught.value.hint


def test_a_jobs_variables_tell_its_nodes_cores_and_gpus(tmp_path: Path) -> None:
    nodefile, gpufile = tmp_path / "nodes", tmp_path / "gpus"
    nodefile.write_text("n1\n" * 4 + "n2\n" * 4)
    gpufile.write_text("n1-gpu0\nn2-gpu1\n")
    environ = {"PBS_JOBID": "5[2].tq1", "PBS_NODEFILE": str(nodefile), "PBS_NUM_PPN": "4"}
    found = allocation({**environ, "PBS_GPUFILE": str(gpufile)})
    assert found is not None
    assert (found.id, found.cluster) == ("5[2].tq1", "tq1")
    assert [(node.name, node.gpus) for node in found.nodes] == [("n1", ("0",)), ("n2", ("1",))]
    assert allocation({"PBS_JOBID": "5.head", "PBS_NODEFILE": str(nodefile)}) is None  # PBS Pro's
