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
psij_whole="${PSIJ_LOCAL_JOB_ID%%_*}"
psij_attempt="${PSIJ_LOCAL_ATTEMPT:-0}"
psij_index="$PSIJ_LOCAL_ARRAY_INDEX"
psij_environment=/home/me/state/jobs/JOB/environment
psij_elements=''
psij_functions='' psij_setup_may_fail=
psij_own_codes='' psij_exit_lag_s=60
psij_setup=()
psij_same_id() { [ "$1" = "$2" ]; }
psij_nodes() {
  hostname >"$PSIJ_NODEFILE"
}
psij_after() { :; }
psij_before_launch() {
psij_threads 1 OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS
case $(ldd "$(command -v -- "$1")" 2>/dev/null) in
*libmpich.so* | *libmpi.so.12* | *libmpi_cray.so* | *libmpi_gnu* | *libmpi_intel.so* | *libmpicxx.so.12*) echo "psij: $1"' is built with MPICH (or a kin of it), and the launcher fork does not serve that: it would be 2 runs of one rank each; choose --launcher mpich, or --mode serial' >&2; exit 125 ;;
*libmpi.so.* | *libopen-pal.so* | *libopen-rte.so* | *liboshmem.so*) echo "psij: $1"' is built with Open MPI, and the launcher fork does not serve that: it would be 2 runs of one rank each; choose --launcher openmpi, or --mode serial' >&2; exit 125 ;;
esac
psij_program_1='psij_n=$1; shift; psij_pids= psij_code=0 psij_told= psij_tick=
trap '"'"'psij_told=1; kill -s TERM $psij_pids 2>/dev/null'"'"' TERM INT
for psij_s in HUP USR1 USR2; do trap '"'"'kill -s '"'"'"$psij_s"'"'"' $psij_pids 2>/dev/null'"'"' "$psij_s"; done
psij_copy() { trap - INT QUIT; exec "$@"; }
for ((psij_r = 0; psij_r < psij_n; psij_r++)); do
  export PSIJ_RANK=$psij_r PSIJ_LOCAL_RANK=$psij_r PSIJ_NUM_RANKS=$psij_n
  if [ "$psij_r" = 0 ]; then psij_copy "$@" <&0 & else psij_copy "$@" </dev/null & fi
  psij_pids="$psij_pids $!"
done
[ -z "$psij_told" ] || kill -s TERM $psij_pids 2>/dev/null
while :; do
  psij_left=
  for psij_p in $psij_pids; do
    if kill -0 "$psij_p" 2>/dev/null; then psij_left="$psij_left $psij_p"; continue; fi
    wait "$psij_p" || { psij_c=$?; [ "$psij_code" != 0 ] || { psij_code=$psij_c; psij_end=$((SECONDS + 5)); }; }
  done
  psij_pids=$psij_left
  [ -n "$psij_pids" ] || { kill $psij_tick 2>/dev/null; exit "$psij_code"; }
  if [ "$psij_code" != 0 ]; then
    [ -n "$psij_told" ] || { psij_told=1; kill -s TERM $psij_pids 2>/dev/null; }
    ((SECONDS < psij_end)) || kill -s KILL $psij_pids 2>/dev/null
  fi
  kill -0 $psij_tick 2>/dev/null || { sleep 1 </dev/null >/dev/null 2>&1 & psij_tick=$!; }
  wait -n
done
'
}
if [ ! -r "$psij_root/functions.sh" ]; then
  echo "psij: $(hostname) does not see the job's folder $psij_root: the site's spool must be a shared directory" >&2
  exit 125
fi
. "$psij_root/functions.sh"
psij_main
