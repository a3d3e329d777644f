"""Options that change what the manager's command does, where it sends, or what it prints are no job options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.errors import InvalidRequest
from psij_parsl.providers.slurm.template import WAYS
from tests.parsl.helpers import PARSL_IS_UNTIDY

#: What must be refused, with the way that works.
REFUSED = {
    "--clusters=two": "-X cluster=NAME",
    "--cluster=two": "-X cluster=NAME",
    "--clust=two": "-X cluster=NAME",
    "--cl=two": "-X cluster=NAME",
    "-M=two": "-X cluster=NAME",
    "-Mtwo": "-X cluster=NAME",
    "-M two": "-X cluster=NAME",
    "--cluster-constraint=x": "-X cluster=NAME",
    "--clusters": "-X cluster=NAME",
    "--comm=x": "knows the job by it",
    "--par": "reads what sbatch prints",
    "--parsable": "reads what sbatch prints",
    "--wait": "psij-run wait",
    "-W": "psij-run wait",
    "--wai": "psij-run wait",
    "--test-only": "psij-run render",
    "--test": "psij-run render",
    "--quiet": "reads what",
    "-Q": "reads what",
    "--verbose": "reads what",
    "-vvv": "reads what",
    "--verb": "reads what",
    "--help": "ask sbatch",
    "--usage": "ask sbatch",
    "--version": "ask sbatch",
    "-V": "ask sbatch",
    "-h": "ask sbatch",
    "--wrap=x": "by the job itself",
    "--wr=x": "by the job itself",
    "--export-file=/x": "--env",
    "--export=NONE": "--env",
    "--get-user-env": "profile",
    "--propagate": "ulimit",
    "--propagate=NOFILE": "ulimit",
    "--prop=ALL": "ulimit",
    "--uid=0": "another's",
    "--gid=0": "another's",
    "--job-name=x": "-J",
    "--output=/x": "-o",
    "--out=/x": "-o",
    "-o/x": "-o",
    "--dependency=afterok:1": "-d",
    "--array=1-3": "--array",
    "#SBATCH --clusters=two": "-X cluster=NAME",
    "#SBATCH -M two": "-X cluster=NAME",
}
ALLOWED = (
    "--switches=2",
    "--mail-type=END",
    "--mem=4G",
    "--mem-per-cpu=1G",
    "--wait-all-nodes=1",
    "--time-min=5",
    "--threads-per-core=1",
    "--exclude=a",
    "--no-kill",
    "--qos=x",
    "--begin=now+1hour",
    "--tmp=10",
    "--gpus=2",
    "--contiguous",
    "--reservation=x",
    "--requeue",
    "--deadline=now+1hour",
)


def rendered(platform: str, **fields: Any) -> str:
    return BatchSchedulerExecutor(platform).render(Job(command=["true"], **fields))


@pytest.mark.parametrize("said", REFUSED)
def test_what_changes_what_sbatch_does_is_refused_by_name_with_the_way_that_works(said: str) -> None:
    with pytest.raises(InvalidRequest, match=r"directives.*must not say --[a-z-]+: ") as caught:
        rendered("slurm", parameters={"directives": [said]})
    assert REFUSED[said] in caught.value.message


@pytest.mark.parametrize("said", ALLOWED)
def test_other_options_are_job_options(said: str) -> None:
    assert f"\n#SBATCH {said}\n" in rendered("slurm", parameters={"directives": [said]})


def test_any_beginning_that_sbatch_would_take_for_such_an_option_is_refused() -> None:
    for name in WAYS:
        for length in range(1, len(name) + 1):
            for value in ("", "=x"):
                with pytest.raises(InvalidRequest):
                    rendered("slurm", parameters={"directives": [f"--{name[:length]}{value}"]})


@pytest.mark.parametrize("field", ["constraint", "licenses", "reservation", "qos", "gres", "nodelist", "mail_user"])
@pytest.mark.parametrize("value", ["a --clusters=two", "a\n#SBATCH --clusters=two", "a\t-Mtwo", "a\r--wait"])
def test_no_value_carries_another_option_into_its_line(field: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        rendered("slurm", parameters={field: value})


PBS = [
    ({"queue": "workq@other"}, "PBS_SERVER=other"),
    ({"queue": "@other"}, "PBS_SERVER=other"),
    ({"parameters": {"group_list": "users,block=true"}}, "group_list"),
    ({"parameters": {"group_list": "users,sandbox=PRIVATE"}}, "group_list"),
    ({"parameters": {"resources": "Walltime=99:00:00"}}, "Walltime"),
    ({"parameters": {"resources": "x=1 -z"}}, "resources"),
    ({"parameters": {"resources": "-V=1"}}, "resources"),
    ({"parameters": {"chunk": "system=a:ncpus=64"}}, "name=value"),
    ({"parameters": {"chunk": "system=a:b"}}, "another resource"),
    ({"parameters": {"chunk": "NCPUS=64"}}, "NCPUS"),
    ({"parameters": {"place": "free -I"}}, "place"),
    ({"parameters": {"mail_user": "a -X"}}, "mail_user"),
    ({"parameters": {"filesystems": "home -h"}}, "filesystems"),
    ({"project": "a -z"}, "project"),
    ({"queue": "a\n#PBS -W block=true"}, "queue"),
    ({"after": ["afterok:1.head,block=true"]}, "after"),
    ({"after": ["afterok:1.head -I"]}, "after"),
    ({"after": ["1.head,sandbox=PRIVATE"]}, "after"),
]


@pytest.mark.parametrize(("fields", "said"), PBS)
def test_no_value_carries_an_option_of_qsub_or_another_server(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        rendered("pbspro", **fields)
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_what_these_values_may_say_is_said() -> None:
    text = rendered(
        "pbspro",
        queue="workq",
        after=["afterok:1.head", "afterany:2[].head.site.org@head"],
        parameters={"group_list": "chem@head,phys@other"},
    )
    assert "\n#PBS -W group_list=chem@head,phys@other\n" in text
    assert "\n#PBS -W depend='afterok:1.head,afterany:2[].head.site.org@head'\n" in text


class TestParsl:
    pytestmark = [*PARSL_IS_UNTIDY]

    @pytest.mark.parametrize("said", ["--clusters=x", "--clusters x", "-M x", "--clust x", "--par"])
    def test_scheduler_options_go_the_same_way(self, said: str) -> None:
        from psij_parsl.providers import SlurmProvider

        with pytest.raises(InvalidRequest, match="must not say --") as caught:
            SlurmProvider(scheduler_options=f"#SBATCH --switches=2\n#SBATCH {said}")
        assert re.search("-X cluster=NAME|what sbatch prints", caught.value.message)

    def test_the_clusters_of_parsls_provider_are_one_cluster(self) -> None:
        from psij_parsl.providers import SlurmProvider

        assert SlurmProvider(clusters="two").parameters["cluster"] == "two"
        with pytest.raises(InvalidRequest, match="must be the name of one cluster"):
            SlurmProvider(clusters="one,two")

    def options(self) -> Iterator[str]:
        yield from (
            "-q a@b",
            "-W block=true",
            "-I",
            "-X",
            "-z",
            "-V",
            "-v A=1",
            "-C x",
            "-G",
            "-f",
            "-h",
            "-Wsandbox=x",
        )

    def test_scheduler_options_of_pbs_say_resources_alone(self) -> None:
        from psij_parsl.providers import PBSProProvider

        for said in self.options():
            with pytest.raises(InvalidRequest, match="only -l is taken here") as caught:
                PBSProProvider(scheduler_options=f"#PBS {said}")
            assert caught.value.hint
