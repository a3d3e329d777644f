"""The manager's settings, from environment variables: its state directory, the number of cores it allocates."""

from __future__ import annotations

import os

from .records import LocalError

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings:
    """The manager's settings. Of its variables, only those in `_NAMES` and the home reach a supervisor."""

    _NAMES = ("PSIJ_LOCAL_CORES_TOTAL", "PSIJ_LOCAL_RETENTION")

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.home = _home(environ)
        self.total = int(_number(environ, "PSIJ_LOCAL_CORES_TOTAL", _cores()))
        self.memory = int(_number(environ, "PSIJ_LOCAL_MEMORY_TOTAL", _memory()))
        self.retention = _number(environ, "PSIJ_LOCAL_RETENTION", 86400)
        self.kill_wait = _number(environ, "PSIJ_LOCAL_KILL_WAIT", 5)
        self.passed = {name: environ[name] for name in self._NAMES if name in environ}
        self.passed["PSIJ_LOCAL_HOME"] = self.home


def _home(environ: Mapping[str, str]) -> str:
    if home := environ.get("PSIJ_LOCAL_HOME"):
        return os.path.abspath(home)
    if home := environ.get("PSIJ_PARSL_HOME"):
        return os.path.abspath(os.path.join(home, "local"))
    user = environ.get("HOME") or os.path.expanduser("~")
    state = environ.get("XDG_STATE_HOME") or os.path.join(user, ".local", "state")
    return os.path.abspath(os.path.join(state, "psij_parsl", "local"))


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name)
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12:
        raise LocalError(f"{name}={text} is not a number that can be used")
    return value


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _memory() -> int:
    """This host's memory in MB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
