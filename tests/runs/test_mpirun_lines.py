"""The launch line of every method, word for word; the checks of its words; a site's own; whose `mpiexec` it is."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import Job
from psij_parsl import site as machine
from psij_parsl.errors import InvalidRequest, LaunchError, TemplateError
from psij_parsl.job_size import Resources
from psij_parsl.resources.node import Node
from psij_parsl.runs.mpi_detection import find_launcher, version_text
from psij_parsl.runs.mpi_libraries import linked_mpi
from psij_parsl.runs.mpirun import MPIRun
from psij_parsl.runs.planning import prepare_run
from psij_parsl.runs.registry import launcher, launchers
from psij_parsl.runs.selection import select_launch_method
from psij_parsl.sites import find
from tests.runs.launches import starting_lines

#: 2 nodes with 4 ranks each, 3 cores with 2 threads and one GPU for each rank.
WIDE = Resources(num_nodes=2, ranks_per_node=4, cpus_per_rank=3, threads_per_core=2, gpus_per_rank=1)
ONE = Resources(ranks_per_node=2)
HOSTS = ["nid00012", "nid00113"]

#: Over the whole allocation, where the launcher binds; and on two nodes that were assigned, where we do.
GOLDEN = {
    ("srun", "mpi"): (
        "srun --kill-on-bad-exit=1 --nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=6 --gpus-per-node=4",
        "srun --kill-on-bad-exit=1 --nodes=2 --ntasks=8 --ntasks-per-node=4 --overlap --cpu-bind=none"
        " --nodelist=nid00012,nid00113",
    ),
    ("srun", "serial"): (
        "srun --mpi=none --kill-on-bad-exit=0 --nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=6"
        " --gpus-per-node=4",
        "srun --mpi=none --kill-on-bad-exit=0 --nodes=2 --ntasks=8 --ntasks-per-node=4 --overlap --cpu-bind=none"
        " --nodelist=nid00012,nid00113",
    ),
    ("openmpi", "mpi"): (
        "mpirun -n 8 --map-by ppr:4:node:pe=3",
        "mpirun -n 8 --map-by ppr:4:node:oversubscribe --bind-to none --host nid00012:4,nid00113:4",
    ),
    ("openmpi", "serial"): (
        "env OMPI_MCA_orte_abort_on_non_zero_status=0 PRTE_MCA_state_base_error_non_zero_exit=0"
        " mpirun -n 8 --map-by ppr:4:node:pe=3",
        "env OMPI_MCA_orte_abort_on_non_zero_status=0 PRTE_MCA_state_base_error_non_zero_exit=0"
        " mpirun -n 8 --map-by ppr:4:node:oversubscribe --bind-to none --host nid00012:4,nid00113:4",
    ),
    ("mpich", "mpi"): (
        "mpiexec -n 8 -ppn 4 -bind-to core:3",
        "mpiexec -n 8 -ppn 4 -bind-to none -hosts nid00012,nid00113",
    ),
    ("mpich", "serial"): (
        "mpiexec -disable-auto-cleanup -n 8 -ppn 4 -bind-to core:3",
        "mpiexec -disable-auto-cleanup -n 8 -ppn 4 -bind-to none -hosts nid00012,nid00113",
    ),
    ("intelmpi", "mpi"): (
        "mpiexec -n 8 -ppn 4 -genv I_MPI_PIN_DOMAIN 6:compact",
        "mpiexec -n 8 -ppn 4 -genv I_MPI_PIN 0 -hosts nid00012,nid00113",
    ),
    ("intelmpi", "serial"): (
        "mpiexec -disable-auto-cleanup -n 8 -ppn 4 -genv I_MPI_PIN_DOMAIN 6:compact",
        "mpiexec -disable-auto-cleanup -n 8 -ppn 4 -genv I_MPI_PIN 0 -hosts nid00012,nid00113",
    ),
    ("pals", "mpi"): (
        "mpiexec -n 8 --ppn 4 --depth 6 --cpu-bind depth",
        "mpiexec -n 8 --ppn 4 --cpu-bind none --hosts nid00012,nid00113",
    ),
    ("pals", "serial"): (
        "mpiexec --no-abort-on-failure -n 8 --ppn 4 --depth 6 --cpu-bind depth",
        "mpiexec --no-abort-on-failure -n 8 --ppn 4 --cpu-bind none --hosts nid00012,nid00113",
    ),
    ("aprun", "mpi"): ("aprun -n 8 -N 4 -d 6 -j 2 -cc depth", "aprun -n 8 -N 4 -d 6 -j 2 -cc none -L 12,113"),
    ("aprun", "serial"): ("aprun -n 8 -N 4 -d 6 -j 2 -cc depth", "aprun -n 8 -N 4 -d 6 -j 2 -cc none -L 12,113"),
    ("jsrun", "mpi"): (
        *2
        * (
            "jsrun --exit_on_error 1 --nrs 8 --tasks_per_rs 1 --rs_per_host 4 --cpu_per_rs 3 --gpu_per_rs 1"
            " --bind rs --launch_distribution packed",
        ),
    ),
    ("jsrun", "serial"): (
        *2
        * (
            "jsrun --exit_on_error 0 --nrs 8 --tasks_per_rs 1 --rs_per_host 4 --cpu_per_rs 3 --gpu_per_rs 1"
            " --bind rs --launch_distribution packed",
        ),
    ),
    ("lrun", "mpi"): (*2 * ("lrun -N 2 -n 8 -c 3 -g 1",),),
    ("lrun", "serial"): (*2 * ("lrun -W --exit_on_error=0 -N 2 -n 8 -c 3 -g 1",),),
    ("ibrun", "mpi"): ("env IBRUN_TASKS_PER_NODE=4 ibrun -n 8", None),
    ("ibrun", "serial"): ("env IBRUN_TASKS_PER_NODE=4 ibrun -n 8", None),
    ("flux", "mpi"): (
        "flux run -o exit-on-error --nodes=2 --ntasks=8 --cores-per-task=3 --gpus-per-task=1 -o cpu-affinity=per-task"
        " -o gpu-affinity=per-task",
        "flux run -o exit-on-error --nodes=2 --ntasks=8 --cores-per-task=3 --gpus-per-task=1"
        " --requires=hosts:nid00012,nid00113 -o cpu-affinity=per-task -o gpu-affinity=per-task",
    ),
    ("flux", "serial"): (
        "flux run -o pmi=off -o exit-timeout=none --nodes=2 --ntasks=8 --cores-per-task=3 --gpus-per-task=1"
        " -o cpu-affinity=per-task -o gpu-affinity=per-task",
        "flux run -o pmi=off -o exit-timeout=none --nodes=2 --ntasks=8 --cores-per-task=3 --gpus-per-task=1"
        " --requires=hosts:nid00012,nid00113 -o cpu-affinity=per-task -o gpu-affinity=per-task",
    ),
}
#: What each real `mpiexec --version` begins with. PALS' is from its documentation, the others were seen.
BANNERS = {
    "openmpi": ["mpirun (Open MPI) 5.0.11", "mpiexec (OpenRTE) 4.1.4"],
    "mpich": ["HYDRA build details:\n    Version:                                 4.0.2"],
    "intelmpi": ["Intel(R) MPI Library for Linux* OS, Version 2021.18.1 Build 20260626 (id: b44796a)"],
    "pals": ["mpiexec version 1.2.12 revision 2f1ab3c built Jul 10 2023"],
}
PutProgram = Callable[[str, str], Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PutProgram:
    """Puts a program of that name on a PATH of few: it prints this for --version, and else its arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/sbin:/sbin")
    for name in ("sh", "bash", "env", "cat", "echo"):
        (folder / name).symlink_to(f"/bin/{name}")

    def program(name: str, version: str) -> Path:
        path = folder / name
        text = f'#!/bin/sh\nif [ "$1" = --version ]; then cat <<"E"\n{version}\nE\nelse echo "$0" "$@"; fi\n'
        path.write_text(text)
        path.chmod(0o755)
        version_text.cache_clear()
        return path

    return program


