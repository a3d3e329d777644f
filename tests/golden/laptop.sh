#!/bin/bash
#PSIJ-LOCAL --name app --tag psij:JOB
#PSIJ-LOCAL --cores 2 --time 5400

# ---- your job ----
psij_directory=/home/me
psij_stdin=/dev/null
psij_stdout=  # the file "stdout" in the job's folder
psij_stderr=  # the file "stderr" in the job's folder
psij_command=(./app)
# Environment: that of the shell which submitted it
psij_launch() {  # "$@" is the command, 2 times in mode mpi
  exec -- bash -c "$psij_program_1" psij-fork 2 "$@"
}

# ---- psij-parsl: nothing below is yours; the node needs bash and nothing else ----
set +Ceu +o pipefail  # what a profile or BASH_ENV may have left on
psij_id=JOB psij_mode=mpi psij_umask=0022
psij_root=/home/me/state/jobs/JOB
psij_native="$PSIJ_LOCAL_JOB_ID"
psij_attempt="${PSIJ_LOCAL_ATTEMPT:-0}"
psij_append= psij_patterns= psij_job_name=app
psij_file_id="$psij_native"
psij_index="$PSIJ_LOCAL_ARRAY_INDEX"
psij_whole="${PSIJ_LOCAL_JOB_ID%%_*}"
psij_environment=/home/me/state/jobs/JOB/environment
psij_elements=''
psij_launcher_file=/home/me/state/jobs/JOB/launcher.sh
psij_functions='' psij_setup_may_fail=
psij_own_codes='' psij_exit_lag_s=60
psij_setup=()
psij_same_id() { [ "$1" = "$2" ]; }
psij_nodes() {
  :
  hostname >"$PSIJ_NODEFILE"
}
psij_after() { :; }
if [ ! -r "$psij_root/functions.sh" ]; then
  echo "psij: $(hostname) does not see the job's folder $psij_root: the site's spool must be a shared directory" >&2
  exit 125
fi
. "$psij_root/functions.sh"
psij_main
