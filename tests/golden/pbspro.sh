#!/bin/bash
#PBS -N app
#PBS -S /bin/bash
#PBS -j oe
#PBS -o /home/me/state/jobs/JOB/manager.log
#PBS -v PSIJ_JOB_TAG=psij:JOB
#PBS -l select=2:ncpus=8:mpiprocs=4:ngpus=4:mem=4096mb
#PBS -l place=scatter
#PBS -l walltime=1:30:00
#PBS -q workq
#PBS -A X
# psij-parsl job JOB. Above: options for the resource manager. Below: plain bash; the node needs nothing else.
set +Ceu +o pipefail  # what a profile or BASH_ENV may have left on
psij_root=/home/me/state/jobs/JOB
psij_native="$PBS_JOBID"

psij_attempt="$(cat "$psij_root${PBS_ARRAY_INDEX:+/$PBS_ARRAY_INDEX}/starts" 2>/dev/null | wc -l)"
psij_index="$PBS_ARRAY_INDEX"
umask 077
psij_folder=$psij_root${psij_index:+/$psij_index}
if [ ! -d "$psij_root" ]; then
  echo "psij: $(hostname) does not see the job's folder $psij_root: the site's spool must be a shared directory" >&2
  exit 125
fi
[ -z "$psij_index" ] || mkdir -p -- "$psij_folder"

psij_end() {  # code stage: leave the exit file, whole or not at all, and end with the same code
  printf '%s %s %s %s %s\n' "$psij_native" "$psij_attempt" "$1" "$2" "$(date +%s)" |
    dd of="$psij_folder/.exit" conv=fsync 2>/dev/null && mv -f -- "$psij_folder/.exit" "$psij_folder/exit"
  exit "$1"
}
psij_same() { [ "$1" = "$2" ] || [ "${1%%.*}" = "${2%%.*}" ]; }
psij_claim() {  # folder id: take the claim in it
  ln -sn -- "$2" "$1/claim" 2>/dev/null && return
  psij_owner=$(readlink -- "$1/claim")
  psij_same "$psij_owner" "$2" && return
  if [ -z "$psij_owner" ]; then
    echo "psij: $(hostname) cannot write into $1: the site's spool must be a directory where it can" >&2
  else
    echo "psij: this is a second copy of job JOB; $psij_owner has it: ending" >&2
  fi
  exit 125
}
# At most one execution: the first copy of this submission takes the claim, a requeue of the same id passes.
psij_claim "$psij_root" "${PBS_JOBID/\[*\]/[]}"
[ -z "$psij_index" ] || psij_claim "$psij_folder" "$psij_native"
rm -f -- "$psij_folder/exit"

export PSIJ_JOB_ID=JOB PSIJ_NATIVE_ID="$psij_native" PSIJ_JOB_MODE=mpi
export PSIJ_NODEFILE="$psij_folder/nodes" PSIJ_JOB_FOLDER="$psij_folder"
[ -z "$psij_index" ] || export PSIJ_ARRAY_INDEX="$psij_index"
echo "$psij_native" >>"$psij_folder/starts"
psij_seen=" "
while read -r psij_host; do  # it names a host once for each rank
  case $psij_seen in *" $psij_host "*) continue ;; esac
  psij_seen="$psij_seen$psij_host "
  echo "$psij_host"
done <"$PBS_NODEFILE" >"$PSIJ_NODEFILE"
unset psij_seen psij_host
export OMP_NUM_THREADS=2  # PBS says all CPUs of the node, which is for one rank

