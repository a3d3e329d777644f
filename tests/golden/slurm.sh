#!/bin/bash
#SBATCH --job-name=app
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=2
#SBATCH --time=01:30:00
#SBATCH --partition=batch
#SBATCH --account=X
#SBATCH --mem=4096M
#SBATCH --gpus-per-node=4
# psij-parsl's own:
#SBATCH --comment=psij:JOB
#SBATCH --output=/home/me/state/jobs/JOB/manager.log
#SBATCH --open-mode=append

# ---- your job ----
psij_directory=/home/me
psij_stdin=/dev/null
psij_stdout=  # the file "stdout" in the job's folder
psij_stderr=  # the file "stderr" in the job's folder
psij_command=(./app)
# Environment: that of the shell which submitted it
psij_launch() {  # "$@" is the command, 8 times in mode mpi
  # $psij_rank: starts each rank, with rank.sh in the job's folder
  exec -- srun --kill-on-bad-exit=1 --nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=2 --gpus-per-node=4 --mem=4096M "${psij_rank[@]}" "$@"
}

# ---- psij-parsl: nothing below is yours; the node needs bash and nothing else ----
set +Ceu +o pipefail  # what a profile or BASH_ENV may have left on
psij_id=JOB psij_mode=mpi psij_umask=0022
psij_root=/home/me/state/jobs/JOB
psij_native="${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
psij_attempt="${SLURM_RESTART_COUNT:-0}"
psij_append= psij_patterns= psij_job_name=app
psij_file_id="$SLURM_JOB_ID"
psij_index="$SLURM_ARRAY_TASK_ID"
psij_whole="${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}"
psij_environment=/home/me/state/jobs/JOB/environment
psij_elements=''
psij_launcher_file=/home/me/state/jobs/JOB/launcher.sh
psij_functions='' psij_setup_may_fail=
psij_own_codes='' psij_exit_lag_s=60
psij_setup=()
psij_same_id() { [ "$1" = "$2" ] || [ "${1%%;*}" = "${2%%;*}" ]; }
psij_nodes() {
  :
  scontrol show hostnames "$SLURM_JOB_NODELIST" >"$PSIJ_NODEFILE"
  psij_cgroup=job_$SLURM_JOB_ID
  unset SLURM_OPEN_MODE  # it is for our log: with it, srun in the job would append to files, too
}
psij_after() { :; }
if [ ! -r "$psij_root/functions.sh" ]; then
  echo "psij: $(hostname) does not see the job's folder $psij_root: the site's spool must be a shared directory" >&2
  exit 125
fi
. "$psij_root/functions.sh"
psij_main
