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
  # $psij_words is set below to the mpiexec that is found on the node
  exec -- "${psij_words[@]}" \
    sh /home/me/state/jobs/JOB/rank.sh rank_variables=OMPI_COMM_WORLD_RANK,PALS_RANKID,PMI_RANK,PMIX_RANK local_rank_variables=OMPI_COMM_WORLD_LOCAL_RANK,PALS_LOCAL_RANKID,MPI_LOCALRANKID,PMI_LOCAL_RANK num_ranks=8 ranks_per_node=4 gpus_per_rank=1 stdin=- hide_failures=1 -- "$@"
}

# ---- psij-parsl: nothing below is yours; the node needs bash and nothing else ----
set +Ceu +o pipefail  # what a profile or BASH_ENV may have left on
psij_id=JOB psij_mode=mpi psij_umask=0022
psij_root=/home/me/state/jobs/JOB
psij_native="$PBS_JOBID"

psij_whole="${PBS_JOBID/\[*\]/[]}"
psij_attempt="$(cat "$psij_root${PBS_ARRAY_INDEX:+/$PBS_ARRAY_INDEX}/starts" 2>/dev/null | wc -l)"
psij_index="$PBS_ARRAY_INDEX"
psij_environment=/home/me/state/jobs/JOB/environment
psij_elements=''
psij_functions='' psij_setup_may_fail=
psij_own_codes='' psij_exit_lag_s=60
psij_setup=()
psij_same_id() { [ "$1" = "$2" ] || [ "${1%%.*}" = "${2%%.*}" ]; }
psij_nodes() {
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
psij_before_launch() {
psij_threads 2 OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS
psij_limit=$(type -P timeout)
while IFS= read -r -d : psij_folder || { psij_launcher=; break; }; do
  for psij_launcher in mpiexec; do
    psij_launcher=${psij_folder:-.}/$psij_launcher
    [ -f "$psij_launcher" ] && [ -x "$psij_launcher" ] || continue
    case $(${psij_limit:+"$psij_limit" 10} "$psij_launcher" --version 2>&1 </dev/null) in
    *pbs_version*) ;;
    *'Open MPI'* | *OpenRTE* | *PRRTE* | *PRTE*) psij_flavour=openmpi; break 2 ;;
    *'Intel(R) MPI Library'*) psij_flavour=intelmpi; break 2 ;;
    *'mpiexec version'* | *PALS*) psij_flavour=pals; break 2 ;;
    *) psij_flavour=mpich; break 2 ;;
    esac
  done
done <<<"$PATH:"
[ -n "$psij_launcher" ] || { echo 'psij: an mpiexec is not on PATH here: load its module, or choose another --launcher' >&2; exit 127; }
case $psij_flavour in
openmpi)
case $(readlink -f -- "$psij_launcher" 2>/dev/null || printf %s "$psij_launcher") in
/usr/bin/* | /bin/*) [ "$(type -P "${psij_launcher##*/}")" != "$psij_launcher" ] || psij_launcher=${psij_launcher##*/} ;;
esac
psij_slots=
[ -n "${SLURM_JOB_ID:-}" ] || psij_slots=$(awk -v own="$(uname -n)" '{
  split($1, name, "."); split(own, ours, ".")
  printf "%s%s:4", (NR > 1 ? "," : ""), (name[1] == ours[1] ? own : $1) }' "$PSIJ_NODEFILE")
psij_words=("$psij_launcher" -n 8 --map-by ppr:4:node:pe=2 ${psij_slots:+--host "$psij_slots"} ${LD_LIBRARY_PATH+-x LD_LIBRARY_PATH} ${MKL_NUM_THREADS+-x MKL_NUM_THREADS} ${NUMEXPR_NUM_THREADS+-x NUMEXPR_NUM_THREADS} ${OMP_NUM_THREADS+-x OMP_NUM_THREADS} ${OPENBLAS_NUM_THREADS+-x OPENBLAS_NUM_THREADS} ${PATH+-x PATH}) ;;
intelmpi)
psij_words=("$psij_launcher" -n 8 -ppn 4 -genv I_MPI_PIN_DOMAIN 2:compact) ;;
pals)
psij_words=("$psij_launcher" -n 8 --ppn 4 --depth 2 --cpu-bind depth) ;;
mpich)
psij_words=("$psij_launcher" -n 8 -ppn 4 -bind-to core:2) ;;
esac
case $psij_flavour in
openmpi)
case $(ldd "$(command -v -- "$1")" 2>/dev/null) in
*libmpich.so* | *libmpi.so.12* | *libmpi_cray.so* | *libmpi_gnu* | *libmpi_intel.so* | *libmpicxx.so.12*) echo "psij: $1"' is built with MPICH (or a kin of it), and the launcher mpiexec does not serve that: it would be 8 runs of one rank each; choose --launcher mpich, or --mode serial' >&2; exit 125 ;;
*libmpi.so.* | *libopen-pal.so* | *libopen-rte.so* | *liboshmem.so*) : ;;
esac ;;
*)
case $(ldd "$(command -v -- "$1")" 2>/dev/null) in
*libmpich.so* | *libmpi.so.12* | *libmpi_cray.so* | *libmpi_gnu* | *libmpi_intel.so* | *libmpicxx.so.12*) : ;;
*libmpi.so.* | *libopen-pal.so* | *libopen-rte.so* | *liboshmem.so*) echo "psij: $1"' is built with Open MPI, and the launcher mpiexec does not serve that: it would be 8 runs of one rank each; choose --launcher openmpi, or --mode serial' >&2; exit 125 ;;
esac ;;
esac
}
if [ ! -r "$psij_root/functions.sh" ]; then
  echo "psij: $(hostname) does not see the job's folder $psij_root: the site's spool must be a shared directory" >&2
  exit 125
fi
. "$psij_root/functions.sh"
psij_main
