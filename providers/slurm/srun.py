"""`srun` in a job of another manager, as `psij-run launch` does it. https://slurm.schedmd.com/srun.html"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.stand_in import Launch, StandIn, read_options
from psij_parsl.validators import memory, positive_int

_KNOWN = (
    # ---- what `launch` is told
    "-N --nodes=",
    "-n --ntasks=",
    "--tasks-per-node --ntasks-per-node=",
    "-c --cpus-per-task=",
    "--threads-per-core=",
    "-G --gpus=",
    "--gpus-per-task=",
    "--gpus-per-node=",
    "--gres=",
    "--mem=",
    "--mem-per-cpu=",
    "-D --chdir=",
    "-i --input=",
    "-o --output=",
    "-e --error=",
    "--open-mode=",
    "-l --label",
    "-v --verbose",
    "--export=",
    "--cpu_bind --cpu-bind=",
    # ---- what is so anyway, or means nothing without Slurm
    "--exact",
    "--exclusive[=]",
    "--mpi=",
    "-K --kill-on-bad-exit[=]",
    "-k --no-kill",
    "-u --unbuffered",
    "-Q --quiet",
    "-J --job-name=",
    "--comment=",
    "--hint=",
    "--mem_bind --mem-bind=",
    "--resv-ports[=]",
)
_PATTERN = re.compile(r"%(.)")
#: What stands in the names of output files, by the variable that has it.
_PATTERNS = {
    "j": "SLURM_JOB_ID",
    "J": "SLURM_JOB_ID",
    "A": "SLURM_ARRAY_JOB_ID",
    "a": "SLURM_ARRAY_TASK_ID",
    "x": "SLURM_JOB_NAME",
    "u": "USER",
}


def launch(arguments: Sequence[str], environ: Mapping[str, str]) -> Launch:
    """The same by `psij-run launch`."""
    said, program = read_options("srun", _KNOWN, arguments)
    notes: list[str] = []
    ranks, nodes = _shape(said, environ, notes)
    made = ["-n", str(ranks)]
    if "nodes" in said or ranks % nodes == 0:
        made += ["-N", str(nodes)]
    cores = _cores(said, environ, ranks)
    made += ["-c", str(cores)] if cores > 1 else []
    made += _gpus(said, environ, ranks, nodes)
    made += _memory(said, cores, ranks, nodes)
    made += ["--threads-per-core", said["threads-per-core"]] if "threads-per-core" in said else []
    made += ["--cwd", said["chdir"]] if "chdir" in said else []
    made += [*_files(said, environ), *_environment(said)]
    made += ["--label"] if "label" in said else []
    made += ["--verbose"] if "verbose" in said else []
    if "none" in said.get("cpu-bind", "").split(","):
        made += ["--bind", "none"]
    return Launch([*made, "--", *program], notes)


def _count(said: Mapping[str, str], name: str) -> int:
    try:
        return positive_int(said[name])
    except ValueError as error:
        raise InvalidRequest(f"srun: --{name} {said[name]}: it {error}", hint=f"say a number: --{name}=2") from error


def _of_job(environ: Mapping[str, str], name: str, default: int = 1) -> int:
    text = environ.get(name, "")
    return int(text) if text.isdigit() and int(text) else default


def _shape(said: Mapping[str, str], environ: Mapping[str, str], notes: list[str]) -> tuple[int, int]:
    """Ranks and nodes: without -n the job's ranks, without -N all nodes of the job that so many ranks can use."""
    ranks = _count(said, "ntasks") if "ntasks" in said else _of_job(environ, "SLURM_NTASKS")
    each = _count(said, "ntasks-per-node") if "ntasks-per-node" in said else 0
    if "nodes" in said:
        least, _, most = said["nodes"].partition("-")
        nodes = _count({"nodes": least if least == most else said["nodes"]}, "nodes")
    else:
        nodes = _of_job(environ, "SLURM_NNODES")
        if each and "ntasks" in said:
            nodes = max(1, -(-ranks // each))
    if each and "ntasks" not in said and each * nodes != ranks:
        notes.append(
            f"srun: --ntasks-per-node {each} is ignored, for the job has {ranks} ranks on {nodes} nodes:"
            f" say -n {each * nodes}, too"
        )
    return ranks, min(nodes, ranks)


def _cores(said: Mapping[str, str], environ: Mapping[str, str], ranks: int) -> int:
    """Cores of each rank: without -c as many as the job's ranks have, where there are no more ranks than those."""
    if "cpus-per-task" in said:
        return _count(said, "cpus-per-task")
    if cores := _of_job(environ, "SRUN_CPUS_PER_TASK", 0):
        return cores
    fits = ranks <= _of_job(environ, "SLURM_NTASKS")
    return _of_job(environ, "SLURM_CPUS_PER_TASK") if fits else 1


def _gpus(said: Mapping[str, str], environ: Mapping[str, str], ranks: int, nodes: int) -> list[str]:
    """GPUs of each rank, or those of a node that all of its ranks see: without an option all that the job has there.

    Where the job did not ask for them, or they cannot be divided among the ranks, other steps may have the same.
    """
    if "gpus-per-task" in said:
        return ["-g", str(_number_of_gpus("gpus-per-task", said["gpus-per-task"]))]
    if "gres" in said:
        wanted = said["gres"].removeprefix("gres/")
        on_node = 0 if wanted == "none" else _number_of_gpus("gres", wanted, "gpu")
    elif "gpus-per-node" in said:
        on_node = _number_of_gpus("gpus-per-node", said["gpus-per-node"])
    elif "gpus" in said:
        in_all = _number_of_gpus("gpus", said["gpus"])
        if in_all % nodes:
            raise InvalidRequest(
                f"srun: --gpus {in_all} cannot be spread evenly over {nodes} nodes", hint="say --gpus-per-task"
            )
        on_node = in_all // nodes
    else:
        on_node = _of_job(environ, "SLURM_GPUS_ON_NODE", 0)
        if not on_node or on_node % max(1, ranks // nodes):
            return ["--gpus-per-node", "shared"]
    return ["--gpus-per-node", str(on_node)] if on_node else []


def _number_of_gpus(option: str, text: str, kind: str = "") -> int:
    """The number in 2, a100:2 or, with a kind of resource, gpu:2, gpu:a100:2."""
    words = text.split(":")
    if kind and words[0] == kind:
        words = words[1:] or ["1"]
    elif kind:
        words = []
    if not words or len(words) > 2 or not words[-1].isdigit():
        raise InvalidRequest(
            f"srun: --{option}={text} is no number of GPUs", hint=f"say --{option}={kind and 'gpu:'}2"
        )
    return int(words[-1])


def _memory(said: Mapping[str, str], cores: int, ranks: int, nodes: int) -> list[str]:
    try:
        if said.get("mem", "0") != "0":
            return ["--mem", f"{memory(said['mem'])}M"]
        if said.get("mem-per-cpu", "0") != "0":
            return ["--mem", f"{memory(said['mem-per-cpu']) * cores * -(-ranks // nodes)}M"]
    except ValueError as error:
        name = "mem" if "mem" in said else "mem-per-cpu"
        raise InvalidRequest(f"srun: --{name} {said[name]}: it {error}", hint=f"say --{name}=4G") from error
    return []


def _files(said: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """Input is handed on, to rank 0; names of output files have their patterns filled in."""
    given = said.get("input", "all")
    if given.isdigit() and given != "0":
        raise InvalidRequest(f"srun: --input={given}: only rank 0 can read the input", hint="say --input=0")
    made = [] if given == "none" else ["-i", "-" if given in ("all", "0") else given]
    for name, flag in (("output", "-o"), ("error", "-e")):
        if (file := said.get(name, "all")) == "none":
            made += [flag, "/dev/null"]
        elif file.isdigit():
            raise InvalidRequest(
                f"srun: --{name}={file}: the output of one rank alone cannot be chosen", hint="name a file"
            )
        elif file != "all":
            made += [flag, _filled_in(name, file, environ)]
    mode = said.get("open-mode", "truncate")
    if mode not in ("append", "truncate", "a", "t"):
        raise InvalidRequest(
            f"srun: --open-mode={mode} is neither append nor truncate", hint="say --open-mode=append"
        )
    return [*made, *(["--append"] if mode.startswith("a") else [])]


def _filled_in(option: str, file: str, environ: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        letter = match[1]
        if letter == "t":
            return "%r"
        if letter == "%":
            return "%"
        if _PATTERNS.get(letter, "") not in environ:
            raise InvalidRequest(
                f"srun: --{option}={file}: %{letter} cannot be filled in here", hint="%t, %j, %x, %u and %a can be"
            )
        return environ[_PATTERNS[letter]]

    return _PATTERN.sub(value, file)


def _environment(said: Mapping[str, str]) -> list[str]:
    words = [word for word in said.get("export", "ALL").split(",") if word]
    if "export" in said and "ALL" not in [word.upper() for word in words]:
        raise InvalidRequest(
            f"srun: --export={said['export']} would leave out all other variables, which cannot be done here",
            hint=f"say --export=ALL,{said['export']}, or run it by env -i",
        )
    return [text for word in words if word.upper() != "ALL" for text in ("--env", word)]


stand_in = StandIn(
    "srun",
    launch,
    rank_variables={
        "SLURM_PROCID": "PSIJ_RANK",
        "SLURM_LOCALID": "PSIJ_LOCAL_RANK",
        "SLURM_NTASKS": "PSIJ_NUM_RANKS",
        "SLURM_NPROCS": "PSIJ_NUM_RANKS",
        "SLURM_STEP_NUM_TASKS": "PSIJ_NUM_RANKS",
    },
)
