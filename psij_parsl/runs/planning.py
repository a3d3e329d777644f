"""From a job, the nodes it was assigned and a launch method to the command that a `Run` starts."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import InvalidRequest
from ..job import Job
from ..platforms.registry import managers
from ..resources.host import is_here
from ..resources.host import name as host_name
from ..system.commands import client_environment, matcher
from ..system.files import home, private_folder
from .binding import THREADS, Placed, Wrapper, gpu_vendor, rows, threads
from .exit_codes import ExitCodesFile
from .mpi_detection import check, find_launcher
from .mpi_libraries import Linked, linked_mpi
from .mpirun import MPIRun
from .rank_io import RankIO
from .run import GRACE_S, Run, RunCommand
from .variables import ARRAY_INDEX, CALLERS, OUTER_RUN, RANK_NAMES

_NAME = "psij-{}"


def prepare_run(
    method: MPIRun,
    job: Job,
    nodes: Placed | None = None,
    *,
    io: RankIO | None = None,
    bind: bool = True,
    hide_gpus: bool = False,
    environ: Mapping[str, str] | None = None,
    grace_s: float = GRACE_S,
) -> Run:
    """The run of a job by that method; see `MPIRun.__call__`.

    `hide_gpus` masks all GPUs of a run that was assigned none. `environ` stands for our environment. `grace_s` is
    the time in seconds from TERM to KILL. Raises `InvalidRequest` for nodes that do not fit the job or the method,
    `LaunchError` when the launcher is not here, or does not serve the program.
    """
    environ = os.environ if environ is None else environ
    environment = _environment(method, job, environ)
    path = environment.get("PATH", os.defpath)
    method = method.resolved(path)
    placed = tuple(nodes or ())
    if placed and len(placed) != job.num_nodes:
        raise InvalidRequest(
            f"the job asks for {job.num_nodes} nodes, and {len(placed)} were assigned",
            hint="assign what the job asks",
        )
    _reachable(method, placed)
    assert job.directory is not None  # a Job makes it absolute
    io = (io or RankIO(stdin=job.stdin, stdout=job.stdout, stderr=job.stderr)).within(job.directory)
    mode = "serial" if job.job_mode == "serial" else "mpi"
    mark = os.urandom(8).hex()
    name = _NAME.format(mark)
    program = linked_mpi(shutil.which(job.command[0], path=path) or "") if mode == "mpi" else Linked("")
    if mode == "mpi":
        check(method, program, job.num_ranks)
        environment |= method.pmi_environment(program, job.num_ranks, environment)
    if method.program and not os.path.isabs(method.program):
        method = method.with_program(method.launcher_name(find_launcher(method, path), path))
    names = _names(environment)
    hosts = [host_name() if method.needs_own_hostname and is_here(node.name) else node.name for node in placed]
    argv = method.argv(job, mode=mode, hosts=hosts, stdin=str(io.stdin) == "-", name=name, env_names=names)
    we_bind = bind and method.follows_assignment  # the ranks, and not their launcher
    exit_codes = private_folder(home(environment) / "runs") / mark if mode in method.loses_exit_codes else None
    wrapper = Wrapper(
        rank_variables=method.rank_variables,
        local_rank_variables=method.local_rank_variables,
        rows=rows(placed, job, hide_gpus=hide_gpus) if placed and we_bind else (),
        gpus_per_rank=job.gpus_per_rank if we_bind and not placed else 0,
        gpu_vendor=gpu_vendor(environment),
        threads=threads(job.cpus_per_rank, environment) if bind else 0,
        directory=str(job.directory),
        io=io,
        rank_names=environ.get(RANK_NAMES, ""),
        exit_codes=str(exit_codes or ""),
        hide_failures=mode in method.independent_copies,
        mark=mark,
        die_with_parent=method.parent_stays,
        relay_signals=not method.signals_groups,
        report_signals="" if method.reports_signals else "abort" if mode == "mpi" else "1",
        watch_mpi=mode == "mpi" and job.num_ranks > 1 and program.mpi == "?",
    )
    whole_argv = [*argv, *wrapper.args(job), *job.command]
    if job.setup:
        whole_argv = ["bash", "-c", _setup(job), "psij-setup", *whole_argv]
    command = RunCommand(
        argv=whole_argv,
        environment=environment,
        directory=Path(job.directory),
        io=io,
        mark=mark,
        kill_command=method.kill_command(name, environment),
        exit_codes=ExitCodesFile(exit_codes) if exit_codes else None,
        ends_together=mode == "mpi",
        waits_for_lost_daemons=method.waits_for_lost_daemons,
        start_refusal=method.start_refusal(argv, environment),
    )
    return Run(command, grace_s=grace_s)


def _setup(job: Job) -> str:
    """Shell text that runs the job's setup and becomes "$@", as the script of a job does; 125 if it fails."""
    lines = ["trap 'echo \"psij: the setup has ended the shell, and nothing is started\" >&2; exit 125' EXIT"]
    for text in job.setup:
        lines.append(f"eval {shlex.quote(text)} </dev/null >&2; psij_code=$?")
        quoted = shlex.quote(f": {text}")
        if job.setup_may_fail:
            failed = f'echo "psij: failed with exit code $psij_code, and the run goes on"{quoted} >&2'
        else:
            failed = (
                f'{{ echo "psij: the setup failed with exit code $psij_code"{quoted} >&2; trap - EXIT; exit 125; }}'
            )
        lines.append(f'[ "$psij_code" = 0 ] || {failed}')
    return "\n".join([*lines, "trap - EXIT", 'exec "$@"'])


def _environment(method: MPIRun, job: Job, environ: Mapping[str, str]) -> dict[str, str]:
    """The child's: ours without what an outer run left in it, then the launcher's needs, then the job's own."""
    base = environ if job.inherit_environment else client_environment(_manager_variables(), environ)
    dropped = matcher((*OUTER_RUN, *method.scrub_environment))
    kept = {name: value for name, value in base.items() if not dropped.fullmatch(name)}
    return {**kept, **method.environment, **job.environment}


def _manager_variables() -> Sequence[str]:
    """Patterns of what a manager's launcher needs of its job's environment, whichever manager's it is."""
    return [pattern for manager in managers() for pattern in manager.variables]


def _names(environment: Mapping[str, str]) -> Sequence[str]:
    """Variables by which the caller shapes a rank, and that ranks on other nodes must be given too."""
    return [name for name in (*CALLERS, *THREADS, ARRAY_INDEX) if name in environment]


def _reachable(method: MPIRun, placed: Placed) -> None:
    for node in placed:
        if method.this_host_only and not is_here(node.name):
            raise InvalidRequest(
                f"the launcher {method.name!r} starts processes on this host only, and {node.name} was assigned",
                hint="choose another --launcher",
            )
