"""From a job to the files in its folder: the script, its environment, and the elements of an array."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .command import matcher
from .errors import InvalidRequest
from .files import write_new
from .job import BASH_OWN, Job, Resources
from .quoting import Raw
from .registry import launcher as find_launcher

if TYPE_CHECKING:
    from .sites.model import Launch
    from .template import JobTemplate

#: Variables that describe a place, not a wish: the shell's own, and what a manager sets for a job's devices.
NEVER_INHERITED = (
    "_", "PWD", "OLDPWD", "SHLVL", "HOSTNAME", "psij_*", "PSIJ_JOB_*", "PSIJ_NATIVE_ID", "PSIJ_NODEFILE",
    "PSIJ_ARRAY_INDEX", "PSIJ_RANK", "PSIJ_LOCAL_RANK", "PSIJ_NUM_RANKS", "PSIJ_PARSL_FAULT", "PMI_*", "PMIX_*",
    "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def slug(name: str, limit: int = 200) -> str:
    """A display name within every manager's rules; people see the name itself in our own records."""
    text = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-")[:limit]
    return text if text[:1].isalpha() else f"job_{text}"[:limit]


def inherited(drop: Sequence[str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The submitting environment without shell functions and without `drop`, the manager's own job variables."""
    dropped = matcher((*NEVER_INHERITED, *BASH_OWN, *drop))
    return {name: value for name, value in environ.items() if _NAME.fullmatch(name) and not dropped.fullmatch(name)}


def umask() -> int:
    """Ours, which the job gets too: a manager may start it with another."""
    now = os.umask(0o077)  # it can only be read by setting it; what another thread makes meanwhile is the owner's own
    os.umask(now)
    return now


def exports(environment: Mapping[str, str]) -> str:
    """Shell text that sets variables."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


_WRAPPER = "rank.sh"
_CODES = "@codes@"  # stands for the file of an element's failing exit codes, which only the script can name


def launch_text(job: Job, default: str, folder: Path, launch: Launch | None = None) -> str:
    """The shell lines that become the command as its `job_mode` asks; "$@" follows, which is the command.

    `folder` is the job's, `launch` what the site says of the default launcher. Raises `InvalidRequest` where no
    launch method can do it.
    """
    if job.job_mode == "script":
        if job.launcher:  # not needed, and yet a name that there is not is a mistake
            find_launcher(job.launcher)
        return "exec --"
    from .binding import THREADS, Wrapper, thread_lines
    from .rankio import RankIO

    name, mode = job.launcher or default, job.job_mode or "mpi"
    known = launch if name == default else None
    method = find_launcher(name)(options=known.options, lines=known.lines()) if known else find_launcher(name)()
    lines = [thread_lines(job.cpus_per_rank), method.lines(job, mode=mode)]
    told = job.with_(environment={**dict.fromkeys(THREADS, ""), **job.environment})
    words = [method.text(told, mode=mode)]
    codes = _CODES if mode in method.silent else ""
    if codes or (job.gpus_per_rank and method.exact):  # it shows each rank all GPUs of its node
        io = RankIO(stdin=Path("-"))
        rank = Wrapper(
            rank=method.rank, local_rank=method.local_rank, split=job.gpus_per_rank, codes=codes, quiet=True, io=io
        )
        words.append(shlex.join(rank.words(job, str(folder / _WRAPPER))))
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
    names = ("ranks_per_node", "cpus_per_rank", "threads_per_core", "gpus_per_rank", "memory_per_node")
    asked = {name: getattr(job, name) for name in names if getattr(job, name) != getattr(plain, name)}
    if job.num_nodes > 1:
        asked["num_nodes"] = job.num_nodes
    return {**asked, **{name: value for name in ("queue", "after", "array", "hold") if (value := getattr(job, name))}}


def given(
    job: Job, *, job_id: str, tag: str, folder: Path, launch: str, after: Sequence[str],
    guards: Sequence[tuple[str, Sequence[str]]], exit_lag_s: float, own_codes: Collection[int],
    environment_file: bool, elements: bool,
) -> dict[str, Any]:  # fmt: skip
    """The core's own words for the template: see `template.GIVEN`."""
    shape = {
        name: getattr(job, name)
        for name in ("ranks_per_node", "cpus_per_rank", "threads_per_core", "gpus_per_rank", "memory_per_node",
                     "num_ranks", "cores_per_node")
    }  # fmt: skip
    return {
        **shape,
        "id": job_id, "tag": tag, "folder": str(folder), "job_name": slug(job.display_name),
        "after": list(after), "guards": Raw(_guard_lines(guards), "guards") if guards else "",
        "exit_lag_s": round(exit_lag_s),
        "own_codes": Raw(" | ".join(map(str, sorted(own_codes))), "own_codes") if own_codes else "", "array": indices(job.array), "hold": job.hold,
        "directory": str(job.directory), "stdin": str(job.stdin or "/dev/null"),
        "stdout": str(job.stdout or ""), "stderr": str(job.stderr or ""),
        "inherit_environment": job.inherit_environment,
        "environment_file": str(folder / "environment") if environment_file else "",
        "elements": str(folder / "elements") if elements else "",
        "setup": Raw(job.setup.rstrip("\n"), "setup"),
        "command": Raw(shlex.join(job.command), "command"),
        "launch": Raw(launch, "launch"),
    }  # fmt: skip


def _guard_lines(guards: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Shell lines that end the job unless those that it comes after ended as it asks."""
    return "\n".join(
        f"psij_follows {shlex.join([kind, *folders])} || psij_end 125 dependency" for kind, folders in guards
    )


def render(
    template: type[JobTemplate], job: Job, *, job_id: str, tag: str, folder: Path, default_launcher: str,
    launch: Launch | None = None, after: Sequence[str] = (), guards: Sequence[tuple[str, Sequence[str]]] = (),
    exit_lag_s: float = 60.0, own_codes: Collection[int] = (), environment_file: bool = True, elements: bool = False,
) -> str:  # fmt: skip
    """The submission script. Raises `InvalidRequest` for whatever the platform cannot be asked for.

    `guards` are pairs of a kind of dependency and the folders of the jobs whose exit files it looks at, for which it
    waits `exit_lag_s` seconds.
    """
    template.refuse_unexpressed(requests(job))
    words = given(
        job, job_id=job_id, tag=tag, folder=folder, launch=launch_text(job, default_launcher, folder, launch), after=after,
        guards=guards, exit_lag_s=exit_lag_s, own_codes=own_codes, environment_file=environment_file, elements=elements,
    )  # fmt: skip
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
    folder: Path, script: str, job: Job, *, drop: Sequence[str], cluster: str = "", elements: Sequence[Job] = (),
    environ: Mapping[str, str], executable: bool = False,
) -> Path:  # fmt: skip
    """Write a job's files, readable by their owner only; returns the script's path.

    `cluster` is left in the job's environment, so that jobs which it submits are of the same.
    """
    told = {"PSIJ_JOB_CLUSTER": cluster} if cluster else {}
    environment = {**(inherited(drop, environ) if job.inherit_environment else {}), **told, **job.environment}
    write_new(folder / "environment", f"umask {umask():04o}\n{exports(environment)}")
    if elements:
        write_new(folder / "elements", element_text(elements))
    if _wrapped(job):
        from .binding import text

        write_new(folder / _WRAPPER, text())
    write_new(folder / "script.sh", script, mode=0o700 if executable else 0o600)
    return folder / "script.sh"
