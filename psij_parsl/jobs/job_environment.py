"""The environment of a job: what it inherits from where it is submitted, what the site and the job itself set."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from ..job import BASH_OWN, Job
from ..system.commands import matcher
from ..system.gpu_variables import GPU_VARIABLES
from .file_settings import FileSettings

#: Variables that describe a place, not a wish: the shell's own, and what a manager sets for a job's devices.
NEVER_INHERITED = (
    "_",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "HOSTNAME",
    "psij_*",
    "PSIJ_JOB_*",
    "PSIJ_NATIVE_ID",
    "PSIJ_NODEFILE",
    "PSIJ_ARRAY_INDEX",
    "PSIJ_RANK",
    "PSIJ_LOCAL_RANK",
    "PSIJ_NUM_RANKS",
    "PSIJ_PARSL_FAULT",
    "PMI_*",
    "PMIX_*",
    *GPU_VARIABLES,
    "GPU_DEVICE_ORDINAL",
    "PSIJ_SITE",
    "PSIJ_SITE_FILE",
    "PSIJ_QUEUE",
    "PSIJ_NODE_TYPE",
)
#: Variables of which a node's value never wins over the user's: what the user has set at the prompt; what a
#: module system has its state in, which would be wrong then; OMP_NUM_THREADS, for managers set one for all CPUs.
NEVER_THE_NODES = (
    "PATH",
    "LD_LIBRARY_PATH",
    "MANPATH",
    "MODULEPATH",
    "LOADEDMODULES",
    "_LMFILES_*",
    "LMOD_*",
    "_ModuleTable*",
    "__LMOD_*",
    "__MODULES_*",
    "CONDA_*",
    "LANG",
    "LC_*",
    "HOME",
    "OMP_NUM_THREADS",
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLIENTS_OWN = ("LC_ALL",)  # for its messages


def inherited(
    drop: Sequence[str], environ: Mapping[str, str] = os.environ, keep: Collection[str] = ()
) -> dict[str, str]:
    """The submitting environment without shell functions and without `drop`, the manager's own job variables.

    `keep` are names that `drop` may match and that stay.
    """
    dropped = matcher((*NEVER_INHERITED, *BASH_OWN, *drop))
    return {
        name: value
        for name, value in environ.items()
        if _NAME.fullmatch(name) and (name in keep or not dropped.fullmatch(name))
    }


def environment_text(
    settings: FileSettings, job: Job, environ: Mapping[str, str], client: Mapping[str, str] | None = None
) -> str:
    """The shell text that gives a job its environment; `environ` is the submitting one.

    It also sets the platform, the cluster, the site, the queue and the node type, so that jobs which this job submits use the same ones, and so that `launch`
    in the job knows its nodes. `client` is the environment that the manager's client gets from us. With
    `node_settings`, the script finds out from it which variables the node has set, and these win.
    """
    client = client or {}
    own = {
        "PSIJ_SITE": settings.site,
        "PSIJ_SITE_FILE": settings.site_file,
        "PSIJ_QUEUE": (job.queue_name or job.queue or "") if settings.site else "",
        "PSIJ_NODE_TYPE": job.node_type,
    }
    if settings.site and not job.inherit_environment:
        own["PSIJ_PARSL_SITE_PATH"] = environ.get("PSIJ_PARSL_SITE_PATH", "")  # where it may be described
    unset = [name for name, value in own.items() if not value and name not in job.environment]
    lines = [_set_by_client(client, environ)]
    if job.inherit_environment:
        elsewhere = ("PSIJ_RUN_SITE", "PSIJ_RUN_CONFIG", *(("PSIJ_RUN_PLATFORM",) if settings.site else ()))
        if settings.node_settings:
            lines.append(_kept_from_node(tuple(settings.node_settings), tuple(settings.stopgaps), (*client.items(),)))
        dropped = (*settings.drop_environment, *elsewhere)
        set_later = frozenset((*own, *job.environment))
        lines.append(_from_outside(dropped, (*environ.items(),), frozenset(settings.keep_environment), set_later))
        if settings.node_settings:
            lines.append('[ "${#psij_of_node[@]}" = 0 ] || export "${psij_of_node[@]}"\n')
    lines.append(f"unset {' '.join(unset)}\n" if unset else "")
    own["PSIJ_JOB_CLUSTER"] = settings.cluster
    own["PSIJ_JOB_PLATFORM"] = settings.platform
    lines.append(exports({name: value for name, value in own.items() if value}))
    lines.append(exports(job.environment))
    return "".join(lines)


@lru_cache(maxsize=4)  # jobs that are submitted one after the other mostly have the same environment
def _from_outside(
    drop: Sequence[str], environ: Sequence[tuple[str, str]], keep: Collection[str], set_later: Collection[str]
) -> str:
    """Shell text that sets what is `inherited`, without the names that are set later."""
    from_outside = inherited(drop, dict(environ), keep)
    return exports({name: value for name, value in from_outside.items() if name not in set_later})


def exports(environment: Mapping[str, str]) -> str:
    """Shell text that sets variables."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


def _set_by_client(client: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """Shell text that unsets variables which only the manager's client was given and which it passes to the job."""
    own = {name: value for name, value in client.items() if name not in environ and name in _CLIENTS_OWN}
    return "".join(f'[ "${{{name}-}}" != {shlex.quote(value)} ] || unset {name}\n' for name, value in own.items())


@lru_cache(maxsize=4)
def _kept_from_node(node_settings: Sequence[str], stopgaps: Sequence[str], client: Sequence[tuple[str, str]]) -> str:
    """Shell text that finds out what the node has set for the job, which the manager's client was not given."""
    given = shlex.join(f"{name}={value}" for name, value in client)
    return f"{_node_patterns(node_settings, stopgaps)}psij_keep_from_node {given}\n"


def _node_patterns(node_settings: Sequence[str], stopgaps: Sequence[str]) -> str:
    """The shell function that tests whether a variable, as name=value, is one that the node sets for the job.

    Variables that are never the node's are listed only if a pattern could match them.
    """
    never = matcher(NEVER_THE_NODES)
    patterns = [f"{name}=*" for name in node_settings if not never.fullmatch(name)]
    wide = any("*" in name or "?" in name for name in node_settings)
    others = [*(f"{name}=*" for name in NEVER_THE_NODES if wide), *stopgaps]
    branches = [
        *([f"{' | '.join(others)}) return 1 ;;"] if others else []),
        *([f"{' | '.join(patterns)}) return ;;"] if patterns else []),
    ]
    return "\n".join(["psij_is_of_node() {", "case $1 in", *branches, "esac", "return 1", "}", ""])
