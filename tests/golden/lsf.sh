#!/bin/bash
#BSUB -J app
#BSUB -W 1:30
#BSUB -n 16
#BSUB -R "span[ptile=8]"
#BSUB -R "rusage[mem=4096MB]"
#BSUB -M 8192MB
#BSUB -gpu num=4:j_exclusive=yes
#BSUB -q normal
#BSUB -P X
# psij-parsl's own:
#BSUB -Jd psij:JOB
#BSUB -o /home/me/state/jobs/JOB/manager.log

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
psij_native="$LSB_JOBID"
psij_attempt="$(cat "$psij_root/starts" 2>/dev/null | wc -l)"
psij_append= psij_patterns= psij_job_name=app
psij_file_id="$psij_native"
psij_index=
psij_whole="$LSB_JOBID"
psij_environment=/home/me/state/jobs/JOB/environment
psij_elements=''
psij_launcher_file=/home/me/state/jobs/JOB/launcher.sh
psij_functions='' psij_setup_may_fail=
psij_own_codes='' psij_exit_lag_s=60
psij_setup=()
psij_same_id() { [ "$1" = "$2" ]; }
psij_nodes() {
  :
  echo "$psij_native" >>"$psij_folder/starts"
  if [ -n "${LSB_MCPU_HOSTS:-}" ]; then  # h1 4 h2 4
    set -- $LSB_MCPU_HOSTS
    # A launch node (CSM) stands first, with one slot, and is no node of the job.
    [ -z "${CSM_ALLOCATION_ID:-}" ] || [ "$#" = 2 ] || [ "$2" != 1 ] || shift 2
    while [ "$#" -gt 1 ]; do echo "$1"; shift 2; done
  else  # a line for each slot, or a word
    psij_seen=" "
    for psij_host in $(cat -- "${LSB_DJOB_HOSTFILE:-/dev/null}") ${LSB_HOSTS:-}; do
      case $psij_seen in *" $psij_host "*) continue ;; esac
      psij_seen="$psij_seen$psij_host "
      echo "$psij_host"
    done
    unset psij_seen psij_host
  fi >"$PSIJ_NODEFILE"
}
psij_after() { :; }
if [ ! -r "$psij_root/functions.sh" ]; then
  echo "psij: $(hostname) does not see the job's folder $psij_root: the site's spool must be a shared directory" >&2
  exit 125
fi
. "$psij_root/functions.sh"
psij_main
