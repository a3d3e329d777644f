"""The host's own resource managers, out of sight of tests and benches.

Each directory of PATH is replaced by one of links to its programs, without those of resource managers; and absolute
paths that tell of a manager are looked for below an empty directory ($PSIJ_PARSL_SYSROOT, see docs/how-to/sites.md). What
a test's own cluster brings, its environment puts on PATH again: `environment_with`.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

#: The directory of all this, for the processes that we start: they see the same.
VARIABLE = "PSIJ_TEST_UNSEEN"
_PATH = "PSIJ_TEST_PATH"  # PATH as it was
_PREFIX = "psij-unseen-"
_SETTINGS = ("PSIJ_", "SLURM", "SBATCH_", "SQUEUE_", "SACCT", "PBS_")
_SLURM = (
    "sacct",
    "sacctmgr",
    "salloc",
    "sattach",
    "sbatch",
    "sbcast",
    "scancel",
    "scontrol",
    "scrontab",
    "sdiag",
    "sh5util",
    "sinfo",
    "sprio",
    "squeue",
    "sreport",
    "srun",
    "sshare",
    "sstat",
    "strigger",
)
#: The programs of each manager that the tests start, by which its environment finds them again.
_PROGRAMS: Mapping[str, Callable[[str], object]] = {
    "slurm": _SLURM.__contains__,
    "gridengine": re.compile(r"q[a-z]+").fullmatch,
    "htcondor": re.compile(r"condor_.+").fullmatch,
    "oar": re.compile(r"oar.+").fullmatch,
}
_PACKAGED = Path("/usr/bin")  # where Debian's packages, which the tests' clusters are made of, put their programs
_MANAGERS = re.compile(
    "|".join(_SLURM)
    + r"|q(sub|stat|del|hold|rls|alter|sig|rerun|move|msg|order|select|mgr|acct|conf|host|login|mod|rsh|sh|status|tcsh)"
    r"|q(run|start|stop|enable|disable|term)|pbs(nodes|dsh|_.*)|printjob|tracejob|generate_pbs_nodefile|mpiexec\.slurm"
    r"|b(sub|jobs|kill|hist|queues|hosts|stop|resume|mod|peek)|condor_.*|oar(sub|stat|del|hold|resume|nodes)|flux|cq(sub|stat|del)"
)


def hide() -> bool:
    """Change this process's environment; True if it is for us to `tidy` in the end, and not for who started us."""
    before, path = os.environ.get(VARIABLE), os.environ.get("PATH", os.defpath)
    if before and os.path.isdir(before):
        return False
    if not before or before not in path:  # else it was hidden in another root, and cannot be seen from this one
        os.environ[_PATH] = path
    _remove_abandoned()
    os.environ[VARIABLE] = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
    os.mkdir(sysroot())
    refresh()
    os.environ["PATH"] = os.pathsep.join(_stand_in(folder) for folder in _folders())
    os.environ["PSIJ_PARSL_SYSROOT"] = sysroot()
    return True


def tidy() -> None:
    """Take away what `hide` made."""
    shutil.rmtree(os.environ[VARIABLE])


def _remove_abandoned() -> None:
    """Take away what processes have left that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        if not os.path.exists(f"/proc/{pid}"):
            shutil.rmtree(path, ignore_errors=True)  # another one may be at it, too


def sysroot() -> str:
    """The empty directory that stands for / where signs of managers are looked for."""
    return f"{os.environ[VARIABLE]}/root"


def refresh() -> None:
    """Bring the links up to date, after packages were installed. Nothing to do where nothing is hidden."""
    if VARIABLE not in os.environ:
        return
    for folder in _folders():
        if (made := _stand_in(folder)) != folder:
            _link(folder, Path(made), lambda name: not _MANAGERS.fullmatch(name))
    for manager, wanted in _PROGRAMS.items():
        _link(str(_PACKAGED), Path(os.environ[VARIABLE]) / manager, wanted)


def forget_settings() -> None:
    """Take out of this process's environment what a resource manager or a user's own settings have put there."""
    for name in filter(is_setting, list(os.environ)):
        del os.environ[name]
    os.environ |= {"PSIJ_PARSL_SYSROOT": sysroot(), "XDG_CONFIG_HOME": f"{sysroot()}/config"}


def is_setting(name: str) -> bool:
    """Whether a variable of that name would change what the product does here."""
    return name.startswith(_SETTINGS) and not name.startswith("PSIJ_TEST_")


def is_ours(name: str) -> bool:
    """Whether a variable of that name is one that this module sets."""
    return name in (VARIABLE, _PATH, "PSIJ_PARSL_SYSROOT")


def path_before() -> str:
    """PATH as it was."""
    return os.environ[_PATH]


def plain_path() -> str:
    """PATH without a virtual environment."""
    return os.pathsep.join(_stand_in(folder) for folder in _folders() if _stand_in(folder) != folder)


def environment_with(manager: str) -> dict[str, str]:
    """What puts the packages' programs of a manager on PATH, where they are hidden."""
    if VARIABLE not in os.environ:
        return {}
    refresh()
    folder, path = f"{os.environ[VARIABLE]}/{manager}", os.environ.get("PATH", os.defpath).split(os.pathsep)
    return {"PATH": os.pathsep.join([folder, *(each for each in path if each != folder)])}


def _folders() -> Iterator[str]:
    yield from dict.fromkeys(filter(os.path.isabs, os.environ[_PATH].split(os.pathsep)))


def _stand_in(folder: str) -> str:
    """The directory instead of that one: itself, if it is the virtual environment's, where nothing of a manager is."""
    if sys.prefix != sys.base_prefix and os.path.realpath(folder) == os.path.realpath(f"{sys.prefix}/bin"):
        return folder
    return f"{os.environ[VARIABLE]}/path{folder.rstrip('/')}"


def _link(folder: str, made: Path, wanted: Callable[[str], object]) -> None:
    made.mkdir(parents=True, exist_ok=True)
    try:
        names = set(os.listdir(folder))
    except OSError:  # PATH may name what is not there
        return
    for name in filter(wanted, names - set(os.listdir(made))):
        try:
            (made / name).symlink_to(f"{folder}/{name}")
        except FileExistsError:  # another process was faster
            continue
