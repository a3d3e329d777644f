"""From a job to the files in its folder: what the manager is told, what the environment holds, who may read it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.errors import InvalidRequest, JournalError
from psij_parsl.jobs.elements import element_text
from psij_parsl.jobs.file_settings import FileSettings, JobPlace
from psij_parsl.jobs.job_dependencies import Dependencies
from psij_parsl.jobs.job_environment import exports, inherited
from psij_parsl.jobs.job_files import SubmissionRequest, render, requests, values
from psij_parsl.jobs.job_folder import outputs
from psij_parsl.platforms.registry import platform, platforms

PLATFORMS = [name for name, _ in platforms(plugins=False)]

PLAIN = {"queue": "debug", "project": "proj1", "wall_time_min": 90}
GOLDEN: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "slurm, as little as can be": (
        {},
        """#!/bin/bash
#SBATCH --job-name=echo
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=1
#SBATCH --time=00:10:00
# psij-parsl's own:
#SBATCH --comment=psij:j1
#SBATCH --output=/spool/j1/manager.log
#SBATCH --open-mode=append
""",
    ),
    "slurm, much": (
        {
            **PLAIN,
            "name": "a run (né #1)",
            "num_nodes": 3,
            "ranks_per_node": 4,
            "cpus_per_rank": 2,
            "gpus_per_rank": 1,
            "threads_per_core": 2,
            "memory_per_node": 5000,
            "hold": True,
            "array": (0, 1, 2, 9),
            "job_mode": "mpi",
            "parameters": {
                "qos": "high",
                "constraint": "gpu&hbm80g",
                "exclusive": "yes",
                "requeue": "no",
                "mail_type": "END,FAIL",
                "directives": ["--switches=2"],
            },
            "signal_before_end": "USR1@90",
        },
        """#!/bin/bash
