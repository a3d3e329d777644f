"""What scripts of PBS and of its kin expect of the jobs that they become."""

from psij_parsl.platforms.directives.habits import Habits


def habits(index_variables: tuple[str, ...]) -> Habits:
    """Those of one of them, whose elements find their index in these variables."""
    return Habits(
        output=("{name}.o{array}", "{name}.e{array}"),
        element_output=("{name}.o{array}.{index}", "{name}.e{array}.{index}"),
        variables={
            "PBS_JOBID": "$PSIJ_NATIVE_ID",
            "PBS_JOBNAME": "{name}",
            "PBS_O_WORKDIR": "$PWD",
            "PBS_NODEFILE": "$PSIJ_RANKFILE",
            "PBS_NUM_NODES": '$(wc -l <"$PSIJ_NODEFILE")',
            "PBS_NP": "{num_ranks}",
            "NCPUS": "{cpus_per_rank}",
        },
        own_variables={"PBS_O_WORKDIR": "$PWD"},
        index_variables=dict.fromkeys(index_variables, "$PSIJ_ARRAY_INDEX"),
        starts_at_home=True,
        commands=("pbsdsh", "pbs_tmrsh", "qsub", "qstat", "qdel", "qalter"),
    )
