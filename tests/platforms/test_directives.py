"""Options that change what the manager's command does, where it sends, or what it prints are no job options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.errors import InvalidRequest
from psij_parsl.providers.slurm.directives import TABLE
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
    "--hold": "--hold",
    "--mail-type=END": "-X mail_type=VALUE",
    "--mem=4G": "--mem",
    "--mem-per-cpu=1G": "--mem-per-cpu",
    "--begin=now+1hour": "--begin",
    "--gpus=2": "-G",
    "--threads-per-core=2": "--threads-per-core",
    "--exclude=a": "-X exclude=VALUE",
    "--exclusive": "-X exclusive=yes",
    "--qos=x": "-X qos=VALUE",
    "-C gpu": "-X constraint=VALUE",
    "--reservation=x": "-X reservation=VALUE",
    "--requeue": "-X requeue=yes",
    "--no-requeue": "-X requeue=no",
    "--signal=B:USR1@90": "--signal",
    "--signal=TERM@60": "--signal",
    "#SBATCH --clusters=two": "-X cluster=NAME",
    "#SBATCH -M two": "-X cluster=NAME",
}
#: What options may be followed by that a parameter takes, where that is no word.
VALUES = {"--exclusive": ("",), "--requeue": ("", "=x"), "--nice": ("=5",), "--signal": ("=B:USR1@90",), "--hint": ()}
ALLOWED = (
    "--switches=2",
    "--wait-all-nodes=1",
    "--time-min=5",
    "--no-kill",
    "--tmp=10",
    "--contiguous",
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


@pytest.mark.parametrize("name", [name for option in TABLE.options if option.way for name in option.names])
def test_any_beginning_that_sbatch_would_take_for_such_an_option_is_refused(name: str) -> None:
    for length in range(3, len(name) + 1) if name.startswith("--") else [len(name)]:
        if (other := TABLE.option(name[:length])) and not other.way:  # another option's whole name
            continue
        for value in VALUES.get(name, ("", "=x")):
            with pytest.raises(InvalidRequest):
                rendered("slurm", parameters={"directives": [f"{name[:length]}{value}"]})


@pytest.mark.parametrize(
    "said",
    [
        *("--hint=multithread", "--hint=nomultithread", "--threads-per-core=1", "--exclusive=user"),
        *("--nice=-5", "--nice"),
    ],
)
def test_what_neither_a_flag_nor_a_parameter_can_say_is_said_so(said: str) -> None:
    assert f"\n#SBATCH {said}\n" in rendered("slurm", parameters={"directives": [said]})


@pytest.mark.parametrize(
    "said",
    ["--output=%b", "--dependency=singleton", "--clusters=a,b", "--time=soon", "--mem", "--qos", "--array=1-x"],
)
def test_what_a_job_of_ours_owns_is_refused_whatever_its_value(said: str) -> None:
    with pytest.raises(InvalidRequest, match="must not say"):
        rendered("slurm", parameters={"directives": [said]})


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

    @pytest.mark.parametrize("said", ["--clusters=x", "--clusters x", "-M x"])
    def test_a_scheduler_option_for_which_there_is_a_parameter_sets_it(self, said: str) -> None:
        from psij_parsl.providers import SlurmProvider

        provider = SlurmProvider(scheduler_options=f"#SBATCH --switches=2\n#SBATCH {said}")
        assert {name: provider.parameters[name] for name in ("cluster", "directives")} == {
            "cluster": "x",
            "directives": ("--switches=2",),
        }

    @pytest.mark.parametrize(
        "said",
        ["--par", "--clust x", "--wait", "-o x", "--time=5", "--hold", "--export=NONE", "--array=1-9", "--qos"],
    )
    def test_a_scheduler_option_that_a_block_must_not_have_is_refused(self, said: str) -> None:
        from psij_parsl.providers import SlurmProvider

        with pytest.raises(InvalidRequest) as caught:
            SlurmProvider(scheduler_options=f"#SBATCH --switches=2\n#SBATCH {said}")
        assert caught.value.hint or "must not say --" in caught.value.message

    def test_each_word_that_is_no_place_says_what_a_block_is_asked_by_in_its_stead(self) -> None:
        from psij_parsl.parsl.vocabulary import _BLOCKS
        from psij_parsl.platforms.directives import PLACES, WORDS

        assert _BLOCKS.keys() == WORDS.keys() - PLACES

    @pytest.mark.parametrize("nothing", ["", None, [], ()])
    def test_no_scheduler_options_are_none(self, nothing: Any) -> None:
        from psij_parsl.providers import SlurmProvider

        assert "directives" not in SlurmProvider(scheduler_options=nothing).parameters

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
            "-N x",
            "-o x",
            "-P x",
            "-l select=2:ncpus=4",
            "-W depend=afterok:1",
            "-Wsandbox=x",
        )

    def test_scheduler_options_of_pbs_that_change_what_qsub_does_or_what_a_block_is_are_refused(self) -> None:
        from psij_parsl.providers import PBSProProvider

        for said in self.options():
            with pytest.raises(InvalidRequest) as caught:
                PBSProProvider(scheduler_options=f"#PBS {said}")
            assert caught.value.hint
