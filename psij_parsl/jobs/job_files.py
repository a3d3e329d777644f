"""From a job to the files in its folder: the script, its environment, and the elements of an array."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidRequest
from ..job import BASH_OWN, Job, Resources
from ..platforms.templates.quoting import Raw
from ..runs.registry import launcher as find_launcher
from ..system.commands import matcher
from ..system.files import write_new

if TYPE_CHECKING:
    from ..platforms.templates.template import JobTemplate
    from ..sites.launch_options import LaunchOptions

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
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "ZE_AFFINITY_MASK",
    "PSIJ_SITE",
    "PSIJ_SITE_FILE",
)
#: Variables of which a node's value never wins over the user's: what was chosen at the prompt, and what a module
#: system keeps its books in, which would no longer be true; OMP_NUM_THREADS, for managers set one for all CPUs.
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
#: Words that call a module system.
_MODULE = re.compile(r"(?m)(^|[;&|(!{]|\bif|\bthen|\belse|\bdo)\s*(module|ml)\s")
_SHAPE = ("ranks_per_node", "cpus_per_rank", "threads_per_core", "gpus_per_rank", "memory_per_node")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def slug(name: str, limit: int = 200) -> str:
    """A display name within every manager's rules; people see the name itself in our own records."""
    text = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-")[:limit]
    return text if text[:1].isalpha() else f"job_{text}"[:limit]


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


def umask() -> int:
    """Ours, which the job gets too: a manager may start it with another."""
    now = os.umask(0o077)  # it can only be read by setting it; what another thread makes meanwhile is the owner's own
    os.umask(now)
    return now


