#!/bin/bash
#$ -N app.psij.JOB
#$ -pe mpi 16
#$ -l h_rt=1:30:00
#$ -l h_vmem=512M
#$ -q all.q
#$ -P X
# psij-parsl's own:
#$ -S /bin/bash
#$ -wd /
#$ -j y
#$ -o /home/me/state/jobs/JOB/manager.log

# ---- your job ----
psij_directory=/home/me
psij_stdin=/dev/null
psij_stdout=  # the file "stdout" in the job's folder
psij_stderr=  # the file "stderr" in the job's folder
psij_command=(./app)
# Environment: that of the shell which submitted it
psij_launch() {  # "$@" is the command, 8 times in mode mpi
  # $psij_launch_args: the mpiexec that is found on the node, by launcher.sh in the job's folder
  exec -- "${psij_launch_args[@]}" "$@"
}

# ---- psij-parsl: nothing below is yours; the node needs bash and nothing else ----
set +Ceu +o pipefail  # what a profile or BASH_ENV may have left on
psij_id=JOB psij_mode=mpi psij_umask=0022
psij_root=/home/me/state/jobs/JOB
psij_native="$JOB_ID"

psij_attempt="$(cat "$psij_root/starts" 2>/dev/null | wc -l)"
psij_append= psij_patterns= psij_job_name=app
psij_file_id="$psij_native"
psij_index=
psij_whole="$JOB_ID"
psij_environment=/home/me/state/jobs/JOB/environment
psij_elements=''
psij_launcher_file=/home/me/state/jobs/JOB/launcher.sh
psij_functions='' psij_setup_may_fail=
psij_own_codes=' 99 100 ' psij_exit_lag_s=60
psij_setup=()
psij_same_id() { [ "$1" = "$2" ]; }
psij_nodes() {
  :
  echo "$psij_native" >>"$psij_folder/starts"
  local psij_host psij_slots psij_rest psij_fits=yes
  local -A psij_of=()
  while read -r psij_host psij_slots psij_rest; do  # it names a host once for each queue
    [ -n "${psij_of[$psij_host]:-}" ] || echo "$psij_host"
    psij_of[$psij_host]=$((${psij_of[$psij_host]:-0} + psij_slots))
  done <"$PE_HOSTFILE" >"$PSIJ_NODEFILE"
  # The rule of the parallel environment has chosen the nodes, and knows nothing of their number.
  for psij_slots in "${psij_of[@]}"; do [ "$psij_slots" -ge 8 ] || psij_fits=no; done
  [ "$psij_fits,$(wc -l <"$PSIJ_NODEFILE")" = yes,2 ] || psij_end 125 nodes
}
psij_after() { :; }
if [ ! -r "$psij_root/functions.sh" ]; then
  echo "psij: $(hostname) does not see the job's folder $psij_root: the site's spool must be a shared directory" >&2
  exit 125
fi
. "$psij_root/functions.sh"
psij_main
