"""What scripts of LSF expect of the jobs that they become."""

from psij_parsl.platforms.directives.habits import Habits

HABITS = Habits(
    joins=True,
    variables={
        "LSB_JOBID": "$PSIJ_NATIVE_ID",
        "LSB_JOBNAME": "{name}",
        "LSB_SUBCWD": "$PWD",
        "LS_SUBCWD": "$PWD",
        "LSB_DJOB_NUMPROC": "{num_ranks}",
    },
    array_variables={"LSB_JOBID": "$PSIJ_ARRAY_ID"},
    index_variables={"LSB_JOBINDEX": "$PSIJ_ARRAY_INDEX"},
    own_variables={"LSB_JOBNAME": "{name}", "LSB_SUBCWD": "$PWD", "LS_SUBCWD": "$PWD"},
    commands=("blaunch", "jsrun", "lrun", "bsub", "bjobs", "bkill", "bpeek", "bhist"),
)
