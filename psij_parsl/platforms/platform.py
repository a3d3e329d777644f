"""The description of a platform: which parts make up the support of one resource manager."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import Error, PluginError

if TYPE_CHECKING:
    from .directives.table import DirectiveTable
    from .scheduler import Scheduler
    from .stand_in import StandIn
    from .templates.template import JobTemplate


class Signs(NamedTuple):
    """How a host of this manager is recognized without running anything.

    `variables` are set there in the environment, `files` are absolute paths that exist, `command_files` paths that
    exist when taken from the directory of its submit command. `cluster` is a pattern whose first group is the
    cluster's name in the first of the files that is there; a variable may have the path of one.
    """

    variables: Sequence[str] = ()
    files: Sequence[str] = ()
    command_files: Sequence[str] = ()
    cluster: str = ""


class Platform(NamedTuple):
    """One resource manager. The parts are named as "module:attribute" and imported when first used.

    - `package` is the folder's import name (`__name__` of its `__init__.py`).
    - `launcher` is the launch method for jobs of more than one rank, where the site sets none.
    - `command` is the name of its submit command, '' for a manager that has none.
    - `directives` is the table of that command's options, for the option lines of scripts, and `option_lines` a pattern
      of what these begin with, as the table has it.
    - `describes` is a pattern of what a line begins with in a file that describes a job instead of a script, where its
      users have such.
    - `stand_ins` are commands of it that `--compat` puts on the PATH of jobs of other managers. Each has a file of its
      name, whose `stand_in` does it by `psij-run launch`: see `StandIn`.
    - `places`: whether jobs can be sent to queues, charged to projects and so on; else what a script says of them is
      left out.
    - `one_host`: whether all jobs run on the host on which they are submitted.
    - `site_facts` asks the manager for its nodes and queues, for a first site file; '' if nothing does.
    - `signs` show whether a host has this manager; a site file uses them with `detect = [{ manager = NAME }]`.
    - `job_variable` is a variable that is set in each of its jobs, '' if the job script must find that out.
    - `variables` are patterns of the variables that a job's launchers need.
    - `host_list` is a shell test that is true in its jobs, and a command that then prints the names of their nodes,
      one a line; () where only the job's script has these names.
    """

    name: str
    package: str
    summary: str = ""
    launcher: str = "single"
    scheduler: str = ""
    template: str = ""
    allocation: str = ""
    provider: str = ""
    directives: str = ""
    option_lines: str = ""
    describes: str = ""
    stand_ins: Sequence[str] = ()
    places: bool = True
    one_host: bool = False
    site_facts: str = ""
    command: str = ""
    signs: Signs = Signs()
    job_variable: str = ""
    variables: Sequence[str] = ()
    host_list: tuple[str, str] | tuple[()] = ()

    def part(self, which: str) -> Any:
        """Import and return a part by its field's name. Raises `PluginError` if it is missing or cannot be loaded."""
        path = getattr(self, which)
        if not path:
            raise PluginError(f"the platform {self.name!r} has no {which}")
        return self._loaded(which, path)

    def stand_in(self, command: str) -> StandIn:
        """Import and return what does that command of its `stand_ins`. Raises `PluginError` as `part`."""
        found: StandIn = self._loaded(f"stand-in for {command}", f"{command}:stand_in")
        return found

    def _loaded(self, which: str, path: str) -> Any:
        module, _, attribute = path.partition(":")
        try:
            return getattr(importlib.import_module(f".{module}", self.package), attribute)
        except Error:
            raise
        except BaseException as error:  # someone else's code may raise anything, an exit too
            if self.package.startswith("psij_parsl.") and not isinstance(error, ImportError | AttributeError):
                raise
            raise PluginError(
                f"the {which} of platform {self.name!r} ({self.package}.{path}) cannot be loaded: {_message(error)}",
                hint="`psij-run doctor` shows the whole error",
            ) from error

    @property
    def scheduler_class(self) -> type[Scheduler]:
        scheduler: type[Scheduler] = self.part("scheduler")
        return scheduler

    @property
    def template_class(self) -> type[JobTemplate]:
        template: type[JobTemplate] = self.part("template")
        return template

    @property
    def directive_table(self) -> DirectiveTable:
        table: DirectiveTable = self.part("directives")
        return table


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
