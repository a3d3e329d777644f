"""What scripts of Grid Engine expect of the jobs that they become."""

from psij_parsl.platforms.directives.habits import Habits

HABITS = Habits(
    output=("{name}.o{array}", "{name}.e{array}"),
    element_output=("{name}.o{array}.{index}", "{name}.e{array}.{index}"),
    variables={"JOB_ID": "$PSIJ_NATIVE_ID", "JOB_NAME": "{name}", "NSLOTS": "{num_cores}", "SGE_O_WORKDIR": "$PWD"},
    array_variables={"JOB_ID": "$PSIJ_ARRAY_ID"},
    index_variables={
        "SGE_TASK_ID": "$PSIJ_ARRAY_INDEX",
        "SGE_TASK_FIRST": "{array_first}",
        "SGE_TASK_LAST": "{array_last}",
        "SGE_TASK_STEPSIZE": "{array_step}",
    },
    own_variables={"JOB_NAME": "{name}", "SGE_O_WORKDIR": "$PWD"},
    starts_at_home=True,
    stays_by=frozenset(("-cwd",)),
    shell_wins=True,
    commands=("qrsh", "qlogin", "qsub", "qstat", "qdel", "qacct", "qconf"),
)
