"""Environment variables of a run: those that an outer run left behind, and those that every rank is given."""

from __future__ import annotations

#: What the ranks of an outer run know themselves by: a run that inherited it would take itself for that rank.
OUTER_RUN = (
    "PMI_RANK",
    "PMI_SIZE",
    "PMI_FD",
    "PMI_PORT",
    "PMI_ID",
    "PMI_LOCAL_*",
    "PMI_UNIVERSE_SIZE",
    "PMI_CONTROL_*",
    "PMI_SHARED_SECRET",
    "PMI_JOBID",
    "PMI_SPAWNED",
    "PMI_APPNUM",
    "PMI_HOSTNAME",
    "PMIX_NAMESPACE",
    "PMIX_RANK",
    "PMIX_SERVER_*",
    "PMIX_SECURITY_MODE",
    "PMIX_GDS_MODULE",
    "PMIX_BFROP_*",
    "PMIX_DSTORE_*",
    "PMIX_HOSTNAME",
    "PMIX_VERSION",
    "PMIX_SYSTEM_TMPDIR",
    "PMIX_PTL_MODULE",
    "PMIX_ID",
    "MPI_LOCALRANKID",
    "MPI_LOCALNRANKS",
    "HYDI_*",
    "HYDRA_*_FD",
    "PALS_*ID",
    "OMPI_COMM_*",
    "OMPI_APP_CTX_*",
    "OMPI_FIRST_RANKS",
    "OMPI_NUM_APP_CTX",
    "OMPI_UNIVERSE_SIZE",
    "OMPI_COMMAND",
    "OMPI_ARGV",
    "OMPI_FILE_LOCATION",
    "OMPI_MCA_orte_*",
    "OMPI_MCA_ess*",
    "OMPI_MCA_pmix",
    "OMPI_MCA_initial_wdir",
    "OMPI_MCA_mpi_oversubscribe",
    "OMPI_MCA_shmem_RUNTIME_QUERY_hint",
    "PRTE_LAUNCHED",
    "PSIJ_RANK",
    "PSIJ_LOCAL_RANK",
    "PSIJ_NUM_RANKS",
    "PSIJ_CPUS",
    "PSIJ_GPUS",
    "PSIJ_RUN",
    "PSIJ_RANK_NAMES",
)
#: Other names for the variables of ours that tell a rank its number: SLURM_PROCID=PSIJ_RANK ...
RANK_NAMES = "PSIJ_RANK_NAMES"
#: Variables that ranks on any node have as the caller has them, whatever the launcher's daemons there have.
CALLERS = ("PATH", "LD_LIBRARY_PATH")
#: The index of an element of an array, or of a task of a farm.
ARRAY_INDEX = "PSIJ_ARRAY_INDEX"
#: Set in the tasks of a farm: the allocation whose nodes it holds.
FARM = "PSIJ_FARM"
