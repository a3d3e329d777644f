"""The settings of an executor, and what is made of them: the channel to the manager, and how jobs' files are written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import InvalidRequest
from ..platforms.platform import Platform
from .channel import Channel
from .journal import Journal
from .snapshot import QueueSnapshot

if TYPE_CHECKING:
    from ..platforms.scheduler import Scheduler
    from ..sites.launch_options import LaunchOptions
    from .file_settings import FileSettings
    from .site_defaults import SiteDefaults


class ExecutorSettings(NamedTuple):
    """The arguments of `BatchSchedulerExecutor` that are the same for all clusters of its manager."""

    spool: Path | None
    spool_on_nodes: Path | None
    site: str
    launcher: str
    poll_s: float | None
    grace_s: float | None
    settle_s: float
    patience_s: float
    run: str
    launch: LaunchOptions | None
    site_file: str
    node_environment: Sequence[str]
    query_memory_mb: int | None
    defaults: SiteDefaults | None


def open_channel(
    platform: Platform, settings: ExecutorSettings, journal: Journal, cluster: str, cluster_key: Callable[[str], str]
) -> Channel:
    """Make the channel to the manager's cluster of that name; '' is the usual cluster. Raises `InvalidRequest`."""
    scheduler = _scheduler(platform, journal.home, cluster)
    if settings.query_memory_mb is not None:
        scheduler.query_memory_mb = settings.query_memory_mb
    interval_s = scheduler.poll_s if settings.poll_s is None else settings.poll_s
    if not interval_s > 0:
        raise InvalidRequest(f"poll_s={settings.poll_s} is no time between two queries", hint="seconds, more than 0")
    key = scheduler.cluster_key(os.environ)
    return Channel(
        platform.name,
        key,
        journal,
        scheduler,
        QueueSnapshot(journal.home, platform.name, key, interval_s),
        grace_s=scheduler.grace_s if settings.grace_s is None else settings.grace_s,
        settle_s=settings.settle_s,
        patience_s=settings.patience_s,
        cluster_key=cluster_key,
    )


def file_settings(
    platform: Platform, scheduler: Scheduler, settings: ExecutorSettings, launcher: str, cluster: str
) -> FileSettings:
    from .file_settings import FileSettings

    return FileSettings(
        template=platform.template_class,
        platform=platform.name,
        launcher=launcher,
        launch=settings.launch,
        site=settings.site,
        site_file=settings.site_file,
        cluster=cluster,
        exit_lag_s=scheduler.exit_lag_s,
        own_codes=scheduler.own_codes,
        node_settings=(*scheduler.node_env, *settings.node_environment),
        stopgaps=scheduler.stopgaps,
        drop_environment=scheduler.drop_env,
        keep_environment=scheduler.wish_env,
        executable=scheduler.executable_script,
    )


def _scheduler(platform: Platform, home: Path, cluster: str) -> Scheduler:
    """The platform's scheduler for that cluster. Raises `InvalidRequest` if the platform has no named clusters."""
    scheduler_class = platform.scheduler_class
    if not cluster:
        return scheduler_class(home=home)
    if not scheduler_class.names_clusters:
        raise InvalidRequest(
            f"{platform.name} has no clusters to choose from, and {cluster!r} was named",
            hint="leave out the parameter cluster",
        )
    return scheduler_class(home=home, cluster=cluster)