psij_directory=/home/me
psij_stdin=/dev/null
psij_stdout=$psij_folder/stdout
psij_stderr=$psij_folder/stderr
set -- ./app
psij_umask=0022
psij_make() {  # file: empty it. A file of the user's is made by the user's umask; what is in our folder is private.
  case $1 in
    "$psij_folder"/*) : >"$1" ;;
    *) (umask "$psij_umask" && : >"$1") ;;
  esac
}
if ! cd -- "$psij_directory"; then psij_end 125 directory; fi
if ! : <"$psij_stdin"; then psij_end 125 stdin; fi
if ! psij_make "$psij_stdout"; then psij_end 125 stdout; fi
if [ "$psij_stderr" != "$psij_stdout" ] && ! psij_make "$psij_stderr"; then psij_end 125 stderr; fi

# A signal to this script alone (a warning before the end) is handed on. TERM and INT are sent to every process of
# the job by the manager itself; this one stays to record how the command took them.
psij_command=
for psij_signal in USR1 USR2 HUP; do
  trap '[ -z "$psij_command" ] || kill -s '"$psij_signal"' "$psij_command" 2>/dev/null' "$psij_signal"
done
trap : TERM INT

psij_node=()
psij_look() {  # name=value...: what the manager's client was given. What else is here, the node has set for this job.
  local psij_each
  local -A psij_given=()
  for psij_each; do psij_given[${psij_each%%=*}]=${psij_each#*=}; done
  for psij_each in $(compgen -e); do
    [ "${psij_given[$psij_each]+is:}${psij_given[$psij_each]-}" != "is:${!psij_each}" ] || continue
    case $psij_each=${!psij_each} in
      TMPDIR=*) psij_node+=("$psij_each=${!psij_each}") ;;
    esac
  done
}

psij_run() {  # prints the command's process id and its exit code: bash loses it when a signal meets its own `wait`
  trap '' INT QUIT TERM USR1 USR2 HUP
  (
    trap - INT QUIT TERM USR1 USR2 HUP
    echo "process $BASHPID"
    exec >&2
    # The environment is the command's: what it does to PATH, IFS or bash itself must not cost us the exit file.
    umask "$psij_umask"
    . /home/me/state/jobs/JOB/environment
    if [ "$psij_stderr" = "$psij_stdout" ]; then exec >>"$psij_stdout" 2>&1; else exec >>"$psij_stdout" 2>>"$psij_stderr"; fi
    unset psij_root psij_native psij_attempt psij_index psij_folder psij_directory psij_stdout psij_stderr \
      psij_command psij_signal psij_owner psij_umask psij_node
    : "${PSIJ_THREADS=}"; [ "${OMP_NUM_THREADS-$PSIJ_THREADS}${MKL_NUM_THREADS-$PSIJ_THREADS}${OPENBLAS_NUM_THREADS-$PSIJ_THREADS}${NUMEXPR_NUM_THREADS-$PSIJ_THREADS}" != "$PSIJ_THREADS$PSIJ_THREADS$PSIJ_THREADS$PSIJ_THREADS" ] || export PSIJ_THREADS=2 OMP_NUM_THREADS=2 MKL_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 NUMEXPR_NUM_THREADS=2
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
exec -- "${psij_words[@]}" sh /home/me/state/jobs/JOB/rank.sh rank_variables=OMPI_COMM_WORLD_RANK,PALS_RANKID,PMI_RANK,PMIX_RANK local_rank_variables=OMPI_COMM_WORLD_LOCAL_RANK,PALS_LOCAL_RANKID,MPI_LOCALRANKID,PMI_LOCAL_RANK num_ranks=8 ranks_per_node=4 gpus_per_rank=1 stdin=- hide_failures=1 -- "$@"
  ) <"$psij_stdin"
  echo "code $?"
}
# The pipe to the command takes four descriptors here; without them the command would run, and nobody hear from it.
exec {psij_told}</dev/null {psij_two}</dev/null {psij_three}</dev/null {psij_four}</dev/null || psij_end 125 start
exec {psij_two}<&- {psij_three}<&- {psij_four}<&-
exec {psij_told}< <(psij_run "$@")
psij_code=125 psij_stage=start  # until it has begun; without processes or open files it does not
while read -r psij_word psij_number <&"$psij_told" || [ "$?" -gt 128 ]; do  # 128 and more: a signal came
  case $psij_word in
    process) psij_command=$psij_number psij_code=137 psij_stage=command ;;  # 137: should psij_run be killed
    code) psij_code=$psij_number; break ;;
  esac
done
psij_end "$psij_code" "$psij_stage"