@pytest.mark.parametrize(("name", "mode"), GOLDEN)
def test_the_line_of(name: str, mode: str) -> None:
    method = launcher(name)()
    over_all, assigned = GOLDEN[name, mode]
    assert method.argv(WIDE, mode=mode) == shlex.split(over_all)
    if assigned is None:
        with pytest.raises(InvalidRequest, match="cannot be told on which nodes"):
            method.argv(WIDE, mode=mode, hosts=HOSTS)
    else:
        assert method.argv(WIDE, mode=mode, hosts=HOSTS) == shlex.split(assigned)


def test_every_method_has_golden_lines_and_says_how_it_ends_its_ranks() -> None:
    for name, method in launchers():
        assert isinstance(method, type), method
        assert method.name == name
        assert method.signal_docs.endswith("."), f"{name} does not say how signals reach its ranks"
        if name not in ("single", "fork", "mpiexec"):  # at work in test_mpirun.py, and below
            assert {(name, "mpi"), (name, "serial")} <= GOLDEN.keys()
            assert method.rank_variables, f"{name} does not say by which variable a rank knows itself"


def test_without_gpus_none_are_asked_for() -> None:
    for name, method in launchers():
        assert isinstance(method, type)
        if name not in ("mpiexec", "single"):
            assert not any("gpu" in word or word == "-g" for word in method().argv(ONE))


