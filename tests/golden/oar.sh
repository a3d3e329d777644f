#!/bin/bash
#OAR -n app.psij:JOB
#OAR -l /nodes=2/resource_id=8,walltime=1:30:00
#OAR -q default
#OAR --project X
# psij-parsl's own:
#OAR -O /home/me/state/jobs/JOB/manager.log
#OAR -E /home/me/state/jobs/JOB/manager.log

# ---- your job ----
psij_directory=/home/me
psij_stdin=/dev/null
psij_stdout=  # the file "stdout" in the job's folder
psij_stderr=  # the file "stderr" in the job's folder
psij_command=(./app)
# Environment: that of the shell which submitted it
# The job sets OMPI_MCA_plm_rsh_agent PRTE_MCA_plm_ssh_agent HYDRA_LAUNCHER HYDRA_LAUNCHER_EXEC
psij_launch() {  # "$@" is the command, 8 times in mode mpi
  # $psij_launch_args: the mpiexec that is found on the node, by launcher.sh in the job's folder
  exec -- "${psij_launch_args[@]}" "$@"
}

# ---- psij-parsl: nothing below is yours; the node needs bash and nothing else ----
set +Ceu +o pipefail  # what a profile or BASH_ENV may have left on
psij_id=JOB psij_mode=mpi psij_umask=0022
psij_root=/home/me/state/jobs/JOB
psij_native="$OAR_JOB_ID"
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
  psij_seen=" "
  while read -r psij_host; do  # it names a host once for each resource
    case $psij_seen in *" $psij_host "*) continue ;; esac
    psij_seen="$psij_seen$psij_host "
    echo "$psij_host"
  done <"$OAR_NODEFILE" >"$PSIJ_NODEFILE"
  unset psij_seen psij_host
}
psij_after() { :; }
if [ ! -r "$psij_root/functions.sh" ]; then
  echo "psij: $(hostname) does not see the job's folder $psij_root: the site's spool must be a shared directory" >&2
  exit 125
fi
. "$psij_root/functions.sh"
psij_main
