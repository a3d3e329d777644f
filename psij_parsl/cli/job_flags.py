"""The flags that describe a job: one table for the command line, `#PSIJ` lines, PSIJ_RUN_*, the help and the docs."""

from __future__ import annotations

from ..job import JOB_MODES
from ..validators import (
    end_signal,
    memory,
    memory_or_all,
    moment,
    non_negative_int,
    one_of,
    positive_int,
    unambiguous,
    wall_time,
)
from .flag_types import dependencies, environment_files, gpus, job_file, job_input, limited_indices, pairs, variables
from .flags import JSON, Argument, Flag

VERBOSE = Flag("verbose", ("-v", "--verbose"), "", "Print more details on stderr.", switch=True, in_script=False)

SHARE = Flag(
    "share", ("--share",), "N", "Use 1/N of each node, so that N such runs fit on each; 1: whole nodes.", positive_int
)

JOB_FLAGS: tuple[Flag, ...] = (
    Flag("nodes", ("-N", "--nodes"), "COUNT", "Number of compute nodes.", positive_int, variable=True),
    Flag("ntasks", ("-n", "--ntasks"), "COUNT", "Total number of ranks.", positive_int, variable=True),
    Flag(
        "ntasks_per_node",
        ("--ntasks-per-node", "--tasks-per-node"),
        "COUNT",
        "Number of ranks on each node.",
        positive_int,
        variable=True,
    ),
    Flag(
        "cpus_per_task",
        ("-c", "--cpus-per-task", "--cores-per-task"),
        "CORES",
        "Number of cores for each rank.",
        positive_int,
        variable=True,
    ),
    Flag(
        "threads_per_core",
        ("--threads-per-core",),
        "COUNT",
        "Number of hardware threads to use on each core.",
        positive_int,
        variable=True,
    ),
    Flag(
        "gpus_per_task",
        ("-g", "--gpus-per-task"),
        "COUNT",
        "Number of GPUs for each rank.",
        non_negative_int,
        variable=True,
    ),
    Flag(
        "gpus_per_node",
        ("--gpus-per-node",),
        "[KIND:]COUNT",
        "Number of GPUs on each node, and their model as the site calls it: 4, a100:4.",
        gpus,
        variable=True,
    ),
    Flag(
        "gpus", ("-G", "--gpus"), "[KIND:]COUNT", "Total number of GPUs, as many on each node.", gpus, variable=True
    ),
    Flag(
        "mem",
        ("--mem",),
        "SIZE",
        "Memory on each node: 4G, 512M; a number without a unit is MB, and 0 is all of it.",
        memory_or_all,
        variable=True,
    ),
    Flag("mem_per_cpu", ("--mem-per-cpu", "--mem-per-core"), "SIZE", "Memory for each core.", memory, variable=True),
    Flag("mem_per_gpu", ("--mem-per-gpu",), "SIZE", "Memory for each GPU.", memory, variable=True),
    Flag(
        "time",
        ("-t", "--time"),
        "TIME",
        "Wall time: 90 (minutes), 1:30:00 (H:M:S), 1h30m or 2-12 (days-hours).",
        unambiguous(wall_time),
        variable=True,
    ),
    Flag(
        "queue",
        ("-q", "--queue", "-p", "--partition"),
        "NAME",
        "Queue or partition; auto: the best one for the job of those that the site knows.",
        variable=True,
        complete="queues",
    ),
    Flag("account", ("-A", "--account", "--project"), "NAME", "Project to charge.", variable=True),
    Flag("job_name", ("-J", "--job-name"), "NAME", "Name of the job (default: the name of the command)."),
    Flag(
        "input",
        ("-i", "--input"),
        "FILE",
        "File to read stdin from (default: no input); - is the stdin of psij-run, read to its end.",
        job_input,
    ),
    Flag(
        "output",
        ("-o", "--output"),
        "FILE",
        "File for stdout, and for stderr unless -e is given. {id}, {index}, {name} and others are filled in: out-{id}.txt.",
        job_file,
    ),
    Flag("error", ("-e", "--error"), "FILE", "File for stderr.", job_file),
    Flag("append", ("--append",), "", "Add output to files that are there.", switch=True),
    Flag("cwd", ("-D", "--cwd", "--chdir"), "DIR", "Working directory (default: the current directory)."),
    Flag(
        "env",
        ("--env",),
        "NAME[=VALUE]",
        "Set an environment variable, or copy it from this shell. Repeatable.",
        variables,
        many=True,
    ),
    Flag(
        "env_file",
        ("--env-file",),
        "FILE",
        "Set environment variables from a file with lines NAME=VALUE. Repeatable.",
        environment_files,
        many=True,
    ),
    Flag("no_env", ("--no-env",), "", "Do not pass the environment of this shell to the job.", switch=True),
    Flag(
        "array",
        ("--array",),
        "INDICES[%LIMIT]",
        "Job array: run once for each index, for example 0-9,12,20-30:5; the job reads its index from $PSIJ_ARRAY_INDEX."
        " 0-99%4: at most 4 of them at a time.",
        limited_indices,
        once=True,
    ),
    Flag(
        "dependency",
        ("-d", "--dependency"),
        "[KIND:]ID,...",
        "Start after these jobs. KIND: afterok (all succeeded, the default), afterany (ended), afternotok (failed), after"
        " (started; after:ID+10: ten minutes ago) or aftercorr (each element of an array after that of the same index)."
        " 1?2: one of them is enough; singleton: all jobs of the same name. Repeatable.",
        dependencies,
        many=True,
        replaces=True,
        complete="selectors",
    ),
    Flag(
        "mode",
        ("--mode",),
        "MODE",
        "script: start the command once; serial: start one copy for each rank;"
        " mpi: start all ranks as one MPI run (default for several ranks, but of a shell script).",
        one_of(*JOB_MODES),
        variable=True,
        complete="modes",
    ),
    Flag(
        "launcher",
        ("--launcher",),
        "NAME",
        "Launch method to use instead of the site's: srun, mpich, ...",
        variable=True,
        complete="launchers",
    ),
    Flag(
        "setup",
        ("--setup",),
        "SHELL",
        "Shell code to run before the command, e.g. 'module load x'. If it fails, the command is not started."
        " Repeatable.",
        list,
        many=True,
    ),
    Flag(
        "setup_may_fail",
        ("--setup-may-fail",),
        "",
        "Start the command even if a --setup command has failed.",
        switch=True,
    ),
    Flag(
        "signal",
        ("--signal",),
        "[B:]SIGNAL[@SECONDS]",
        "Warn the programs of the job so long before its wall time ends (60): USR1@120. A shell gets it if it has a trap"
        " for it; else what it runs does. B: the command alone.",
        end_signal,
    ),
    Flag("begin", ("--begin",), "TIME", "Start not before that time: 16:00, 2026-12-01T08:00 or +2h.", moment),
    Flag("hold", ("--hold",), "", "Keep the job waiting until you run `psij-run release`.", switch=True),
    Flag(
        "site",
        ("--site",),
        "NAME",
        "Site to use, or a site file (default: the site of this host).",
        variable=True,
        complete="sites",
    ),
    Flag(
        "platform",
        ("--platform",),
        "NAME",
        "Resource manager to use without a site: slurm, pbspro, local, ...",
        variable=True,
        complete="platforms",
    ),
    Flag("wrap", ("--wrap",), "SHELL", "Shell code to run in place of a command.", in_script=False),
    Flag(
        "ignore_directives",
        ("--ignore-directives",),
        "",
        "Do not read the option lines of resource managers (#SBATCH, #PBS, ...) in a job script.",
        switch=True,
        in_script=False,
    ),
    Flag(
        "directives",
        ("--directives",),
        "PLATFORM",
        "Read the option lines of that resource manager, where a job script has those of several.",
        in_script=False,
        complete="platforms",
    ),
    Flag(
        "compat",
        ("--compat",),
        "PLATFORM",
        "Put stand-ins for the commands of that resource manager (srun of slurm) on the PATH of a job on another one."
        " They run `psij-run launch`.",
        complete="stand_ins",
    ),
    Flag("config", ("--config",), "FILE", "Site file to use.", variable=True, in_script=False),
    Flag(
        "parameters",
        ("-X", "--parameter"),
        "NAME=VALUE",
        "Parameter of the resource manager; `psij-run platform show` lists them. Repeatable.",
        pairs,
        many=True,
        complete="parameters",
    ),
    JSON,
    VERBOSE,
)

JOB_COMMAND = Argument(
    "command",
    "[--] COMMAND [ARG]...",
    "The command to run and its arguments, or a job script with #PSIJ lines.",
    complete="files",
)
PROGRAM = Argument("command", "[--] COMMAND [ARG]...", "The command to run and its arguments.", complete="files")


def job_flags(*names: str) -> tuple[Flag, ...]:
    """The flags of those names, in the order of the table."""
    return tuple(flag for flag in JOB_FLAGS if flag.name in names)


def shown(name: str) -> str:
    """The best known spelling of the flag of that name: shown("nodes") is -N."""
    return next(flag.shown for flag in JOB_FLAGS if flag.name == name)
