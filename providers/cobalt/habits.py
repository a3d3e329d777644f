"""What scripts of Cobalt expect of the jobs that they become."""

from psij_parsl.platforms.directives.habits import Habits

HABITS = Habits(
    output=("{id}.output", "{id}.error"),
    variables={"COBALT_JOBID": "$PSIJ_NATIVE_ID", "COBALT_JOBSIZE": '$(wc -l <"$PSIJ_NODEFILE")'},
    commands=("aprun", "runjob", "cqsub", "cqstat", "cqdel"),
)
