#!/bin/bash
#PBS -N app
#PBS -l select=2:ncpus=8:mpiprocs=4:ngpus=4:mem=4096mb
#PBS -l place=scatter
#PBS -l walltime=1:30:00
#PBS -q workq
#PBS -A X
# psij-parsl's own:
#PBS -S /bin/bash
#PBS -j oe
#PBS -o /home/me/state/jobs/JOB/manager.log
#PBS -v PSIJ_JOB_TAG=psij:JOB

# ---- your job ----
psij_directory=/home/me
psij_stdin=/dev/null
psij_stdout=  # the file "stdout" in the job's folder
psij_stderr=  # the file "stderr" in the job's folder
psij_command=(./app)
# Environment: that of the shell which submitted it
psij_launch() {  # "$@" is the command, 8 times in mode mpi
  # $psij_launch_args: the mpiexec that is found on the node, by launcher.sh in the job's folder
  # $psij_rank: starts each rank, with rank.sh in the job's folder
  exec -- "${psij_launch_args[@]}" "${psij_rank[@]}" "$@"
}

# ---- psij-parsl: nothing below is yours; the node needs bash and nothing else ----
set +Ceu +o pipefail  # what a profile or BASH_ENV may have left on
psij_id=JOB psij_mode=mpi psij_umask=0022
psij_root=/home/me/state/jobs/JOB
psij_native="$PBS_JOBID"

psij_attempt="$(cat "$psij_root${PBS_ARRAY_INDEX:+/$PBS_ARRAY_INDEX}/starts" 2>/dev/null | wc -l)"
psij_append= psij_patterns= psij_job_name=app
psij_file_id="$psij_native"
psij_index="$PBS_ARRAY_INDEX"
psij_whole="${PBS_JOBID/\[*\]/[]}"
psij_environment=/home/me/state/jobs/JOB/environment
psij_elements=''
psij_launcher_file=/home/me/state/jobs/JOB/launcher.sh
psij_functions='' psij_setup_may_fail=
psij_own_codes='' psij_exit_lag_s=60
psij_setup=()
psij_same_id() { [ "$1" = "$2" ] || [ "${1%%.*}" = "${2%%.*}" ]; }
psij_nodes() {
  :
  echo "$psij_native" >>"$psij_folder/starts"
  psij_seen=" "
  while read -r psij_host; do  # it names a host once for each rank
    case $psij_seen in *" $psij_host "*) continue ;; esac
    psij_seen="$psij_seen$psij_host "
    echo "$psij_host"
  done <"$PBS_NODEFILE" >"$PSIJ_NODEFILE"
  unset psij_seen psij_host
  export OMP_NUM_THREADS=2  # PBS says all CPUs of the node, which is for one rank
}
psij_after() { :; }
if [ ! -r "$psij_root/functions.sh" ]; then
  echo "psij: $(hostname) does not see the job's folder $psij_root: the site's spool must be a shared directory" >&2
  exit 125
fi
. "$psij_root/functions.sh"
psij_main
