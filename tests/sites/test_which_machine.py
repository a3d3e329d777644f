"""Which machine is this? Managers that nobody described, hosts that have several, and commands of someone else's.

The stand-ins for commands print what was seen of the real ones: Slurm 22.05 (and its wrappers for PBS's users) and
24.11, OpenPBS 23.06, Grid Engine 8.1.9 and Torque's last source. Torque 6.1.2 and Cobalt are as others tell of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, sites
from psij_parsl.errors import Rejected
from psij_parsl.platforms.command_owners import BANNERS, ask, foreign
from psij_parsl.providers.cobalt.scheduler import CobaltScheduler
from psij_parsl.providers.pbspro.scheduler import PBSProScheduler
from psij_parsl.providers.slurm.scheduler import SlurmScheduler
from tests.cli.helpers import one_sentence_and_a_hint, psij, psij_here
from tests.clusters.slurm import SlurmCluster
from tests.simulated.server import Simulated

SLURM = ("sbatch", "squeue", "scancel")
PBS = ("qsub", "qstat", "qdel")
#: What commands answer to --version: exit code, stdout, stderr.
SAYS: Mapping[str, tuple[int, str, str]] = {
    "Slurm": (0, "slurm-wlm 24.11.5", ""),
    "Slurm without a cluster": (
        1,
        "",
        "sbatch: error: resolve_ctls_from_dns_srv: res_nsearch error: Unknown host\n"
        "sbatch: error: fetch_config: DNS SRV lookup failed\n"
        "sbatch: error: _establish_config_source: failed to fetch config\n"
        "sbatch: fatal: Could not establish a configuration source",
    ),
    "Slurm's qsub": (
        2,
        "",
        "Unknown option: version\nUsage:\n    qsub [-a start_time] [-A account] [-b y|n] [-e err_path] [-I] [-l\n"
        "    resource_list] [-m mail_options] [-M user_list] [-N job_name] [-o\n"
        "    out_path] [-p priority] [-pe shm task_cnt] [-P wckey] [-q destination]",
    ),
    "Slurm's qstat": (
        2,
        "",
        "Unknown option: version\nUsage:\n    qstat [-f] [-a|-i|-r] [-n [-1]] [-G|-M] [-u user_list] [-? | --help]\n"
        "    [--man] [job_id...]",
    ),
    "PBS Pro": (0, "pbs_version = 23.06.06", ""),
    "Torque": (0, "", "Version: 6.1.2\nCommit: 661e092552de43a785c15d39a3634a541d86898e"),
    "Torque, built": (0, "", "Version: master\nCommit: 34ff845417cc0348dfe0a61a491e5e0f4adf6ef4"),
    "Grid Engine": (2, "", 'qsub: invalid option argument "--version"'),
    "Grid Engine's qstat": (
        1,
        "",
        "SGE 8.1.9\nusage: qstat [options]\n        [-ext]     view additional attributes",
    ),
    "Grid Engine without a cell": (
        1,
        "",
        "\nUnable to initialize environment because of error: Please set the environment variable SGE_ROOT.\n"
        "Exiting.",
    ),
    "Cobalt": (0, "qsub.py $Revision: 1992 $, Cobalt Version: $Version$", ""),
    "Cobalt, the last one": (0, 'version: "qsub.py " + $Revision: 559 $ + , Cobalt  + $Version$', ""),
}


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What stands for / of a host on which nothing is."""
    path = tmp_path / "root"
    path.mkdir()
    monkeypatch.setenv("PSIJ_PARSL_SYSROOT", str(path))
    return path


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Put commands into a directory, first on PATH, that say this when they are asked for their version.

    Called otherwise they write their name down, in a file `called` beside them, and end with 1.
    """

    def made(
        commands: tuple[str, ...], says: str | tuple[int, str, str], folder: str = "opt/bin", also: str = ""
    ) -> Path:
        rc, out, err = SAYS[says] if isinstance(says, str) else says
        path = tmp_path / folder
        path.mkdir(parents=True, exist_ok=True)
        (path / "out").write_text(f"{out}\n" if out else "")
        (path / "err").write_text(f"{err}\n" if err else "")
        for name in commands:
            (path / name).write_text(
                f'#!/bin/sh\n[ "$*" = --version ] && {{ cat {path}/out; cat {path}/err >&2; exit {rc}; }}\n{also}\n'
                f'echo "{name} $*" >>{path}/called\nexit 1\n'
            )
            (path / name).chmod(0o755)
        if str(path) not in os.environ["PATH"].split(":"):
            monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
        return path

    return made


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def here() -> tuple[str, str]:
    """The site that is detected and its sign, or '' and the remark."""
    seen = sites.look()
    return seen.site or ("", seen.remark)


# ---- recognised ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    ["etc/slurm/slurm.conf", "etc/slurm-llnl/slurm.conf", "run/slurm/conf/slurm.conf", "opt/slurm/etc/slurm.conf"],
)
def test_slurm_is_known_by_its_configuration(root: Path, put: Callable[..., Path], place: str) -> None:
    touch(root / place)
    folder = put(SLURM, "Slurm without a cluster")
    assert here() == ("slurm", f"/{place} exists, sbatch is {folder}/sbatch")
    assert sites.find().name == "slurm"
    assert not (folder / "called").exists()


@pytest.mark.parametrize("place", ["opt/etc/slurm.conf", "opt/etc/slurm/slurm.conf", "opt/bin/slurm.conf"])
def test_slurm_is_known_by_what_lies_beside_its_commands(
    root: Path, put: Callable[..., Path], place: str, tmp_path: Path
) -> None:
    conf = touch(tmp_path / place)
    folder = put(SLURM, "Slurm without a cluster")
    assert here() == ("slurm", f"{conf} exists, sbatch is {folder}/sbatch")


def test_commands_by_a_link_are_known_by_what_lies_beside_the_file(
    root: Path, put: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf, folder = touch(tmp_path / "opt/etc/slurm.conf"), put(SLURM, "Slurm without a cluster")
    links = tmp_path / "links"
    links.mkdir()
    for name in SLURM:
        (links / name).symlink_to(folder / name)
    monkeypatch.setenv("PATH", f"{links}:/usr/bin:/bin")
    assert here() == ("slurm", f"{conf} exists, sbatch is {links}/sbatch")


@pytest.mark.parametrize(
    ("variable", "site"),
    [
        ("SLURM_CONF", "slurm"),
        ("SLURM_JOB_ID", "slurm"),
        ("PBS_CONF_FILE", "pbspro"),
        ("PBS_JOBDIR", "pbspro"),
        ("COBALT_JOBID", "cobalt"),
    ],
)
def test_managers_are_known_by_the_environment_inside_a_job_or_not(
    root: Path, monkeypatch: pytest.MonkeyPatch, variable: str, site: str
) -> None:
    monkeypatch.setenv(variable, "/some/where")
    assert here() == (site, f"${variable} is /some/where, its commands are not on PATH")


def test_slurm_is_known_by_commands_that_know_a_cluster(root: Path, put: Callable[..., Path]) -> None:
    folder = put(SLURM, "Slurm")
    assert here() == ("slurm", f"its sbatch answers, sbatch is {folder}/sbatch")
    done = psij_here("site", "detect")
    assert (done.returncode, done.stdout, f"{folder}/sbatch" in done.stderr) == (0, "slurm\n", True)


def test_pbs_is_known_by_its_configuration_and_by_commands_that_reach_a_server(
    root: Path, put: Callable[..., Path]
) -> None:
    folder = put(PBS, "PBS Pro", also='[ "$*" = -B ] && exit 0')
    assert here() == ("pbspro", f"its qsub answers, qsub is {folder}/qsub")
    put(PBS, "PBS Pro", also='[ "$*" = -B ] && { echo "pbsconf error: PBS_HOME" >&2; exit 1; }')
    assert here()[1].startswith(
        f"PBS Pro is here (qsub is {folder}/qsub), but no cluster answers (pbsconf error: PBS"
    )
    touch(root / "etc/pbs.conf")
    assert here() == ("pbspro", f"/etc/pbs.conf exists, qsub is {folder}/qsub")


def test_torque_is_not_pbs(root: Path, put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(PBS, "Torque", also='[ "$*" = -B ] && exit 0')
    assert here() == ("torque", f"its qsub answers, qsub is {folder}/qsub")
    touch(root / "var/spool/torque/server_name")
    assert here() == ("torque", f"/var/spool/torque/server_name exists, qsub is {folder}/qsub")
    for name, value in {"PBS_JOBID": "1.s", "PBS_ENVIRONMENT": "PBS_BATCH", "PBS_VERSION": "TORQUE-6.1.2"}.items():
        monkeypatch.setenv(name, value)
    assert here()[0] == "torque"


def test_cobalt_is_neither(root: Path, put: Callable[..., Path]) -> None:
    folder = put(PBS, "Cobalt, the last one", also='[ "$*" = -Q ] && exit 0')
    assert here() == ("cobalt", f"its qsub answers, qsub is {folder}/qsub")
    put(PBS, "Cobalt", also='[ "$*" = -Q ] && { echo "component error: Failed to connect" >&2; exit 1; }')
    assert here()[1].startswith(f"Cobalt is here (qsub is {folder}/qsub), but no cluster answers (component error")
    touch(root / "etc/cobalt.conf")
    assert here() == ("cobalt", f"/etc/cobalt.conf exists, qsub is {folder}/qsub")


def test_real_slurm_is_known_by_its_commands_alone(
    slurm_plain: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where slurm.conf lies in a place that is built into them: here a wrapper sets it."""
    path = slurm_plain.env["PATH"].partition(":")[0]
    folder = Path(os.environ["PSIJ_PARSL_HOME"]).parent / "wrapped"
    folder.mkdir()
    for name in SLURM:
        (folder / name).write_text(f'#!/bin/sh\nSLURM_CONF={slurm_plain.env["SLURM_CONF"]} exec {path}/{name} "$@"\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    assert here()[0] == "slurm"
    done = psij_here("submit", "--hold", "--", "true")
    assert (done.returncode, done.stderr) == (0, "")
    assert psij_here("cancel", "all").returncode == 0
    inside = [
        "srun",
        "env",
        "-u",
        "SLURM_CONF",
        "PATH=/usr/bin",
        sys.executable,
        "-m",
        "psij_parsl.cli",
        "site",
        "detect",
    ]
    done = subprocess.run(inside, env={**os.environ, **slurm_plain.env}, capture_output=True, text=True, check=True)
    assert done.stdout == "slurm\n"
    assert "$SLURM_JOB_ID is " in done.stderr


def test_what_is_described_or_said_comes_before_any_manager(
    root: Path, put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(SLURM, "Slurm")
    touch(root / "etc/slurm/slurm.conf")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/slurm.conf")
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(nodename="login05.frontier"))
    assert here()[0] == "frontier"
    assert sites.find(environ={**os.environ, "PSIJ_SITE": "pbspro"}).name == "pbspro"
    for flags in (["--platform", "local"], ["--site", "laptop"]):
        done = psij_here("render", *flags, "--", "true")
        assert "#PSIJ-LOCAL" in done.stdout
        assert done.stderr == ""


def test_a_users_own_site_for_a_manager_comes_before_ours(root: Path, home: Path) -> None:
    touch(root / "etc/slurm/slurm.conf")
    touch(root / "etc/pbs.conf")
    own = home.parent / "config/psij_parsl/sites/mine.toml"
    touch(own).write_text('platform = "slurm"\ndetect = [{ manager = "slurm" }]\n')
    assert here()[0] == "mine"
    own.write_text('platform = "slurm"\ndetect = [{ manager = "no_such" }]\n')
    assert here()[0] == ""  # two managers, and no more of ours


# ---- several managers, or none that answers --------------------------------------------------------------------


def test_of_two_managers_the_one_whose_commands_are_here_counts(root: Path, put: Callable[..., Path]) -> None:
    touch(root / "etc/slurm/slurm.conf")
    touch(root / "etc/pbs.conf")
    name, remark = here()
    assert name == ""
    assert "Slurm is here (/etc/slurm/slurm.conf exists, its commands are not on PATH)" in remark
    assert "PBS Pro is here (/etc/pbs.conf exists" in remark
    put(PBS, "PBS Pro")
    assert here()[0] == "pbspro"
    put(SLURM, "Slurm", "other/bin")
    name, remark = here()
    assert name == ""
    assert remark.endswith(
        "jobs run on this host alone. Choose with --site or PSIJ_SITE: pbspro, or slurm, or laptop for this host"
        " without this remark"
    )


def test_slurms_own_qsub_makes_no_second_manager(root: Path, put: Callable[..., Path]) -> None:
    put(PBS, "Slurm's qsub")
    folder = put(SLURM, "Slurm", "slurm/bin")
    assert here() == ("slurm", f"its sbatch answers, sbatch is {folder}/sbatch")
    touch(root / "etc/slurm/slurm.conf")
    touch(root / "etc/pbs.conf")  # left behind by a client that was removed
    assert here()[0] == "slurm"


PLACING = {
    "submit": ["submit", "--", "true"],
    "run": ["run", "--", "true"],
    "render": ["render", "--", "true"],
    "parsl show": ["parsl", "show"],
    "parsl write": ["parsl", "write", "config.py"],
}


@pytest.mark.parametrize("verb", PLACING)
def test_a_fall_back_to_this_host_is_said_where_a_job_is_placed(
    root: Path, put: Callable[..., Path], verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = put(SLURM, "Slurm without a cluster")
    done = psij(*PLACING[verb])
    assert done.returncode == 0
    told = (
        f"psij-run: Slurm is here (sbatch is {folder}/sbatch), but no cluster answers (sbatch: fatal: Could not establish"
        " a configuration source): jobs run on this host alone. Choose with --site or PSIJ_SITE: slurm, or laptop for"
        " this host without this remark\n"
    )
    assert done.stderr.replace("psij-run: written to config.py\n", "") == told


def test_with_json_it_is_said_on_stderr_too_and_by_name_it_is_not_said(root: Path, put: Callable[..., Path]) -> None:
    put(SLURM, "Slurm without a cluster")
    done = psij_here("submit", "--json", "--", "true")
    assert json.loads(done.stdout)["platform"] == "local"
    assert json.loads(done.stderr)["note"].startswith("Slurm is here")
    for said in ({"PSIJ_SITE": "laptop"}, {"PSIJ_RUN_PLATFORM": "local"}, {"PSIJ_RUN_SITE": "laptop"}):
        assert psij_here("submit", "--", "true", **said).stderr == ""


@pytest.mark.parametrize(
    "words", [["status"], ["list"], ["site", "list"], ["launch", "--", "true"], ["resources", "show"], ["doctor"]]
)
def test_elsewhere_it_is_not_said(root: Path, put: Callable[..., Path], words: list[str]) -> None:
    put(SLURM, "Slurm without a cluster")
    done = psij_here(*words)
    assert done.returncode == 0
    assert "Slurm" not in done.stderr


def test_where_no_manager_is_nothing_is_said(root: Path) -> None:
    assert here() == ("", "")
    assert psij_here("render", "--", "true").stderr == ""


@pytest.mark.parametrize(("commands", "says", "product"), [(("llsubmit",), "Torque", "LoadLeveler")])
def test_a_manager_that_we_have_no_platform_for_is_named(
    root: Path, put: Callable[..., Path], commands: tuple[str, ...], says: str, product: str
) -> None:
    folder = put(commands, says)
    done = psij_here("render", "--", "true")
    assert done.stderr == (
        f"psij-run: {product} is here ({commands[0]} is {folder}/{commands[0]}), and psij-parsl has no platform for it:"
        " jobs run on this host alone. Choose with --site or PSIJ_SITE: laptop for this host without this remark\n"
    )


def test_commands_that_hang_are_given_up(
    root: Path, put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psij_parsl.sites.manager_detection._ASK_S", 0.2)
    folder = put(PBS, "PBS Pro", also='[ "$*" = -B ] && exec sleep 60')
    assert here()[1].startswith(f"PBS Pro is here (qsub is {folder}/qsub), but no cluster answers")


def test_commands_that_say_nothing_are_no_site(root: Path, put: Callable[..., Path]) -> None:
    folder = put(PBS, (0, "", ""))
    assert (
        f" or another manager is here (qsub is {folder}/qsub), but its commands do not say whose they are: jobs run"
        in here()[1]
    )


def test_a_part_of_a_managers_commands_is_no_manager(root: Path, put: Callable[..., Path]) -> None:
    put(("qstat", "sbatch"), "PBS Pro")
    assert here() == ("", "")


# ---- who answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("says", SAYS)
def test_every_manager_is_told_by_its_words_and_none_is_taken_for_another(
    root: Path, put: Callable[..., Path], says: str
) -> None:
    product = next(name for name in BANNERS if says.startswith(name))
    for commands, scheduler in ((PBS, PBSProScheduler()), (SLURM, SlurmScheduler()), (PBS, CobaltScheduler())):
        put(commands, says)
        assert {told.product for told in ask(scheduler)} == {product}
        other = foreign(ask(scheduler), scheduler.product)
        assert (other is None) == (product == scheduler.product)


@pytest.mark.parametrize("says", ["Grid Engine", "Grid Engine without a cell", "Torque", "Cobalt", "Slurm's qsub"])
def test_nothing_is_submitted_to_another_managers_qsub(
    root: Path, put: Callable[..., Path], says: str, home: Path
) -> None:
    folder = put(PBS, says)
    product = next(name for name in BANNERS if says.startswith(name))
    done = psij_here("submit", "--platform", "pbspro", "--", "true")
    said, hint = one_sentence_and_a_hint(done)
    assert said == f"psij-run: the qsub at {folder}/qsub is {product}'s, not PBS Pro's"
    assert "--platform" in hint
    assert done.returncode == 4
    assert not (folder / "called").exists()
    assert not list(home.glob("jobs/*"))
    assert psij_here("list", "--all").stdout == ""
    assert psij_here("run", "--platform", "pbspro", "--", "true").returncode == 125


def test_another_managers_qstat_before_our_qsub_is_seen(root: Path, put: Callable[..., Path]) -> None:
    put(PBS, "PBS Pro")
    folder = put(("qstat", "qdel"), "Grid Engine's qstat", "ge/bin")
    with pytest.raises(Rejected, match=f"the qstat at {folder}/qstat is Grid Engine's, not PBS Pro's"):
        BatchSchedulerExecutor("pbspro").submit(Job(command=["true"]))


@pytest.mark.parametrize(
    "says",
    [
        (0, "", ""),
        (1, "", "qsub.py: error: unrecognized arguments: --version"),
        (0, "Version: 2.1 of our wrapper", ""),
        (127, "", "qsub: cannot open shared object file"),
        (2, "", "usage: qsub [-a date_time] ... script"),
    ],
)
def test_what_cannot_be_told_is_no_proof(
    pbs: Simulated,
    put: Callable[..., Path],
    says: tuple[int, str, str],
    pbspro: Callable[..., BatchSchedulerExecutor],
) -> None:
    """A site's own wrapper before the real commands, which answers no question about itself."""
    put(PBS, says, also=f'exec {pbs.bin}/$(basename "$0") "$@"')
    assert pbspro().submit(Job(command=["true"])).native_id.endswith(".head")


def test_that_they_are_ours_is_remembered_until_the_command_changes(
    pbs: Simulated, pbspro: Callable[..., BatchSchedulerExecutor], put: Callable[..., Path], home: Path
) -> None:
    folder = put(PBS, "PBS Pro", also=f'exec {pbs.bin}/$(basename "$0") "$@"')

    def asked() -> int:
        text = (folder / "asked").read_text() if (folder / "asked").exists() else ""
        return len(text.split())

    for name in PBS:
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("{ cat", f"{{ echo asked >>{folder}/asked; cat", 1))
    executor = pbspro()
    executor.submit(Job(command=["true"]))
    executor.submit(Job(command=["true"]))
    pbspro().submit(Job(command=["true"]))
    assert asked() == 1
    (folder / "qsub").write_text((folder / "qsub").read_text() + "# changed\n")
    pbspro().submit(Job(command=["true"]))
    assert asked() == 2
    remembered = json.loads((home / "commands.json").read_text())
    assert set(remembered) == {f"{folder}/qsub", f"{folder}/qstat"}
    (home / "commands.json").write_text(json.dumps({f"/{n}": ["x", []] for n in range(100)}))
    pbspro().submit(Job(command=["true"]))
    assert len(json.loads((home / "commands.json").read_text())) == 64
    put(PBS, "Torque")
    with pytest.raises(Rejected, match="Torque"):
        pbspro().submit(Job(command=["true"]))


def test_another_managers_commands_are_not_installed(root: Path, put: Callable[..., Path]) -> None:
    folder = put(PBS, "Grid Engine")
    [row] = [row for row in json.loads(psij_here("platform", "list", "--json").stdout) if row["name"] == "pbspro"]
    assert not row["installed"]
    assert row["error"] == f"the qsub at {folder}/qsub is Grid Engine's, not PBS Pro's"
    shown = json.loads(psij_here("platform", "show", "pbspro", "--json").stdout)
    assert (shown["installed"], shown["queues"]) == (False, [])
    assert not (folder / "called").exists()


#: The platforms whose commands are qsub, qstat and qdel, and what these say.
OF_PBS = {"pbspro": "PBS Pro", "gridengine": "Grid Engine", "torque": "Torque", "cobalt": "Cobalt"}


@pytest.mark.parametrize("first", OF_PBS)
def test_on_a_host_with_the_commands_of_four_managers_each_platform_knows_its_own(
    root: Path, put: Callable[..., Path], first: str
) -> None:
    """Those that stand first on PATH are one platform's; the other platforms say whose they are."""
    order = (*(name for name in OF_PBS if name != first), first)
    more = {"gridengine": ("qacct", "qconf")}
    folders = {name: put((*PBS, *more.get(name, ())), OF_PBS[name], f"{name}/bin") for name in order}
    listed = {row["name"]: row for row in json.loads(psij_here("platform", "list", "--json").stdout)}
    _, rows = doctor()
    for name, product in OF_PBS.items():
        if name == first:
            assert listed[name]["installed"], listed[name]
            assert ", not " not in rows[f"platform {name}"][1]
        else:
            whose = f"the qsub at {folders[first]}/qsub is {OF_PBS[first]}'s, not {product}'s"
            assert listed[name]["error"] == whose
            assert whose in rows[f"platform {name}"][1]


# ---- the doctor ------------------------------------------------------------------------------------------------


def doctor(*words: str, **environ: str) -> tuple[int, dict[str, tuple[str, str]]]:
    done = psij_here("doctor", "--json", *words, **environ)
    return done.returncode, {row["what"]: (row["state"], row["text"]) for row in json.loads(done.stdout)}


def test_a_client_that_nobody_uses_is_no_fault(root: Path, put: Callable[..., Path]) -> None:
    put(SLURM, "Slurm without a cluster")
    put(PBS, "Grid Engine", "ge/bin")
    code, rows = doctor()
    assert code == 0, rows
    assert rows["platform slurm"][0] == "ok"
    assert "not used here" in rows["platform slurm"][1]
    assert rows["platform pbspro"][0] == "ok"
    assert "is Grid Engine's, not PBS Pro's" in rows["platform pbspro"][1]
    assert rows["site"][0] == "warning"
    assert "Slurm is here" in rows["site"][1]


CHOICES: Mapping[str, tuple[tuple[str, ...], dict[str, str], str]] = {
    "--site": (("--site", "polaris"), {}, "the site polaris, by --site"),
    "PSIJ_SITE": ((), {"PSIJ_SITE": "aurora"}, "the site aurora, by PSIJ_SITE"),
    "PSIJ_RUN_SITE": ((), {"PSIJ_RUN_SITE": "pbspro"}, "the site pbspro, by PSIJ_RUN_SITE"),
    "PSIJ_RUN_PLATFORM": ((), {"PSIJ_RUN_PLATFORM": "pbspro"}, "your jobs, by PSIJ_RUN_PLATFORM"),
    "detected": ((), {"PBS_CONF_FILE": "/x"}, "the site pbspro: $PBS_CONF_FILE is /x"),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_a_chosen_site_without_its_commands_is_broken(root: Path, put: Callable[..., Path], choice: str) -> None:
    words, environ, by = CHOICES[choice]
    code, rows = doctor(*words, **environ)
    assert code == 3
    assert rows["platform pbspro"][0] == "broken"
    assert rows["platform pbspro"][1].startswith(f"qsub, qstat, qdel not on PATH, needed by {by}")
    assert rows["platform slurm"][0] == "ok"
    folder = put(PBS, "Torque")
    code, rows = doctor(*words, **environ)
    assert (code, rows["platform pbspro"][0]) == (3, "broken")
    assert f"the qsub at {folder}/qsub is Torque's, not PBS Pro's, needed by {by}" in rows["platform pbspro"][1]


def test_open_jobs_of_a_platform_that_is_gone_are_named(
    pbs: Simulated, pbspro: Callable[..., BatchSchedulerExecutor], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [pbspro().submit(Job(command=["true"], hold=True)).id for _ in range(7)]
    assert doctor()[0] == 0
    monkeypatch.setenv("PATH", os.environ["PATH"].replace(f"{pbs.bin}:", "", 1))
    code, rows = doctor()
    assert code == 3
    state, text = rows["platform pbspro"]
    assert (state, text) == (
        "broken",
        f"qsub, qstat, qdel not on PATH, needed by the open jobs {', '.join(ids[:5])} and 2 more",
    )


def test_a_site_that_is_unknown_or_whose_platform_is_is_told(root: Path, tmp_path: Path) -> None:
    code, rows = doctor("--site", "polarsi")
    assert (code, rows["site"][0]) == (3, "broken")
    folder = tmp_path / "sites"
    touch(folder / "mine.toml").write_text('platform = "toyq"\n')
    code, rows = doctor("--site", "mine", PSIJ_PARSL_SITE_PATH=str(folder))
    assert (code, rows["site"][0]) == (3, "broken")
    assert "there is no platform 'toyq'" in rows["site"][1]
    code, rows = doctor(PSIJ_RUN_PLATFORM="toyq")
    what = ("broken", "not installed, needed by your jobs, by PSIJ_RUN_PLATFORM")
    assert (code, rows["platform toyq"]) == (3, what)


# ---- runs on a host that stands in no job ------------------------------------------------------------------------


def test_a_run_on_a_login_node_does_not_ask_its_manager_for_an_allocation(
    root: Path, put: Callable[..., Path], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put((*SLURM, "srun"), "Slurm")
    touch(root / "etc/slurm/slurm.conf")
    assert here()[0] == "slurm"
    done = psij("launch", "-n", "2", "--", "echo", "ran")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\nran\n", "")
    in_a_job = psij(
        "submit",
        "--platform",
        "local",
        "--mode",
        "script",
        "--wait",
        "-n",
        "2",
        "--",
        "sh",
        "-c",
        f"{sys.executable} -m psij_parsl.cli launch -n 2 -- echo ran",
    )
    assert in_a_job.returncode == 0, in_a_job.stderr
    assert psij("logs", "last").stdout == "ran\nran\n"
    assert not (folder / "called").exists()
    named = psij("launch", "--site", "slurm", "-n", "2", "--", "echo", "ran")
    assert named.returncode != 0
    assert "srun" in (folder / "called").read_text()