#SBATCH --job-name=a_run_n_1
#SBATCH --nodes=3
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=4
#SBATCH --time=01:30:00
#SBATCH --threads-per-core=2
#SBATCH --partition=debug
#SBATCH --account=proj1
#SBATCH --qos=high
#SBATCH --constraint='gpu&hbm80g'
#SBATCH --mem=5000M
#SBATCH --gpus-per-node=4
#SBATCH --exclusive
#SBATCH --mail-type=END,FAIL
#SBATCH --signal=B:USR1@90
#SBATCH --no-requeue
#SBATCH --array=0-2,9
#SBATCH --hold
#SBATCH --switches=2
# psij-parsl's own:
#SBATCH --comment=psij:j1
#SBATCH --output=/spool/j1/manager.log.%a
#SBATCH --open-mode=append
trap psij_warned=yes USR1  # Slurm may do so at once
""",
    ),
}


def script(name: str, job: Job, **given: Any) -> str:
    wanted = platform(name)
    settings = FileSettings(template=wanted.template_class, platform=name, launcher=wanted.launcher)
    return render(settings, job, JobPlace("j1", "psij:j1", Path("/spool/j1")), **given)


def write(folder: Path, job: Job, environ: Mapping[str, str], elements: Sequence[Job] = ()) -> Path:
    settings = FileSettings(template=platform("local").template_class, launcher="fork")
    place = JobPlace("j1", "psij:j1", folder)
    return SubmissionRequest.make(settings, job, place, environ=environ, elements=elements).write()


def test_a_jobs_environment_is_of_the_moment_when_it_is_submitted(tmp_path: Path) -> None:
    job, environ, texts = Job(command=["true"]), {"PATH": "/bin", "A": "1"}, {}
    changes: Mapping[str, tuple[Job, dict[str, str]]] = {
        "first": (job, {}),
        "same": (job, {}),
        "value": (job, {"A": "2"}),
        "more": (job, {"B": "1"}),
        "said": (job.with_(environment={"A": "3"}), {}),
        "again": (job, {}),
    }
    for name, (asked, changed) in changes.items():
        (tmp_path / name).mkdir()
        write(tmp_path / name, asked, environ | changed)
        texts[name] = (tmp_path / name / "environment").read_text()
    assert texts["first"] == texts["same"] == texts["again"]
    assert [text.count("export A=1\n") for text in texts.values()] == [1, 1, 0, 1, 0, 1]
    assert "export A=2\n" in texts["value"]
    assert "export B=1\n" in texts["more"]
    assert "export A=3\n" in texts["said"]


@pytest.mark.parametrize("case", GOLDEN)
def test_the_directives_of(case: str) -> None:
    fields, expected = GOLDEN[case]
    text = script(case.partition(",")[0], Job(command=["echo", "hi"], **fields))
    head = text.partition("# ---- your job ----")[0]
    assert "".join(line + "\n" for line in head.splitlines() if line.strip()) == expected


def test_dependencies_are_told_in_the_managers_words() -> None:
    text = script("slurm", Job(command=["true"]), dependencies=Dependencies(["afterok:12", "afterany:13_4"]))
    assert "#SBATCH --dependency=afterok:12,afterany:13_4\n" in text


JOBS: Mapping[str, dict[str, Any]] = {
    "plain": {},
    "with files": {"stdin": "/etc/hosts", "stdout": "/tmp/o", "stderr": "/tmp/e"},
    "with one output file": {"stdout": "/tmp/o"},
    "an array": {"array": (1, 2, 5), "stdout": "/tmp/o"},
    "with a setup": {"setup": "module load x\nexport A='b c'"},
    "without the environment": {"inherit_environment": False},
    "several ranks": {"ranks_per_node": 2},
    "several copies": {"ranks_per_node": 2, "job_mode": "serial"},
    "odd words": {"name": "x" * 300, "directory": "/tmp/it's \\ $x\n#y", "queue": None},
}


@pytest.mark.parametrize("name", PLATFORMS)
@pytest.mark.parametrize("case", JOBS)
def test_every_platforms_script_is_shell_that_bash_can_read(name: str, case: str) -> None:
    fields = {
        key: Path(v) if key in ("stdin", "stdout", "stderr", "directory") else v for key, v in JOBS[case].items()
    }
    try:
        text = script(name, Job(command=["echo", "it's"], **fields), elements=case == "an array")
    except InvalidRequest:
        pytest.skip("this platform cannot be asked for that")
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert text.startswith("#!/bin/bash\n")
    assert "\r" not in text


def test_a_rendered_script_is_the_one_that_would_be_sent() -> None:
    executor = BatchSchedulerExecutor("local")
    job = Job(command=["echo", "hi"])
    shown = executor.render(job)
    sent = (executor.submit(job).folder / "script.sh").read_text()
    folder = str(executor.journal.home / "jobs")
    [sent_id] = os.listdir(folder)
    assert sent.replace(sent_id, "JOB") == shown


# ---- how it reads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLATFORMS)
def test_what_is_the_users_stands_first_and_together(name: str) -> None:
    job = Job(
        command=["./sim", "a b"],
        directory=Path("/work"),
        stdout=Path("/work/out"),
        setup="module load x",
        environment={"SECRET": "of mine", "OTHER": "1"},
    )
    text = script(name, job if name in ("htcondor", "local") else job.with_(**PLAIN))  # these two have no queues
    options, mine, ours = re.split(r"(?m)^# ---- (?:your job|psij-parsl: nothing below is yours.*) ----\n", text)
    assert options.splitlines()[0] == "#!/bin/bash"
    assert mine.splitlines() == [
        "psij_directory=/work",
        "psij_stdin=/dev/null",
        "psij_stdout=/work/out",
        "psij_stderr=  # to stdout",
        "psij_command=(./sim 'a b')",
        "# Environment: that of the shell which submitted it",
        "# The job sets SECRET OTHER",
        "psij_setup=(  # run before the command",
        "  'module load x'",
        ")",
        'psij_launch() {  # "$@" is the command',
        '  exec -- "$@"',
        "}",
        "",
    ]
    assert len(ours.splitlines()) <= 40
    assert "of mine" not in text


def test_the_functions_are_in_the_folder_and_bash_can_read_them(tmp_path: Path) -> None:
    write(tmp_path, Job(command=["true"]), {})
    done = subprocess.run(["bash", "-n", tmp_path / "functions.sh"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_its_functions_a_script_says_that_it_cannot_see_the_folder(tmp_path: Path) -> None:
    path = write(tmp_path, Job(command=["touch", str(tmp_path / "ran")]), {})
    (tmp_path / "functions.sh").unlink()
    done = subprocess.run(["bash", path], capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert done.stderr.endswith(
        f"does not see the job's folder {tmp_path}: the site's spool must be a shared directory\n"
    )
    assert not (tmp_path / "ran").exists()


# ---- the environment -----------------------------------------------------------------------------------------------


def test_what_describes_a_place_is_not_inherited() -> None:
    outside = {
        "PATH": "/bin",
        "HOME": "/h",
        "MY": "x",
        "LANG": "C",
        "lower": "y",
        "EMPTY": "",
        "PWD": "/p",
        "OLDPWD": "/o",
        "SHLVL": "2",
        "_": "/bin/env",
        "BASH_FUNC_f%%": "() { :; }",
        "not a name": "z",
        "SLURM_JOB_ID": "1",
        "SLURM_CONF": "/c",
        "SLURMD_NODENAME": "n",
        "SBATCH_ACCOUNT": "a",
        "PMI_RANK": "0",
        "PMIX_RANK": "0",
        "CUDA_VISIBLE_DEVICES": "0",
        "PSIJ_JOB_ID": "q",
        "PSIJ_NATIVE_ID": "4",
        "UID": "0",
        "psij_folder": "/x",
        "RANDOM": "1",
    }
    kept = inherited(platform("slurm").scheduler_class.drop_env, outside)
    assert set(kept) == {"PATH", "HOME", "MY", "LANG", "lower", "EMPTY"}


def test_each_platform_drops_its_own_job_variables() -> None:
    samples = {
        "slurm": "SLURM_JOB_ID",
        "local": "PSIJ_LOCAL_JOB_ID",
        "pbspro": "PBS_JOBID",
        "lsf": "LSB_JOBID",
        "gridengine": "JOB_ID",
        "flux": "FLUX_JOB_ID",
        "cobalt": "COBALT_JOBID",
        "torque": "PBS_JOBID",
        "oar": "OAR_JOB_ID",
        "htcondor": "_CONDOR_SLOT",
    }
    for name in PLATFORMS:
        assert not inherited(platform(name).scheduler_class.drop_env, {samples[name]: "1"}), name


def exported(folder: Path) -> list[str]:
    return [line for line in (folder / "environment").read_text().splitlines() if line.startswith("export ")]


def test_a_job_of_its_own_environment_has_nothing_else(tmp_path: Path) -> None:
    job = Job(command=["true"], inherit_environment=False, environment={"A": "1"})
    write(tmp_path, job, {"B": "2"})
    assert exported(tmp_path) == ["export A=1"]


def test_a_jobs_own_value_wins_over_the_inherited(tmp_path: Path) -> None:
    write(tmp_path, Job(command=["true"], environment={"A": "1"}), {"A": "0", "B": "2"})
    assert sorted(exported(tmp_path)) == ["export A=1", "export B=2"]


def test_files_are_the_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    job = Job(command=["true"], environment={"SECRET": "x"}, array=[0])
    os.umask(os.umask(0o022))
    path = write(tmp_path, job, {}, [job])
    assert path == tmp_path / "script.sh"
    for name in ("script.sh", "environment", "elements"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    with pytest.raises(JournalError, match="File exists"):
        write(tmp_path, job, {})


def test_exports_are_lines_that_a_shell_reads_back() -> None:
    text = exports({"A": "it's", "B": "a\nb", "C": ""})
    done = subprocess.run(
        ["bash", "-c", text + 'printf "%s|" "$A" "$B" "$C"'], capture_output=True, text=True, check=True
    )
    assert done.stdout == "it's|a\nb||"


def test_an_index_that_the_elements_have_not_ends_the_job() -> None:
    text = "psij_end() { echo end $*; exit; }\npsij_index=7\n" + element_text(
        [0, 9], [Job(command=["x"]), Job(command=["y"])]
    )
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "end 125 element\n"


# ---- what is asked of a platform -----------------------------------------------------------------------------------


def test_only_what_goes_beyond_the_ordinary_counts_as_a_request() -> None:
    assert requests(Job(command=["true"])) == {}
    asked = requests(Job(command=["true"], num_nodes=2, gpus_per_rank=1, memory_per_node=5, queue="q", hold=True))
    assert asked == {"num_nodes": 2, "gpus_per_rank": 1, "memory_per_node": 5, "queue": "q", "hold": True}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"parameters": {"given": "7"}}, "has no parameter 'given'"),
        ({"gpus_per_rank": 1}, "cannot ask for GPUs"),
        ({"queue": "long"}, "has no queues"),
    ],
)
def test_a_refusal_names_the_platform_however_its_template_is_called(fields: Mapping[str, Any], said: str) -> None:
    class Mine(platform("local").template_class):  # type: ignore[misc]  # a class that is found at run time
        pass

    settings = FileSettings(template=Mine, platform="toyq")
    with pytest.raises(InvalidRequest, match=f"^the toyq platform {said}"):
        render(settings, Job(command=["true"], **fields), JobPlace("j1", "psij:j1", Path("/spool/j1")))


def test_a_request_that_a_platform_cannot_express_is_refused_not_dropped() -> None:
    with pytest.raises(InvalidRequest, match="local platform cannot ask for GPUs"):
        script("local", Job(command=["true"], gpus_per_rank=1))
    with pytest.raises(InvalidRequest, match=r"cannot ask for memory \(memory_per_node=100 MB\)"):
        script("flux", Job(command=["true"], memory_per_node=100))


def test_a_fixed_parameter_cannot_be_passed_through_a_second_time() -> None:
    with pytest.raises(InvalidRequest, match="wall_time_min is said twice"):
        values(Job(command=["true"], wall_time_min=5, parameters={"wall_time_min": 99}))
    assert values(Job(command=["true"], parameters={"qos": "x"}))["qos"] == "x"


def test_elements_that_print_to_dev_null_have_no_file_of_their_own(tmp_path: Path) -> None:
    job = Job(command=["true"], array=[0, 1], stdout=Path("/dev/null"), stderr=tmp_path / "errors")
    text = BatchSchedulerExecutor("local", home=tmp_path / "home").render(job)
    assert "psij_stdout=/dev/null\n" in text
    assert f"psij_stderr={tmp_path}/errors  # .INDEX is added\n" in text
    assert outputs(tmp_path, "1", job) == (Path("/dev/null"), tmp_path / "errors.1")


@pytest.mark.parametrize(
    ("fields", "platform", "says"),
    [
        ({"wall_time_min": None}, "local", "when the job's wall time ends is not known"),
        ({"wall_time_min": 1}, "local", "warns the job before it starts"),
        ({"wall_time_min": 1}, "slurm", "warns the job before it starts"),
        ({"signal_before_end": "KILL@10"}, "slurm", "must be [B:]SIGNAL[@SECONDS]"),
        ({"signal_before_end": "17@10"}, "slurm", "must be [B:]SIGNAL[@SECONDS]"),
        ({"signal_before_end": "CLD"}, "local", "must be [B:]SIGNAL[@SECONDS]"),
    ],
)
def test_a_warning_that_cannot_come_is_refused(fields: dict[str, Any], platform: str, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        BatchSchedulerExecutor(platform).render(
            Job(**{"command": ["true"], "signal_before_end": "USR1@60", **fields})
        )
    assert says in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("said", "meant"), [("10@90", "USR1@90"), ("B:12", "B:USR2@60"), ("IOT@5", "ABRT@5"), ("sigpoll@5", "IO@5")]
)
def test_a_signal_is_called_as_shells_do(said: str, meant: str) -> None:
    assert Job(command=["true"], signal_before_end=said).signal_before_end == meant


def test_slurm_tells_the_time_of_a_warning_and_elsewhere_the_script_looks_at_it() -> None:
    job = Job(command=["true"], wall_time_min=10, signal_before_end="b:sigterm@90")
    assert job.signal_before_end == "B:TERM@90"
    slurm, local = (BatchSchedulerExecutor(name).render(job) for name in ("slurm", "local"))
    assert "#SBATCH --signal=B:TERM@90\n" in slurm
    assert "psij_warn_after_s" not in slurm
    assert "psij_warn_before_s=90 psij_warn_after_s=510\n" in local
    for text in (slurm, local):
        assert "psij_warning=TERM psij_warns_command=yes\n" in text
    assert "\ntrap psij_warned=yes TERM" in slurm
    early = BatchSchedulerExecutor("slurm").render(job.with_(wall_time_min=2))  # Slurm might warn it at once
    assert "psij_warn_before_s=90 psij_warn_after_s=30\n" in early
    assert "#SBATCH --signal" not in early
    left = Job(command=["true"], wall_time_min=None, signal_before_end="USR1")
    assert "#SBATCH --signal=B:USR1@60\n" in BatchSchedulerExecutor("slurm").render(left)
