"""`launch`: one run inside the current allocation, or on this host alone.

Hundreds of these start at once, so nothing is imported here that the run does not need.
"""

from __future__ import annotations

from ...errors import InvalidRequest
from ...validators import duration, non_negative_int, one_of, unambiguous
from ..command import Command, Invocation
from ..farm_flags import FARM_FLAGS
from ..flags import Flag
from ..job_flags import PROGRAM, SHARE, job_flags
from ..output import Renderer
from .one_launch import SHARED, OneLaunch

_SITE_HELP = "Site whose launch method and nodes to use (default: the site of the job, or of this host)."


def _launch(out: Renderer, invocation: Invocation) -> int:
    values = invocation.values()
    if "each_line" in values or "array" in values:
        from .many_launches import launch_many

        return launch_many(out, values, invocation.arguments)
    for flag in FARM_FLAGS:
        if flag.name in values:
            raise InvalidRequest(
                f"{flag.shown} is for many tasks", hint="say which: --each-line FILE, or --array 0-9"
            )
    if not invocation.arguments:
        raise InvalidRequest("there is no command to run", hint="put it after `--`, e.g. -- hostname")
    return OneLaunch(out, values, list(invocation.arguments)).run()


def _gpus_on_node(text: str) -> int | str:
    return text if text == SHARED else non_negative_int(text)


_OWN_FLAGS: tuple[Flag, ...] = (
    SHARE,
    Flag(
        "gpus_per_node",
        ("--gpus-per-node",),
        "COUNT",
        "Number of GPUs on each node, all of which each of its ranks sees; a multiple of the ranks there. shared: all"
        " that the job has, also while other runs have them.",
        _gpus_on_node,
    ),
    Flag(
        "spread",
        ("--spread",),
        "",
        "Prefer the nodes with the most free cores (default: those with the fewest that are enough).",
        switch=True,
    ),
    Flag(
        "time",
        ("-t", "--time"),
        "TIME",
        "Expected duration, as 90 (minutes), 1:30:00 or 1h30m. The run is not started if it cannot end before the"
        " allocation ends.",
        unambiguous(duration),
    ),
    Flag(
        "timeout",
        ("--timeout",),
        "TIME",
        "Longest time to wait for free nodes, cores and GPUs: 30s, 5m, ...; then exit with 124.",
        unambiguous(duration),
    ),
    Flag("no_wait", ("--no-wait",), "", "Do not wait: exit with 125 if not enough is free now.", switch=True),
    Flag(
        "grace",
        ("--grace",),
        "SECONDS",
        "Seconds between the signal that asks the run to end and KILL (default: 10).",
        non_negative_int,
    ),
    Flag(
        "bind",
        ("--bind",),
        "HOW",
        "cores: bind each rank to its cores and GPUs (default); none: do not bind.",
        one_of("cores", "none"),
    ),
    Flag(
        "option",
        ("--option",),
        "OPTION",
        "Option for the launcher, for example --option=--mpi=pmix. Repeatable.",
        list,
        many=True,
    ),
    Flag(
        "input",
        ("-i", "--input"),
        "FILE",
        "File for stdin of rank 0; - is the stdin of psij-run (default: no input). {index} stands for that of a task.",
    ),
    Flag(
        "output",
        ("-o", "--output"),
        "FILE",
        "File for stdout, and for stderr unless -e is given; with %r in its name, one file for each rank, and with {index}"
        " for each of many tasks.",
    ),
    Flag("error", ("-e", "--error"), "FILE", "File for stderr."),
    Flag("append", ("--append",), "", "Append to existing files.", switch=True),
    Flag(
        "label",
        ("-l", "--label"),
        "",
        "Begin each line of output with [rank]; of many tasks, with [index].",
        switch=True,
    ),
)
LAUNCH = Command(
    "launch",
    "Start a run on nodes, cores and GPUs of the current allocation.",
    _launch,
    (
        *(
            flag._replace(help=_SITE_HELP) if flag.name == "site" else flag
            for flag in job_flags(
                "nodes",
                "ntasks",
                "ntasks_per_node",
                "cpus_per_task",
                "threads_per_core",
                "gpus_per_task",
                "mem",
                "mode",
                "launcher",
                "env",
                "env_file",
                "cwd",
                "site",
                "config",
                "json",
                "verbose",
            )
        ),
        *_OWN_FLAGS,
        *FARM_FLAGS,
    ),
    PROGRAM,
    details=(
        "Waits until enough nodes, cores and GPUs are free, binds each rank to its cores and GPUs, shows the output,"
        " forwards signals, and exits with the exit code of the run."
    ),
    examples=(
        "psij-run launch -n 8 -c 2 -- ./solver input.dat",
        "psij-run launch -N 2 -n 8 -g 1 -- ./train",
        "psij-run launch -n 4 --no-wait -o out.%r -- ./a.out",
        "psij-run launch --each-line commands.txt --resume",
        "psij-run launch --array 0-999 -c 2 -o 'out/{index}.txt' -- ./simulate {index}",
    ),
    runs_program=True,
    foreground=True,
)
