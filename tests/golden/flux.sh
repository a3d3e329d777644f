#!/bin/bash
# flux: --job-name=app.psij:JOB
# flux: --nodes=2
# flux: --nslots=8
# flux: --cores-per-slot=2
# flux: --gpus-per-slot=1
# flux: --time-limit=90m
# flux: --queue=batch
# flux: --setattr=system.bank=X
# psij-parsl's own:
# flux: --output=/home/me/state/jobs/JOB/manager.log

# ---- your job ----
psij_directory=/home/me
psij_stdin=/dev/null
psij_stdout=  # the file "stdout" in the job's folder
psij_stderr=  # the file "stderr" in the job's folder
psij_command=(./app)
# Environment: that of the shell which submitted it
psij_launch() {  # "$@" is the command, 8 times in mode mpi
  exec -- flux run -o exit-on-error --nodes=2 --ntasks=8 --cores-per-task=2 --gpus-per-task=1 -o cpu-affinity=per-task -o gpu-affinity=per-task "$@"
}

# ---- psij-parsl: nothing below is yours; the node needs bash and nothing else ----
set +Ceu +o pipefail  # what a profile or BASH_ENV may have left on
psij_id=JOB psij_mode=mpi psij_umask=0022
psij_root=/home/me/state/jobs/JOB
psij_native="${FLUX_ENCLOSING_ID:-$(flux getattr jobid)}"
psij_native=${psij_native#f}  # its prefix is f, or a florin sign
psij_native=f${psij_native#$'\306\222'}

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
  flux resource list --states=all --no-header --format='{nodelist}' | flux hostlist --expand - | tr ' ' '\n' |
    awk 'NF && !seen[$0]++' >"$PSIJ_NODEFILE"
  [ -s "$PSIJ_NODEFILE" ] ||
  hostname >"$PSIJ_NODEFILE"
}
psij_after() { :; }
if [ ! -r "$psij_root/functions.sh" ]; then
  echo "psij: $(hostname) does not see the job's folder $psij_root: the site's spool must be a shared directory" >&2
  exit 125
fi
. "$psij_root/functions.sh"
psij_main
