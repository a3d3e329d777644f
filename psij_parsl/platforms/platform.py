"""The descriptor that ties together what one resource manager's folder holds."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import Error, PluginError

if TYPE_CHECKING:
    from .scheduler import Scheduler
    from .templates.template import JobTemplate


@dataclass(frozen=True)
class Signs:
    """By what a host is known on which this manager is at home, seen without running anything.

    `variables` are set there in the environment, `files` are absolute paths that exist, `beside` paths that exist
    when taken from the directory of its submit command.
    """

    variables: Sequence[str] = ()
    files: Sequence[str] = ()
    beside: Sequence[str] = ()


@dataclass(frozen=True)
class Platform:
    """One resource manager. The parts are named as "module:attribute" and imported when first used.

    `package` is the folder's import name (`__name__` of its `__init__.py`), `launcher` the launch method for
    jobs of more than one rank where the site says nothing. `command` is the name of its submit command, '' for one
    that has none, and `signs` tell where it is at home: a site file says `detect = [{ manager = NAME }]`. In each of
    its jobs `job_variable` is set ('' if it has to be found out), and `variables` are patterns of those that the job's
    launchers need. `host_list` is a shell test that holds in its jobs, and the command that then prints their nodes'
    names, one a line; () where the script of a job is the only one to know them.
    """

    name: str
    package: str
    summary: str = ""
    launcher: str = "single"
    scheduler: str = ""
    template: str = ""
    allocation: str = ""
    provider: str = ""
    command: str = ""
    signs: Signs = Signs()
    job_variable: str = ""
    variables: Sequence[str] = ()
    host_list: tuple[str, str] | tuple[()] = ()

    def part(self, which: str) -> Any:
        """Import and return a part by its field's name. Raises `PluginError` when it is not there or broken."""
        where = getattr(self, which)
        if not where:
            raise PluginError(f"the platform {self.name!r} has no {which}")
        module, _, attribute = where.partition(":")
        try:
            return getattr(importlib.import_module(f".{module}", self.package), attribute)
        except Error:
            raise
        except BaseException as error:  # someone else's code may raise anything, an exit too
            if self.package.startswith("psij_parsl.") and not isinstance(error, ImportError | AttributeError):
                raise
            raise PluginError(
                f"the {which} of platform {self.name!r} ({self.package}.{where}) cannot be loaded: {_told(error)}",
                hint="`psij-run doctor` shows the whole error",
            ) from error

    @property
    def scheduler_class(self) -> type[Scheduler]:
        found: type[Scheduler] = self.part("scheduler")
        return found

    @property
    def template_class(self) -> type[JobTemplate]:
        found: type[JobTemplate] = self.part("template")
        return found


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