def _set_by_client(given: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """Shell text that takes away what the manager's client alone was given, and handed on to the job."""
    own = {name: value for name, value in given.items() if name not in environ and name in _CLIENTS_OWN}
    return "".join(f'[ "${{{name}-}}" != {shlex.quote(value)} ] || unset {name}\n' for name, value in own.items())


_CLIENTS_OWN = ("LC_ALL",)  # for its messages


def calls_a_shell(job: Job) -> bool:
    """Whether a shell is what the job runs: bash or sh, by name, through env, or as a script's interpreter."""
    program = shutil.which(job.command[0], path=job.environment.get("PATH")) or job.command[0]
    try:
        with open(os.path.join(job.directory or "", program), "rb") as file:
            head = file.readline(256).decode(errors="replace")
    except OSError:
        head = ""
    words = head[2:].split() if head.startswith("#!") else list(job.command)
    if os.path.basename(words[0] if words else "") == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return bool(words) and os.path.basename(words[0]) in ("bash", "sh")


def exports(environment: Mapping[str, str]) -> str:
    """Shell text that sets variables."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


_WRAPPER = "rank.sh"
_CODES = "@codes@"  # stands for the file of an element's failing exit codes, which only the script can name


def launch_text(job: Job, default: str, folder: Path, launch: LaunchOptions | None = None) -> str:
    """The shell lines that become the command as its `job_mode` asks; "$@" follows, which is the command.

    `folder` is the job's, `launch` what the site says of the default launcher. Raises `InvalidRequest` where no
    launch method can do it.
    """
    if job.job_mode == "script":
        if job.launcher:  # not needed, and yet a name that there is not is a mistake
            find_launcher(job.launcher)
        return "exec --"
    from ..runs.binding import THREADS, Wrapper, thread_lines
    from ..runs.rank_io import RankIO

    name, mode = job.launcher or default, job.job_mode or "mpi"
    if launch is not None and name == default:
        method = find_launcher(name)(options=launch.options, lines=launch.lines)
    else:
        method = find_launcher(name)()
    told = job.with_(environment={**dict.fromkeys(THREADS, ""), **job.environment})
    lines = [thread_lines(job.cpus_per_rank), method.lines(told, mode=mode)]
    words = [method.text(told, mode=mode)]
    codes = _CODES if mode in method.independent_copies else ""
    if codes or (job.gpus_per_rank and method.follows_assignment):  # it shows each rank all GPUs of its node
        io = RankIO(stdin=Path("-"))
        rank = Wrapper(
            rank_variables=method.rank_variables,
            local_rank_variables=method.local_rank_variables,
            gpus_per_rank=job.gpus_per_rank,
            exit_codes=codes,
            hide_failures=True,
            io=io,
        )
        words.append(shlex.join(rank.args(job, str(folder / _WRAPPER))))
    line = " ".join(filter(None, words))
    if not codes:
        return "\n".join([*filter(None, lines), f"exec -- {line}".rstrip()])
    end = f'{line} "$@" || exit\nread -r psij_code <{_CODES} || psij_code=0\nexit "$psij_code"'
    serial = f"psij_serial() {{\n: >{_CODES}\n{end}\n}}\npsij_serial".replace(_CODES, '"$PSIJ_JOB_FOLDER/codes"')
    return "\n".join([*filter(None, lines), serial])


def _wrapped(job: Job) -> bool:
    """Whether its ranks may be told their GPUs one by one, or watched by our wrapper."""
    return job.job_mode == "serial" or (job.gpus_per_rank > 0 and job.job_mode == "mpi")


def indices(array: Sequence[int]) -> str:
    """Array indices in the short form that managers read: 0-9,12."""
    spans: list[list[int]] = []
    for index in sorted(array):
        if spans and index == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], index]
        else:
            spans.append([index])
    return ",".join("-".join(map(str, span)) for span in spans)


def values(job: Job) -> dict[str, Any]:
    """The five fixed parameters and the pass-through ones, as `JobTemplate.render` takes them."""
    fixed = {name: getattr(job, name) for name in ("num_nodes", "wall_time_min", "queue", "project", "job_mode")}
    for name in job.parameters.keys() & fixed.keys():
        raise InvalidRequest(
            f"{name} is said twice: by the job and by its parameters", hint="leave it out of the parameters"
        )
    return {**job.parameters, **fixed}


def requests(job: Job) -> dict[str, Any]:
    """What this job asks beyond the ordinary, for the check that the template can say it."""
    plain = Resources()
    asked = {name: getattr(job, name) for name in _SHAPE if getattr(job, name) != getattr(plain, name)}
    if job.num_nodes > 1:
        asked["num_nodes"] = job.num_nodes
    return {**asked, **{name: value for name in ("queue", "after", "array", "hold") if (value := getattr(job, name))}}


def given(
    job: Job,
    *,
    job_id: str,
    tag: str,
    folder: Path,
    launch: str,
    after: Sequence[str],
    guards: Sequence[tuple[str, Sequence[str]]],
    exit_lag_s: float,
    own_codes: Collection[int],
    environment_file: bool,
    elements: bool,
    node_settings: Sequence[str] = (),
    stopgaps: Sequence[str] = (),
) -> dict[str, Any]:
    """The core's own words for the template: see `template.GIVEN`."""
    return {
        **{name: getattr(job, name) for name in (*_SHAPE, "num_ranks", "cores_per_node")},
        "id": job_id,
        "tag": tag,
        "folder": str(folder),
        "job_name": slug(job.display_name),
        "after": list(after),
        "guards": Raw(_guard_lines(guards), "guards") if guards else "",
        "exit_lag_s": round(exit_lag_s),
        "own_codes": Raw(" | ".join(map(str, sorted(own_codes))), "own_codes") if own_codes else "",
        "array": indices(job.array),
        "indices": sorted(job.array),
        "hold": job.hold,
        "directory": str(job.directory),
        "stdin": str(job.stdin or "/dev/null"),
        "stdout": str(job.stdout or ""),
        "stderr": str(job.stderr or ""),
        "inherit_environment": job.inherit_environment,
        "environment_file": str(folder / "environment") if environment_file else "",
        "elements": str(folder / "elements") if elements else "",
        "setup": [text.rstrip("\n") for text in job.setup],
        "setup_may_fail": job.setup_may_fail,
        "functions": bool(job.setup) or elements or calls_a_shell(job),
        "module_files": any(_MODULE.search(text) for text in job.setup),
        **_node_settings(node_settings, stopgaps, inherit=job.inherit_environment),
        "umask": f"{umask():04o}",
        "command": Raw(shlex.join(job.command), "command"),
        "launch": Raw(launch, "launch"),
    }


def _node_settings(patterns: Sequence[str], stopgaps: Sequence[str], *, inherit: bool) -> dict[str, Any]:
    """The branches of the script's `case` over names and values; what is never the node's only where it may match."""
    never = matcher(NEVER_THE_NODES)
    wide = any("*" in name or "?" in name for name in patterns)
    names = [f"{name}=*" for name in patterns if not never.fullmatch(name)] if inherit else []
    return {
        "node_settings": _case(names),
        "node_never": _case([*(f"{name}=*" for name in NEVER_THE_NODES if wide), *stopgaps]) if names else "",
    }


def _case(patterns: Sequence[str]) -> Raw | str:
    """The patterns of one branch of a shell's `case`, in lines of a readable length; '' for none."""
    lines = textwrap.wrap(" | ".join(patterns), 100, break_long_words=False, break_on_hyphens=False)
    return Raw(" \\\n        ".join(lines), "patterns") if patterns else ""


def _guard_lines(guards: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Shell lines that end the job unless those that it comes after ended as it asks."""
    return "\n".join(
        f"psij_follows {shlex.join([kind, *folders])} || psij_end 125 dependency" for kind, folders in guards
    )


def render(
    template: type[JobTemplate],
    job: Job,
    *,
    job_id: str,
    tag: str,
    folder: Path,
    default_launcher: str,
    launch: LaunchOptions | None = None,
    after: Sequence[str] = (),
    guards: Sequence[tuple[str, Sequence[str]]] = (),
    exit_lag_s: float = 60.0,
    own_codes: Collection[int] = (),
    environment_file: bool = True,
    elements: bool = False,
    node_settings: Sequence[str] = (),
    stopgaps: Sequence[str] = (),
) -> str:
    """The submission script. Raises `InvalidRequest` for whatever the platform cannot be asked for.

    `guards` are pairs of a kind of dependency and the folders of the jobs whose exit files it looks at, for which it
    waits `exit_lag_s` seconds. `node_settings` and `stopgaps`: see `Scheduler.node_env`.
    """
    template.refuse({**values(job), **{name: getattr(job, name) for name in (*_SHAPE, "after", "array", "hold")}})
    template.refuse_unexpressed(requests(job))
    words = given(
        job,
        job_id=job_id,
        tag=tag,
        folder=folder,
        launch=launch_text(job, default_launcher, folder, launch),
        after=after,
        guards=guards,
        exit_lag_s=exit_lag_s,
        own_codes=own_codes,
        environment_file=environment_file,
        elements=elements,
        node_settings=node_settings,
        stopgaps=stopgaps,
    )
    words["log"] = template.log_path(str(folder))
    return template.render(**values(job), given={name: words[name] for name in words if name not in template.params})


def element_text(jobs: Sequence[Job]) -> str:
    """What each element of an array runs, where the elements differ: a shell `case` over the index."""
    lines = ["case $psij_index in"]
    for index, job in enumerate(jobs):
        lines += [
            f"{index})",
            f"psij_directory={shlex.quote(str(job.directory))}",
            f"psij_stdin={shlex.quote(str(job.stdin or '/dev/null'))}",
            f"psij_stdout={shlex.quote(str(job.stdout)) if job.stdout else '$psij_folder/stdout'}",
            f"psij_stderr={shlex.quote(str(job.stderr)) if job.stderr else _beside(job)}",
            f"psij_environment() {{ :\n{exports(job.environment)}}}",
            f"set -- {shlex.join(job.command)} ;;",
        ]
    return "\n".join([*lines, "*) psij_end 125 element ;;", "esac", ""])


def _beside(job: Job) -> str:
    return "$psij_stdout" if job.stdout else "$psij_folder/stderr"


def write(
    folder: Path,
    script: str,
    job: Job,
    *,
    drop: Sequence[str],
    cluster: str = "",
    elements: Sequence[Job] = (),
    environ: Mapping[str, str],
    keep: Collection[str] = (),
    site: str = "",
    site_file: str = "",
    given: Mapping[str, str] | None = None,
    look: bool = False,
    executable: bool = False,
) -> Path:
    """Write a job's files, readable by their owner only; returns the script's path.

    `cluster`, `site` and `site_file` are left in the job's environment, so that jobs which it submits are of the
    same, and `launch` in it knows its nodes. `given` is what the manager's client gets of our environment; with
    `look` the script has been told to see by it what the node has set, and lets that win.
    """
    told = {"PSIJ_SITE": site, "PSIJ_SITE_FILE": site_file}
    if site and not job.inherit_environment:
        told["PSIJ_PARSL_SITE_PATH"] = environ.get("PSIJ_PARSL_SITE_PATH", "")  # where it may be described
    none = [name for name, value in told.items() if not value and name not in job.environment]
    lines = [_set_by_client(given or {}, environ)]
    if job.inherit_environment:
        elsewhere = ("PSIJ_RUN_SITE", "PSIJ_RUN_CONFIG", *(("PSIJ_RUN_PLATFORM",) if site else ()))
        if look:
            lines.append(f"psij_look {shlex.join(f'{name}={value}' for name, value in (given or {}).items())}\n")
        own = {*told, *job.environment}
        ours = inherited((*drop, *elsewhere), environ, keep)
        lines.append(exports({name: value for name, value in ours.items() if name not in own}))
        if look:
            lines.append('[ "${#psij_node[@]}" = 0 ] || export "${psij_node[@]}"\n')
    lines.append(f"unset {' '.join(none)}\n" if none else "")
    told["PSIJ_JOB_CLUSTER"] = cluster
    lines.append(exports({name: value for name, value in told.items() if value}))
    lines.append(exports(job.environment))
    write_new(folder / "environment", "".join(lines))
    if elements:
        write_new(folder / "elements", element_text(elements))
    if _wrapped(job):
        from ..runs.binding import text

        write_new(folder / _WRAPPER, text())
    write_new(folder / "script.sh", script, mode=0o700 if executable else 0o600)
    return folder / "script.sh"
