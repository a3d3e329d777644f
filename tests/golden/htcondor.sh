#!/bin/bash
#HTCONDOR description = app
#HTCONDOR request_cpus = 16
#HTCONDOR request_memory = 4096
#HTCONDOR request_gpus = 8
#HTCONDOR allowed_job_duration = 5400
#HTCONDOR accounting_group = X
# psij-parsl's own:
#HTCONDOR batch_name = psij:JOB
#HTCONDOR should_transfer_files = NO
#HTCONDOR output = /home/me/state/jobs/JOB/manager.log
#HTCONDOR error = /home/me/state/jobs/JOB/manager.log
#HTCONDOR environment = "PSIJ_HTCONDOR_ID=$(ClusterId).$(ProcId)"
#HTCONDOR queue

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
psij_native="$PSIJ_HTCONDOR_ID"
psij_attempt="$(while read -r psij_key _ psij_value; do
  [ "$psij_key" != NumJobStarts ] || echo "$psij_value"
done <"$_CONDOR_JOB_AD")"
psij_append= psij_patterns= psij_job_name=app
psij_file_id="$psij_native"
psij_index="$PSIJ_HTCONDOR_INDEX"
psij_whole="$PSIJ_HTCONDOR_ID"
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
  for psij_name in OMP MKL OPENBLAS NUMEXPR JULIA TF; do  # HTCondor says all CPUs of the job, which is for one rank
    export "${psij_name}_NUM_THREADS"=2
  done
  # HTCondor sends TERM to this script alone, and KILL much later: it is handed on to all processes of the job.
  psij_on_term='trap : TERM INT; kill -s TERM 0'
}
psij_after() { :; }
if [ ! -r "$psij_root/functions.sh" ]; then
  echo "psij: $(hostname) does not see the job's folder $psij_root: the site's spool must be a shared directory" >&2
  exit 125
fi
. "$psij_root/functions.sh"
psij_main
