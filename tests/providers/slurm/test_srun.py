"""What the stand-in for srun makes of its options. The numbers are what srun of Slurm 22.05 did with the same."""

from __future__ import annotations

import pytest

from psij_parsl.errors import InvalidRequest
from psij_parsl.providers.slurm.srun import launch

JOB = {"SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_CPUS_PER_TASK": "2", "SLURM_JOB_ID": "7.head"}
ALONE = {"SLURM_NTASKS": "1", "SLURM_NNODES": "1", "SLURM_CPUS_PER_TASK": "8"}
GPUS = {"SLURM_NTASKS": "2", "SLURM_NNODES": "1", "SLURM_CPUS_PER_TASK": "1", "SLURM_GPUS_ON_NODE": "4"}
SHARED = ("--gpus-per-node", "shared")

SAID = {
    "": "-n 4 -N 2 -c 2 --gpus-per-node shared -i -",
    "-n1": "-n 1 -N 1 -c 2 --gpus-per-node shared -i -",
    "-n 2": "-n 2 -N 2 -c 2 --gpus-per-node shared -i -",
    "-N1": "-n 4 -N 1 -c 2 --gpus-per-node shared -i -",
    "-N 1-1 -n 3": "-n 3 -N 1 -c 2 --gpus-per-node shared -i -",
    "-n 3": "-n 3 -c 2 --gpus-per-node shared -i -",
    "-n 8 --ntasks-per-node=4": "-n 8 -N 2 --gpus-per-node shared -i -",
    "-n4 --tasks-per-node 4": "-n 4 -N 1 -c 2 --gpus-per-node shared -i -",
    "--ntasks=2 --cpus-per-t 1": "-n 2 -N 2 --gpus-per-node shared -i -",
    "-l -n4 -c4": "-n 4 -N 2 -c 4 --gpus-per-node shared -i - --label",
    "-ul -N2": "-n 4 -N 2 -c 2 --gpus-per-node shared -i - --label",
    "--exclusive --exact --mpi=pmix -K -Q -J step": "-n 4 -N 2 -c 2 --gpus-per-node shared -i -",
    "--exclusive=user --kill-on-bad-exit=1 -K0": "-n 4 -N 2 -c 2 --gpus-per-node shared -i -",
    "-i none": "-n 4 -N 2 -c 2 --gpus-per-node shared",
    "--input=in.txt -o out-%j.%t --error=none": "-n 4 -N 2 -c 2 --gpus-per-node shared -i in.txt -o out-7.head.%r -e /dev/null",
    "-o 100%% --open-mode=append": "-n 4 -N 2 -c 2 --gpus-per-node shared -i - -o 100% --append",
    "--gpus-per-task=a100:2": "-n 4 -N 2 -c 2 -g 2 -i -",
    "-G 4": "-n 4 -N 2 -c 2 --gpus-per-node 2 -i -",
    "--gres=gpu:a100:2": "-n 4 -N 2 -c 2 --gpus-per-node 2 -i -",
    "--gres=none --mem=0": "-n 4 -N 2 -c 2 -i -",
    "-n1 --mem=2G": "-n 1 -N 1 -c 2 --gpus-per-node shared --mem 2048M -i -",
    "--mem-per-cpu=100": "-n 4 -N 2 -c 2 --gpus-per-node shared --mem 400M -i -",
    "--export=ALL,A=1,B -D /tmp": "-n 4 -N 2 -c 2 --gpus-per-node shared --cwd /tmp -i - --env A=1 --env B",
    "--cpu-bind=none": "-n 4 -N 2 -c 2 --gpus-per-node shared -i - --bind none",
}


@pytest.mark.parametrize("said", SAID)
def test_options_become_those_of_launch(said: str) -> None:
    made = launch([*said.split(), "./a.out", "-n", "7"], JOB)
    assert " ".join(made.arguments) == f"{SAID[said]} -- ./a.out -n 7"
    assert not made.notes


def test_without_c_more_ranks_than_the_job_has_get_a_core_each() -> None:
    assert launch(["-n8", "true"], ALONE).arguments == ["-n", "8", "-N", "1", *SHARED, "-i", "-", "--", "true"]
    assert launch(["true"], {**ALONE, "SRUN_CPUS_PER_TASK": "3"}).arguments[4:6] == ["-c", "3"]


def test_without_an_option_every_rank_sees_all_gpus_of_the_job_on_its_node() -> None:
    assert "--gpus-per-node 4" in " ".join(launch(["true"], GPUS).arguments)
    assert launch(["-n", "3", "true"], GPUS).arguments[-4:] == ["-i", "-", "--", "true"]
    assert "--gpus-per-node shared" in " ".join(launch(["-n", "3", "true"], GPUS).arguments)
    assert "-g 1" in " ".join(launch(["--gpus-per-task=1", "true"], GPUS).arguments)


def test_ranks_per_node_that_do_not_fit_the_jobs_are_ignored_with_a_remark_as_srun_does() -> None:
    made = launch(["--ntasks-per-node=1", "true"], JOB)
    assert made.arguments[:4] == ["-n", "4", "-N", "2"]
    assert made.notes == ["srun: --ntasks-per-node 1 is ignored, for the job has 4 ranks on 2 nodes: say -n 2, too"]


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("--pty bash", "no option --pty"),
        ("--multi-prog conf", "no option --multi-prog"),
        ("-w node01 true", "no option -w"),
        ("--overlap true", "no option --overlap"),
        ("--ex true", "no option --ex"),
        ("-n many true", "--ntasks many: it must be a whole number"),
        ("-N 1-2 true", "--nodes 1-2: it must be"),
        ("--label=yes true", "--label takes no value"),
        ("true --n 2 -n", ""),
        ("-n", "-n lacks its value"),
        ("-l", "there is no program to run"),
        ("--gres=craynetwork:1 true", "--gres=craynetwork:1 is no number of GPUs"),
        ("-G 3 true", "cannot be spread evenly"),
        ("--mem=lots true", "--mem lots: it must be a memory size"),
        ("-o out.%s true", "%s cannot be filled in"),
        ("-o 2 true", "the output of one rank alone"),
        ("--input=3 true", "only rank 0"),
        ("--export=NONE true", "would leave out all other variables"),
        ("--open-mode=x true", "neither append nor truncate"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(said: str, what: str) -> None:
    if not what:
        assert launch(said.split(), JOB).arguments[-4:] == ["true", "--n", "2", "-n"]
        return
    with pytest.raises(InvalidRequest) as caught:
        launch(said.split(), JOB)
    assert caught.value.message.startswith("srun: ")
    assert what in caught.value.message
    assert caught.value.hint
