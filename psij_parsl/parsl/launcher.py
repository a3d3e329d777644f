"""Parsl's Launchers over our launch methods: one adapter, and classes with the names that Parsl's users know.

A launcher returns shell text that starts the worker pools of a block. The text works in the script of any provider,
ours or Parsl's: it determines the nodes' names when it runs, from our node file or the manager's own variables. Its
exit status is the command's. It writes no file, and only the shells on the nodes interpret the command.
"""

from __future__ import annotations

import inspect
import os
import shlex
from functools import cache
from typing import Any

from parsl.launchers.base import Launcher
from parsl.launchers.launchers import SimpleLauncher as _ParslSimpleLauncher

from ..errors import InvalidRequest
from ..job_size import Resources
from ..platforms.registry import managers
from ..runs.mpirun import MPIRun
from ..runs.registry import launcher as find_launcher


@cache
def hosts_text() -> str:
    """Shell text that sets psij_hosts to the names of the allocation's nodes, each once, with commas.

    The names are from our node file, else from the job's manager, else there is only this host. This host has the
    name that it gives itself: under another name, Open MPI would reach it by ssh.
    """
    sources = [('[ -r "${PSIJ_NODEFILE:-}" ]', 'cat -- "$PSIJ_NODEFILE"')]
    sources += dict.fromkeys(manager.host_list for manager in managers() if manager.host_list)
    branches = "\n  el".join(f"if {test}; then {command}" for test, command in sources)
    return f"""psij_hosts=$(
  {branches}
  else hostname; fi | awk -v own="$(uname -n)" '!seen[$0]++ {{
    split($0, name, "."); split(own, ours, "."); print name[1] == ours[1] ? own : $0 }}' | paste -s -d , -
)
"""


class MPIRunLauncher(Launcher):
    """Starts `tasks_per_node` copies of the command on each node by the launch method of that name.

    `overrides` are further options for the method's command, written as in a shell. With `debug` the launch line is
    printed on the block's stderr. Raises `PluginError` for an unknown method.
    """

    def __init__(self, launcher: str, *, overrides: str = "", debug: bool = False) -> None:
        super().__init__(debug=debug)
        self.launcher = launcher
        self.overrides = overrides
        find_launcher(launcher)
        _shell_args(overrides)

    def __repr__(self) -> str:
        arguments = [repr(self.launcher)] if type(self) is MPIRunLauncher else []
        arguments += [f"overrides={self.overrides!r}"] if self.overrides else []
        return f"{type(self).__name__}({', '.join([*arguments, *(['debug=True'] if self.debug else [])])})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __call__(self, command: str, tasks_per_node: int, nodes_per_block: int, script_dir: str = "") -> str:
        """The shell text. Raises `InvalidRequest` if the method cannot start so many copies."""
        shape = Resources(num_nodes=nodes_per_block, ranks_per_node=tasks_per_node)
        method = self._method()
        mode = "per_node" if method.per_node else "serial"
        hosts = '"$psij_hosts"' if method.says_hosts(mode) else ""
        text = " ".join([method.text(shape, mode=mode, hosts=hosts), *map(shlex.quote, _shell_args(self.overrides))])
        lines = method.lines(shape, mode=mode, hosts=hosts)
        whole_text = text if not lines else f"{lines}\n{text}"
        debug = f"echo {shlex.quote(f'psij: {whole_text}')} >&2\n" if self.debug else ""
        before = "".join(filter(None, (hosts_text() if hosts else "", debug)))
        return f'{before}set -- bash -c {shlex.quote(command)}\n{lines}\n{text} "$@"\n'.replace("\n\n", "\n")

    def _method(self) -> MPIRun:
        return find_launcher(self.launcher)()


def _shell_args(overrides: str) -> list[str]:
    try:
        return shlex.split(overrides)
    except ValueError as error:
        raise InvalidRequest(f"overrides={overrides!r} is no line of words: {error}") from error


class SrunLauncher(MPIRunLauncher):
    """Slurm's `srun`."""

    def __init__(self, *, overrides: str = "", debug: bool = False) -> None:
        super().__init__("srun", overrides=overrides, debug=debug)


class MpiExecLauncher(MPIRunLauncher):
    """The `mpiexec` that is first on PATH where the block runs, whichever MPI's it is."""

    program = "mpiexec"

    def __init__(self, *, overrides: str = "", debug: bool = False) -> None:
        super().__init__("mpiexec", overrides=overrides, debug=debug)

    def _method(self) -> MPIRun:
        return super()._method().with_program(self.program)


class MpiRunLauncher(MpiExecLauncher):
    """The same for `mpirun`."""

    program = "mpirun"


class SingleNodeLauncher(MPIRunLauncher):
    """Plain processes on one node. Its exit status is that of the first copy that fails."""

    def __init__(self, *, debug: bool = False) -> None:
        super().__init__("fork", debug=debug)

    def __call__(self, command: str, tasks_per_node: int, nodes_per_block: int, script_dir: str = "") -> str:
        if tasks_per_node == nodes_per_block == 1:
            return f"{command}\n"
        return super().__call__(command, tasks_per_node, nodes_per_block, script_dir)


class SimpleLauncher(_ParslSimpleLauncher):
    """The command itself, once, on the block's first node: what `MPIExecutor` asks for."""

    def __init__(self, *, debug: bool = False) -> None:
        super().__init__(debug=debug)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'debug=True' if self.debug else ''})"

    def __call__(self, command: str, tasks_per_node: int, nodes_per_block: int, script_dir: str = "") -> str:
        return f"{command}\n"


NAMED = ("MpiExecLauncher", "MpiRunLauncher", "SimpleLauncher", "SingleNodeLauncher", "SrunLauncher")


def block_launcher(launcher: Any, job_mode: str, num_nodes: int, method: str) -> Any:
    """The launcher of a block: the given one (an object, or a launch method's name), else the job mode's.

    `method` is the launch method that reaches all nodes. Raises `InvalidRequest` or `PluginError` if the given one is
    no launcher.
    """
    if isinstance(launcher, str):
        return MPIRunLauncher(launcher)
    if launcher is not None:
        if not callable(launcher):
            raise InvalidRequest(f"{launcher!r} is no launcher", hint="give an object, or a name such as 'srun'")
        return launcher
    if job_mode != "serial":
        return SimpleLauncher()
    return SingleNodeLauncher() if num_nodes == 1 else MPIRunLauncher(method)


def text_of(launcher: Any, command: str, tasks_per_node: int, num_nodes: int, folder: str) -> str:
    """The shell text of a launcher, ours or Parsl's of any version.

    Parsl's own launchers write files, which go to the block's folder. They cannot use a path with blanks: then this
    raises `InvalidRequest`.
    """
    if type(launcher).__module__.startswith("parsl.launchers"):
        folder = "$PSIJ_JOB_FOLDER" if not _splits(folder) else os.path.relpath(folder)
        if _splits(folder):
            raise InvalidRequest(
                f"Parsl's {type(launcher).__name__} cannot work in {folder!r}, which holds blanks",
                hint="take the one of psij_parsl.launchers, or a run_dir without",
            )
    try:
        inspect.signature(launcher).bind(command, tasks_per_node, num_nodes, folder)
    except TypeError:  # Parsl before 2026.03.16
        return str(launcher(command, tasks_per_node, num_nodes))
    return str(launcher(command, tasks_per_node, num_nodes, folder))


def _splits(path: str) -> bool:
    """Whether a shell would split the path at blanks."""
    return len(path.split()) > 1 or path != path.strip()
