"""What scripts of Slurm expect of the jobs that they become."""

from psij_parsl.platforms.directives.habits import Habits

HABITS = Habits(
    output=("slurm-{id}.out", ""),
    element_output=("slurm-{array}_{index}.out", ""),
    joins=True,
    variables={
        "SLURM_JOB_ID": "${PSIJ_NATIVE_ID%%[.;]*}",
        "SLURM_JOB_NAME": "{name}",
        "SLURM_SUBMIT_DIR": "$PWD",
        "SLURM_NTASKS": "{num_ranks}",
        "SLURM_CPUS_PER_TASK": "{cpus_per_rank}",
        "SLURM_JOB_NUM_NODES": '$(wc -l <"$PSIJ_NODEFILE")',
        "SLURM_NNODES": '$(wc -l <"$PSIJ_NODEFILE")',
        "SLURM_GPUS_ON_NODE": "{gpus_on_node}",
    },
    array_variables={
        "SLURM_JOB_ID": "${PSIJ_ARRAY_ID%%[.[;]*}",  # a number, as scripts expect
        "SLURM_ARRAY_JOB_ID": "${PSIJ_ARRAY_ID%%[.[;]*}",
        "SLURM_ARRAY_TASK_COUNT": "{array_count}",
        "SLURM_ARRAY_TASK_MIN": "{array_first}",
        "SLURM_ARRAY_TASK_MAX": "{array_last}",
    },
    index_variables={"SLURM_ARRAY_TASK_ID": "$PSIJ_ARRAY_INDEX", "SLURM_ARRAY_TASK_STEP": "{array_step}"},
    own_variables={"SLURM_JOB_NAME": "{name}", "SLURM_SUBMIT_DIR": "$PWD"},
    commands=("srun", "sbatch", "sbcast", "scontrol", "squeue", "sacct", "scancel", "sinfo", "sstat", "sattach"),
)
