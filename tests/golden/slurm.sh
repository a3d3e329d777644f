#!/bin/bash
#SBATCH --job-name=app
#SBATCH --comment=psij:JOB
#SBATCH --output=/home/me/state/jobs/JOB/manager.log
#SBATCH --open-mode=append
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=2
#SBATCH --time=01:30:00
#SBATCH --partition=batch
#SBATCH --account=X
#SBATCH --mem=4096M
#SBATCH --gpus-per-node=4
# psij-parsl job JOB. Above: options for the resource manager. Below: plain bash; the node needs nothing else.
set +Ceu +o pipefail  # what a profile or BASH_ENV may have left on
psij_root=/home/me/state/jobs/JOB
psij_native="${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
psij_attempt="${SLURM_RESTART_COUNT:-0}"
psij_index="$SLURM_ARRAY_TASK_ID"
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
psij_same() { [ "$1" = "$2" ] || [ "${1%%;*}" = "${2%%;*}" ]; }
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
psij_claim "$psij_root" "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}"
[ -z "$psij_index" ] || psij_claim "$psij_folder" "$psij_native"
rm -f -- "$psij_folder/exit"

export PSIJ_JOB_ID=JOB PSIJ_NATIVE_ID="$psij_native" PSIJ_JOB_MODE=mpi
export PSIJ_NODEFILE="$psij_folder/nodes" PSIJ_JOB_FOLDER="$psij_folder"
[ -z "$psij_index" ] || export PSIJ_ARRAY_INDEX="$psij_index"
scontrol show hostnames "$SLURM_JOB_NODELIST" >"$PSIJ_NODEFILE"

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
      PATH=* | LD_LIBRARY_PATH=* | MANPATH=* | MODULEPATH=* | LOADEDMODULES=* | _LMFILES_*=* | LMOD_*=* | \
        _ModuleTable*=* | __LMOD_*=* | __MODULES_*=* | CONDA_*=* | LANG=* | LC_*=* | HOME=* | \
        OMP_NUM_THREADS=* | TMPDIR=/tmp) ;;
      *=*) psij_node+=("$psij_each=${!psij_each}") ;;
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
if [ -z "${SLURM_MPI_TYPE:-}" ]; then
  case $(scontrol show config 2>/dev/null | grep "^MpiDefault") in
  *none | *"(null)")
    case $(ldd "$(command -v -- "$1")" 2>/dev/null) in
    *libmpich.so* | *libmpi.so.12*) export SLURM_MPI_TYPE=pmi2 ;;
    *libmpi.so.* | *libopen-pal.so*) export SLURM_MPI_TYPE=pmix ;;
    esac ;;
  esac
fi
exec -- srun --kill-on-bad-exit=1 --nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=2 --gpus-per-node=4 --mem=4096M sh /home/me/state/jobs/JOB/rank.sh rank_variables=SLURM_PROCID local_rank_variables=SLURM_LOCALID num_ranks=8 ranks_per_node=4 gpus_per_rank=1 stdin=- hide_failures=1 -- "$@"
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
