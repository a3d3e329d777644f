"""What scripts of Flux expect of the jobs that they become."""

from psij_parsl.platforms.directives.habits import Habits

HABITS = Habits(
    output=("flux-{id}.out", ""),
    joins=True,
    variables={"FLUX_JOB_ID": "$PSIJ_NATIVE_ID", "FLUX_JOB_NNODES": '$(wc -l <"$PSIJ_NODEFILE")'},
    commands=("flux",),
)