def test_variables_that_other_nodes_must_be_given_are_named_without_their_values() -> None:
    job = Job(command=["true"], num_nodes=2, environment={"SECRET": "a b", "B": "2"})
    words = launcher("openmpi")().argv(job, hosts=HOSTS)
    assert words[-4:] == ["-x", "B", "-x", "SECRET"]
    assert "a b" not in str(words)
    text = launcher("openmpi")().text(job)
    assert text.endswith("${B+-x B} ${LD_LIBRARY_PATH+-x LD_LIBRARY_PATH} ${PATH+-x PATH} ${SECRET+-x SECRET}")


def test_a_variable_that_is_not_set_is_not_named(put: PutProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    put("mpirun", BANNERS["openmpi"][0])
    method = launcher("openmpi")()
    text = f'{method.lines(ONE, mode="serial")}\n{method.text(ONE)} "$@"'
    for environ, names in (({}, ["PATH"]), ({"LD_LIBRARY_PATH": ""}, ["LD_LIBRARY_PATH", "PATH"])):
        done = subprocess.run(
            ["bash", "-c", text, "x", "a b"],
            env={"PATH": os.environ["PATH"], **environ},
            capture_output=True,
            text=True,
            check=True,
        )
        assert re.findall(r"-x (\S+)", done.stdout) == names
        assert done.stdout.endswith(" a b\n")


def test_input_goes_to_the_first_rank_alone() -> None:
    assert "--input=0" in launcher("srun")().argv(WIDE, stdin=True)
    assert "--input=0" not in launcher("srun")().argv(WIDE)


def test_further_options_stand_behind_the_methods_own() -> None:
    method = launcher("srun")(options=["--mpi=pmix", "--label"])
    assert method.argv(ONE)[-2:] == ["--mpi=pmix", "--label"]
    assert method.text(ONE).endswith("--mpi=pmix --label")
    assert method.with_program("/opt/srun").argv(ONE)[0] == "/opt/srun"
    assert method.with_program("/opt/srun").argv(ONE)[-2:] == ["--mpi=pmix", "--label"]


# ---- checks -------------------------------------------------------------------------------------------------------


def test_a_word_that_is_no_template_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TemplateError, match="Broken.mpi: the word '{{ num_ranks' is no template"):

        class Broken(MPIRun):
            mpi = ("run", "{{ num_ranks")


def test_a_line_of_one_text_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TemplateError, match="one text.*each word becomes one argument"):

        class Text(MPIRun):
            mpi = "run -n {{ num_ranks }}"


def test_a_line_that_cannot_say_the_hosts_starts_nothing_on_hosts() -> None:
    class Blind(MPIRun):
        name = "blind"
        mpi = ("run", "{{ num_ranks }}")

    assert Blind().argv(ONE) == ["run", "2"]
    with pytest.raises(InvalidRequest, match="cannot say on which hosts"):
        Blind().argv(ONE, hosts=HOSTS)


# ---- a site's own -------------------------------------------------------------------------------------------------

SITE = """
platform = "slurm"
launcher = "srun"

[launch]
options = ["--mpi=cray_shasta"]
serial = ["srun", "-n", "{{ num_ranks }}", "{% if hosts %}-w{% endif %}", "{{ hosts }}"]
"""


def test_a_site_adds_options_and_replaces_lines(tmp_path: Path) -> None:
    file = tmp_path / "machine.toml"
    file.write_text(SITE)
    site = find(file=file)
    method = MPIRun.for_site(site)
    assert method.argv(ONE, mode="serial", hosts=HOSTS) == [
        "srun",
        "-n",
        "2",
        "-w",
        "nid00012,nid00113",
        "--mpi=cray_shasta",
    ]
    assert method.argv(ONE)[:2] == ["srun", "--kill-on-bad-exit=1"]
    assert method.argv(ONE)[-1] == "--mpi=cray_shasta"
    assert "--mpi=cray_shasta" not in MPIRun.for_site(site, launcher="fork").argv(ONE)


