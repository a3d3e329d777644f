"""The settings of a platform, its manager and the site for the files of every job."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..platforms.templates.template import JobTemplate
    from ..sites.launch_options import LaunchOptions


class FileSettings(NamedTuple):
    """The settings that are the same for all jobs of an executor. Those of the manager are explained in `Scheduler`.

    `platform` is the platform's name, for messages, `launcher` the launch method of a job that names none, and
    `launch` how the site starts runs with it. The script waits `exit_lag_s` seconds for the exit files of jobs that
    it comes after.
    """

    template: type[JobTemplate]
    platform: str = ""
    launcher: str = ""
    launch: LaunchOptions | None = None
    site: str = ""
    site_file: str = ""
    cluster: str = ""
    exit_lag_s: float = 60.0
    own_codes: Collection[int] = ()
    node_settings: Sequence[str] = ()
    stopgaps: Sequence[str] = ()
    drop_environment: Sequence[str] = ()
    keep_environment: Collection[str] = ()
    executable: bool = False


class JobPlace(NamedTuple):
    """The id of a new job, the tag that identifies it at the manager, and its folder.

    `on_nodes` is the folder's path on compute nodes, None for the same.
    """

    id: str
    tag: str
    folder: Path
    on_nodes: Path | None = None

    @property
    def node_folder(self) -> Path:
        return self.on_nodes or self.folder

    def node_path(self, path: str) -> str:
        """What compute nodes call a path, if that is in the same spool directory as the job's folder."""
        here = f"{self.folder.parent}/"
        return f"{self.node_folder.parent}/{path.removeprefix(here)}" if path.startswith(here) else path
