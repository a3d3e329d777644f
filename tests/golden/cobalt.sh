#!/bin/bash
#COBALT -n 2 --proccount 8
#COBALT -t 1:30:00
#COBALT -q default
#COBALT -A X
#COBALT --jobname app --env PSIJ_JOB_TAG=psij.JOB
#COBALT -o /home/me/state/jobs/JOB/manager.log -e /home/me/state/jobs/JOB/manager.log --debuglog /home/me/state/jobs/JOB/manager.log
# Cobalt gives whole nodes: on each, 4 x 2 CPUs are wanted.

# ---- your job ----
psij_directory=/home/me
psij_stdin=/dev/null
psij_stdout=  # the file "stdout" in the job's folder
psij_stderr=  # the file "stderr" in the job's folder
psij_command=(./app)
# Environment: that of the shell which submitted it
psij_launch() {  # "$@" is the command, 8 times in mode mpi
  exec -- aprun -n 8 -N 4 -d 2 -j 1 -cc depth "$@"
}

# ---- psij-parsl: nothing below is yours; the node needs bash and nothing else ----
set +Ceu +o pipefail  # what a profile or BASH_ENV may have left on
psij_id=JOB psij_mode=mpi psij_umask=0022
psij_root=/home/me/state/jobs/JOB
psij_native="$COBALT_JOBID"
psij_attempt=0
psij_append= psij_patterns= psij_job_name=app
psij_file_id="$psij_native"
psij_index=
psij_whole="$psij_native"
psij_environment=/home/me/state/jobs/JOB/environment
psij_elements=''
psij_launcher_file=/home/me/state/jobs/JOB/launcher.sh
psij_functions='' psij_setup_may_fail=
psij_own_codes='' psij_exit_lag_s=60
psij_setup=()
psij_same_id() { [ "$1" = "$2" ]; }
psij_nodes() {
  :
  if [ -r "${COBALT_NODEFILE:-}" ]; then
    cat -- "$COBALT_NODEFILE"
  elif [[ ${COBALT_PARTNAME:-} =~ ^[0-9][0-9,-]*$ ]]; then  # the numbers of Cray's nodes: 1001-1005,1030
    for psij_span in ${COBALT_PARTNAME//,/ }; do
      for ((psij_host = 10#${psij_span%-*}; psij_host <= 10#${psij_span#*-}; psij_host++)); do
        printf 'nid%05d\n' "$psij_host"
      done
    done
    unset psij_span psij_host
  else
    hostname
  fi >"$PSIJ_NODEFILE"
}
psij_after() { :; }
if [ ! -r "$psij_root/functions.sh" ]; then
  echo "psij: $(hostname) does not see the job's folder $psij_root: the site's spool must be a shared directory" >&2
  exit 125
fi
. "$psij_root/functions.sh"
psij_main