def test_a_sites_line_is_what_its_job_scripts_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "machine.toml"
    file.write_text(SITE)
    script = machine(file=file).executor().render(Job(command=["true"], ranks_per_node=2, job_mode="serial"))
    assert 'exec -- srun -n 2 --mpi=cray_shasta "$@"' in script


def test_a_sites_line_that_is_wrong_is_told(tmp_path: Path) -> None:
    file = tmp_path / "machine.toml"
    file.write_text(SITE.replace("{{ num_ranks }}", "{{ ranks }}"))
    with pytest.raises(TemplateError, match="the site's serial line of srun uses 'ranks'"):
        MPIRun.for_site(find(file=file))


# ---- whose mpiexec it is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BANNERS)
def test_the_mpiexec_on_path_is_known_by_what_it_says(name: str, put: PutProgram) -> None:
    for version in BANNERS[name]:
        path = put("mpiexec", version)
        found = launcher("mpiexec")().resolved(os.environ["PATH"])
        assert found.name == name
        expected = launcher(name)().argv(WIDE, hosts=HOSTS)
        program = launcher(name).program
        assert found.argv(WIDE, hosts=HOSTS) == [str(path) if word == program else word for word in expected]


def in_script(
    method: MPIRun, shape: Resources, mode: str = "mpi", hosts: str = ""
) -> subprocess.CompletedProcess[str]:
    """What the launcher of a job script was started with, where the launchers are those of `put`."""
    lines, text = method.lines(shape, mode=mode, hosts=hosts), method.text(shape, mode=mode, hosts=hosts)
    return subprocess.run(
        ["bash", "-c", f'hosts=n1,n2\n{lines}\nexec -- {text} "$@"', "script", "/bin/sh", "a b"],
        env={**os.environ, "SLURM_JOB_ID": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", BANNERS)
@pytest.mark.parametrize("hosts", ["", '"$hosts"'])
def test_in_a_script_that_is_found_out_where_it_runs(name: str, hosts: str, put: PutProgram) -> None:
    path = put("mpiexec", BANNERS[name][0])
    method = launcher(name)(options=["-v"])
    wanted = method.argv(WIDE, hosts=["n1,n2"] if hosts else ())
    done = in_script(launcher("mpiexec")(options=["-v"]), WIDE, hosts=hosts)
    assert (done.returncode, done.stderr) == (0, "")
    said = (
        done.stdout.replace(" -x PATH", "").replace("n1,n2 ", "n1,n2:4 " if name == "openmpi" else "n1,n2 ").split()
    )
    assert said == [str(path), *wanted[1:], "/bin/sh", "a", "b"]


PBS_WRAPPER = "pbs_version = 23.06.06"


@pytest.mark.parametrize("name", BANNERS)
@pytest.mark.parametrize("as_what", ["mpiexec", "its own name"])
def test_pbs_own_wrapper_is_passed_over(
    name: str, as_what: str, put: PutProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = launcher(name).program if as_what != "mpiexec" else "mpiexec"
    found = put(program, BANNERS[name][0])
    pbs = tmp_path / "pbs"
    pbs.mkdir()
    (pbs / program).write_text(f"#!/bin/sh\necho {PBS_WRAPPER}\n")
    (pbs / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{pbs}:{os.environ['PATH']}")
    method = launcher(name if as_what != "mpiexec" else "mpiexec")()
    assert in_script(method, WIDE).stdout.split()[0] == str(found)
    if name == "openmpi" and as_what == "mpiexec":
        assert method.resolved().argv(WIDE)[0] == str(found)
        return
    used = prepare_run(method, Job(command=["/bin/sh"], job_mode="serial")).command.argv
    assert str(found) in used[:4]  # behind `env` and its words


def test_pbs_own_wrapper_alone_is_no_mpiexec(put: PutProgram) -> None:
    put("mpiexec", PBS_WRAPPER)
    with pytest.raises(LaunchError, match="no 'mpiexec' on PATH here but PBS's own wrapper /"):
        launcher("mpiexec")().resolved()
    done = in_script(launcher("mpiexec")(), WIDE)
    assert (done.returncode, done.stdout) == (127, "")
    assert "an mpiexec is not on PATH here" in done.stderr


@pytest.mark.parametrize("name", BANNERS)
def test_a_script_and_a_run_use_the_same_program(name: str, put: PutProgram) -> None:
    """Several MPIs of one name: the alias of its own, or the one further on PATH that is of this method."""
    method = launcher(name)()
    other = "mpich" if name != "mpich" else "openmpi"
    put(method.program, BANNERS[other][0])
    done = in_script(method, WIDE)
    assert (done.returncode, done.stdout) == (127, "")
    assert f"the launcher of {name} is not on PATH here" in done.stderr
    further = Path(os.environ["PATH"].partition(":")[0]).parent / "further bin"
    further.mkdir()
    own = put(method.program, BANNERS[name][0])
    own.rename(further / method.program)
    put(method.program, BANNERS[other][0])
    os.environ["PATH"] += f":{further}"
    assert in_script(method, WIDE).stdout.startswith(f"{further / method.program} ")
    assert find_launcher(method, None) == str(further / method.program)
    for alias in method.aliases[:1]:
        (further / alias).symlink_to(further / method.program)  # beside it, its own name is the surer one
        assert in_script(method, WIDE).stdout.startswith(f"{further / alias} ")
        assert find_launcher(method, None) == str(further / alias)
        own = put(alias, BANNERS[name][0])  # what comes first on PATH was put there on purpose
        assert in_script(method, WIDE).stdout.split()[0] == str(own) == find_launcher(method, None)


def test_this_host_is_called_as_it_calls_itself(monkeypatch: pytest.MonkeyPatch, put: PutProgram) -> None:
    own = socket.gethostname()
    nodes = [Node("elsewhere.cluster", (0, 1)), Node(f"{own.partition('.')[0]}.cluster.example", (0, 1))]
    job = Job(command=["/bin/sh"], num_nodes=2, job_mode="serial")
    for name in ("openmpi", "mpich", "intelmpi", "pals", "srun"):
        method = launcher(name)()
        put(method.program, BANNERS.get(name, [""])[0])
        words = {word.rpartition("=")[2] for word in prepare_run(method, job, nodes).command.argv}
        called = {"elsewhere.cluster," + own, f"elsewhere.cluster:1,{own}:1"}
        assert bool(words & called) == method.needs_own_hostname
        assert (f"elsewhere.cluster,{nodes[1].name}" in words) != method.needs_own_hostname


def test_open_mpi_is_told_the_nodes_where_it_does_not_ask_slurm(put: PutProgram, tmp_path: Path) -> None:
    put("mpirun", BANNERS["openmpi"][0])
    put("awk", "")
    os.unlink(Path(os.environ["PATH"].partition(":")[0]) / "awk")
    for name in ("awk", "uname"):
        (Path(os.environ["PATH"].partition(":")[0]) / name).symlink_to(f"/usr/bin/{name}")
    own = socket.gethostname()
    (tmp_path / "nodes").write_text(f"n1.cluster.example\n{own.partition('.')[0]}.cluster.example\n")
    environ = {"PSIJ_NODEFILE": str(tmp_path / "nodes"), "PATH": os.environ["PATH"]}
    for name in ("openmpi", "mpiexec"):
        method = launcher(name)()
        put(method.program, BANNERS["openmpi"][0])
        text = f'{method.lines(WIDE, mode="serial")}\n{method.text(WIDE, mode="serial")} "$@"'
        done = subprocess.run(
            ["bash", "-c", text, "x", "sh"], env=environ, capture_output=True, text=True, check=True
        )
        assert f"--host n1.cluster.example:4,{own}:4 " in done.stdout
        done = subprocess.run(
            ["bash", "-c", text, "x", "sh"],
            env={**environ, "SLURM_JOB_ID": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "--host" not in done.stdout


def test_a_launcher_of_another_mpi_is_not_taken_for_it(put: PutProgram) -> None:
    put("mpiexec", BANNERS["openmpi"][0])
    with pytest.raises(LaunchError, match=r"mpich is not on PATH: .*/mpiexec says 'mpirun \(Open MPI\) 5.0.11'"):
        find_launcher(launcher("mpich")(), os.environ["PATH"])
    own = put("mpiexec.hydra", BANNERS["mpich"][0])
    assert find_launcher(launcher("mpich")(), os.environ["PATH"]) == str(own)


def test_without_any_mpi_the_reason_is_told(put: PutProgram) -> None:
    with pytest.raises(LaunchError, match="there is no program 'mpirun' on PATH here.*load the module"):
        find_launcher(launcher("openmpi")(), os.environ["PATH"])
    with pytest.raises(LaunchError, match="there is no 'mpiexec' on PATH here"):
        launcher("mpiexec")().resolved(os.environ["PATH"])


def test_a_host_alone_needs_no_mpi_for_what_is_none(put: PutProgram) -> None:
    laptop = find("laptop")
    assert select_launch_method(laptop, platform="host", program="/bin/sleep").name == "fork"
    assert select_launch_method(laptop, platform="host", program="/no/such").name == "fork"
    assert (
        select_launch_method(laptop, platform="host", program="/usr/bin/python3").name == "fork"
    )  # who knows, but there is none
    put("mpiexec", BANNERS["openmpi"][0])
    assert select_launch_method(laptop, platform="host", program="/usr/bin/python3").name == "mpiexec"
    assert select_launch_method(laptop, platform="host", program="/bin/sleep").name == "fork"
    script = Job(command=["bash", "-c", "true"], ranks_per_node=2)
    assert select_launch_method(laptop, platform="host", job=script).name == "mpiexec"
    assert select_launch_method(laptop, platform="host", job=script.with_(command=["cat"])).name == "fork"
    assert select_launch_method(laptop, platform="host", job=script.with_(job_mode="serial")).name == "fork"
    assert (
        select_launch_method(laptop, platform="host", job=Job(command=["bash"], job_mode="serial")).name == "single"
    )
    assert select_launch_method(laptop, platform="host", job=script.with_(launcher="openmpi")).name == "openmpi"
    assert MPIRun.for_site("laptop", job=script.with_(job_mode="serial")).name == "fork"


@pytest.mark.skipif(os.geteuid() != 0, reason="Open MPI refuses only root")
def test_open_mpis_refusal_to_run_as_root_is_explained(put: PutProgram, tmp_path: Path) -> None:
    refuses = put("mpirun", BANNERS["openmpi"][0])
    refuses.write_text(refuses.read_text().replace('else echo "$0" "$@"', "else exit $((${CODE:-1}))"))
    for mode in ("mpi", "serial"):
        job = Job(command=["/bin/sh"], ranks_per_node=2, job_mode=mode, stdout=tmp_path / "out")
        with launcher("openmpi")()(job) as run:
            with pytest.raises(LaunchError, match="Open MPI refuses to run as root.*say --launcher fork"):
                run.wait(300)
            assert run.wait() == 125
        allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        for method, environment, code in (
            (launcher("openmpi")(), allowed, 1),
            (launcher("openmpi")(), {"CODE": "3"}, 3),
            (launcher("openmpi")(options=["--allow-run-as-root"]), {}, 1),
        ):
            with method(job.with_(environment=environment)) as run:
                assert run.wait(300) == code


def test_a_managers_method_is_taken_where_the_site_says_none(put: PutProgram) -> None:
    laptop = find("laptop")
    usual = {
        "slurm": "srun",
        "pbspro": "mpiexec",
        "torque": "mpiexec",
        "lsf": "mpiexec",  # a machine with jsrun says so in its site file
        "flux": "flux",
        "cobalt": "aprun",
        "gridengine": "mpiexec",
        "htcondor": "mpiexec",
        "oar": "mpiexec",
    }
    assert {name: select_launch_method(laptop, platform=name).name for name in usual} == usual


# ---- whose library a program has ----------------------------------------------------------------------------------


def test_a_script_and_an_interpreter_may_load_any_mpi(tmp_path: Path) -> None:
    script = tmp_path / "solver"
    script.write_text("#!/usr/bin/env python3\n")
    assert linked_mpi(str(script)).mpi == linked_mpi("/usr/bin/python3").mpi == "?"
    assert linked_mpi("/bin/sleep").mpi == ""
    assert linked_mpi("/no/such/program").mpi == ""


def test_a_script_of_a_job_refuses_the_wrong_mpi_where_it_runs(tmp_path: Path, put: PutProgram) -> None:
    fake = tmp_path / "bin" / "ldd"
    fake.write_text("#!/bin/sh\necho ' libmpi.so.12 => /opt/mpich/lib/libmpi.so.12'\n")
    fake.chmod(0o755)
    put("mpirun", BANNERS["openmpi"][0])
    job = Job(command=["sh"], ranks_per_node=2, launcher="openmpi")
    text = starting_lines(job, "srun", tmp_path)
    done = subprocess.run(["bash", "-c", text, "x", "sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert "sh is built with MPICH (or a kin of it), and the launcher openmpi does not serve that" in done.stderr
    assert "2 runs of one rank each" in done.stderr
    fake.write_text("#!/bin/sh\necho ' libmpi.so.40 => /opt/openmpi/lib/libmpi.so.40'\n")
    assert subprocess.run(["bash", "-c", text, "x", "sh"], capture_output=True, check=False).returncode == 0
