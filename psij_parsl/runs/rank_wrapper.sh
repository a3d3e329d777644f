# Runs on a node, once in the place of each rank, and becomes the rank: POSIX sh, nothing else is needed there.
# psij-rank KEY=VALUE... -- COMMAND...     What each key means stands beside its `case` below. binding.py writes them.
psij_rows= psij_n=0 psij_ranks=1 psij_per_node=1 psij_out= psij_err= psij_label= psij_kind= psij_stay=
psij_threads= psij_codes= psij_quiet= psij_in= psij_dir= psij_split= psij_watch= psij_lone= psij_die= psij_relay= psij_more='>'
psij_var() {  # the value of the first of these variables that is set
  for psij_v; do
    eval "psij_got=\${$psij_v-}"
    [ -z "$psij_got" ] || { echo "$psij_got"; return; }
  done
}
psij_nth() {  # the part of $2 between its semicolons that has this number
  psij_k=$1 IFS=';'
  set -f
  set -- $2
  [ "$psij_k" -lt "$#" ] && shift "$psij_k" && echo "$1"
}
psij_expand() {  # 0-2,5 is 0 1 2 5
  for psij_v in $(echo "$1" | tr , ' '); do
    psij_k=${psij_v%-*}
    while [ "$psij_k" -le "${psij_v#*-}" ]; do echo "$psij_k" && psij_k=$((psij_k + 1)); done
  done
}
psij_count() { echo $#; }
psij_pick() {  # of the words after the first, those whose places the first one lists
  psij_want=$1 psij_got=
  shift
  psij_k=0
  for psij_v; do
    for psij_w in $psij_want; do [ "$psij_w" != "$psij_k" ] || psij_got=$psij_got,$psij_v; done
    psij_k=$((psij_k + 1))
  done
  echo "${psij_got#,}"
}
psij_say() { echo "psij: rank ${psij_rank:-?} on $psij_host: $1" >&2; }
psij_list() { IFS=,; set -- $1; IFS=' '; psij_var "$@"; }
psij_host=${SLURMD_NODENAME:-$(uname -n)}
psij_rank= psij_local=
while [ "$1" != -- ]; do
  case $1 in
  run=*) PSIJ_RUN=${1#*=}; export PSIJ_RUN ;;               # the mark by which the run's processes are found
  rank=*) psij_rank=$(psij_list "${1#*=}") ;;               # variables that may hold the rank's number
  local=*) psij_local=$(psij_list "${1#*=}") ;;             # ... and its number on this node
  ranks=*) psij_ranks=${1#*=} ;;                            # how many in all
  per_node=*) psij_per_node=${1#*=} ;;                      # ... and on each node
  dir=*) psij_dir=${1#*=} ;;                                # where to run
  out=*) psij_out=${1#*=} ;;                                # file for its stdout; %r is the rank
  err=*) psij_err=${1#*=} ;;                                # ... for its stderr; the same one for both together
  more=*) psij_more='>>' ;;                                 # append to them
  in=*) psij_in=${1#*=} ;;                                  # file for rank 0's stdin, `-` for the launcher's own
  label=*) psij_label=1 ;;                                  # each line begins with [rank]
  threads=*) psij_threads=${1#*=} ;;                        # for OpenMP and its kin
  kind=*) psij_kind=${1#*=} ;;                              # nvidia, amd, intel: whose variable masks the GPUs
  split=*) psij_split=${1#*=} ;;                            # GPUs of each rank, out of those that the node shows
  stay=*) psij_stay=${1#*=} ;;                              # remain as its parent, to tell a signal as 128+n; `abort`:
                                                            # and end the others too when it fails, as PMI has it
  codes=*) psij_codes=${1#*=} ;;                            # file to add a failing exit code to
  quiet=*) psij_quiet=1 ;;                                  # ... and then to say 0 to the launcher
  die=*) psij_die=1 ;;                                      # end with the process that started us
  relay=*) psij_relay=1 ;;                                  # signals reach us alone and are to be handed on; in bash
  watch=*) psij_watch=1 ;;                                  # see whether an MPI library is loaded without means
  row=*)                                                    # NODE|cores of rank 0;of rank 1;...|its GPUs;...
    psij_rows="$psij_rows ${1#*=}" psij_n=$((psij_n + 1)) ;;
  esac
  shift
done
shift
if [ -z "$psij_rank" ]; then
  if [ "$psij_ranks" = 1 ]; then psij_rank=0; else psij_lone=1; fi
fi
[ -n "$psij_local" ] || psij_local=$((${psij_rank:-0} % psij_per_node))
PSIJ_RANK=${psij_rank:-0} PSIJ_LOCAL_RANK=$psij_local PSIJ_NUM_RANKS=$psij_ranks
export PSIJ_RANK PSIJ_LOCAL_RANK PSIJ_NUM_RANKS

# Its place: the row of this node, by its name; hosts that all say one name are known by the order of the ranks.
psij_row=
for psij_r in $psij_rows; do
  case ${psij_r%%|*} in
  '*' | "$psij_host") psij_row=$psij_r; break ;;
  esac
  [ "${psij_r%%[.|]*}" != "${psij_host%%.*}" ] || psij_row=$psij_r
done
if [ -z "$psij_row" ] && [ "$psij_n" -gt 0 ] && [ -z "$psij_lone" ]; then
  psij_at=$(((psij_rank - psij_local) / psij_per_node))
  for psij_r in $psij_rows; do
    [ "$psij_at" != 0 ] || { psij_row=$psij_r; break; }
    psij_at=$((psij_at - 1))
  done
fi
if [ "$psij_n" -gt 0 ] && { [ -z "$psij_row" ] || [ -n "$psij_lone" ]; }; then
  psij_say "its place cannot be told: the launcher gives it no number that we know"
  exit 125
fi
psij_cpus= psij_gpus=
if [ -n "$psij_row" ]; then
  psij_row=${psij_row#*|}
  psij_cpus=$(psij_nth "$psij_local" "${psij_row%%|*}")
  psij_gpus=$(psij_nth "$psij_local" "${psij_row#*|}")
fi
case $psij_cpus in
'~'*)  # known by their count only: the first, second, ... of those that are ours here, if these are just the job's
  psij_cpus=${psij_cpus#'~'}
  export PSIJ_CPUS="$psij_cpus"
  psij_have=$(psij_expand "$(taskset -cp $$ 2>/dev/null | sed 's/.*: //')")
  if [ "$(psij_count $psij_have)" = "${SLURM_CPUS_ON_NODE:-none}" ]; then
    psij_want=$(psij_expand "$psij_cpus")
    psij_cpus=$(psij_pick "$psij_want" $psij_have)
  else
    psij_cpus=
  fi ;;
esac
if [ -n "$psij_cpus" ]; then
  export PSIJ_CPUS="$psij_cpus"
  psij_why=$(taskset -cp "$psij_cpus" $$ 2>&1 >/dev/null) ||
    psij_say "cannot be bound to cores $psij_cpus and runs where it may: ${psij_why##*: }"
fi

if [ -z "$psij_kind" ] && [ -n "$psij_gpus$psij_split" ]; then
  if [ -n "${ZE_AFFINITY_MASK-}" ]; then psij_kind=intel
  elif [ -n "${ROCR_VISIBLE_DEVICES-}" ]; then psij_kind=amd
  elif [ -n "${CUDA_VISIBLE_DEVICES-}" ] || [ -e /dev/nvidiactl ]; then psij_kind=nvidia
  elif [ -e /dev/kfd ]; then psij_kind=amd
  elif [ -e /dev/dri/renderD128 ]; then psij_kind=intel
  else psij_kind=nvidia; fi
fi
if [ -n "$psij_split" ] && [ -z "$psij_lone" ]; then
  case $psij_kind in
  amd) psij_seen=${ROCR_VISIBLE_DEVICES-} ;;
  intel) psij_seen=${ZE_AFFINITY_MASK-} ;;
  *) psij_seen=${CUDA_VISIBLE_DEVICES-} ;;
  esac
  psij_at=$((psij_local * psij_split)) psij_end=$(((psij_local + 1) * psij_split))
  while [ "$psij_at" -lt "$psij_end" ]; do
    psij_one=$psij_at
    [ -z "$psij_seen" ] || psij_one=$(psij_nth "$psij_at" "$(echo "$psij_seen" | tr , ';')")
    psij_gpus=${psij_gpus:+$psij_gpus,}$psij_one psij_at=$((psij_at + 1))
  done
fi
if [ -n "$psij_gpus" ]; then
  [ "$psij_gpus" != none ] || psij_gpus=
  export PSIJ_GPUS="$psij_gpus"
  case $psij_kind in
  amd)
    unset HIP_VISIBLE_DEVICES CUDA_VISIBLE_DEVICES GPU_DEVICE_ORDINAL  # they would count within the mask
    export ROCR_VISIBLE_DEVICES="$psij_gpus" ;;
  intel)
    export ZE_AFFINITY_MASK="$psij_gpus"
    case $psij_gpus in *.*) export ZE_FLAT_DEVICE_HIERARCHY="${ZE_FLAT_DEVICE_HIERARCHY:-COMPOSITE}" ;; esac ;;
  *) export CUDA_VISIBLE_DEVICES="$psij_gpus" CUDA_DEVICE_ORDER="${CUDA_DEVICE_ORDER:-PCI_BUS_ID}" ;;
  esac
fi
if [ -n "$psij_threads" ]; then
  PSIJ_THREADS=$psij_threads OMP_NUM_THREADS=$psij_threads MKL_NUM_THREADS=$psij_threads
  OPENBLAS_NUM_THREADS=$psij_threads NUMEXPR_NUM_THREADS=$psij_threads
  export PSIJ_THREADS OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS
fi

if [ -n "$psij_dir" ] && ! cd -- "$psij_dir" 2>/dev/null; then
  [ "$psij_local" != 0 ] || psij_say "the directory $psij_dir is not there"
  exit 125
fi
if [ -n "$psij_out" ]; then
  if [ -n "$psij_lone" ]; then psij_say "one file for each rank, and the launcher gives it no number"; exit 125; fi
  psij_file() { case $1 in *%r*) echo "${1%%%r*}$psij_rank${1#*%r}" ;; *) echo "$1" ;; esac; }
  psij_o=$(psij_file "$psij_out") psij_e=$(psij_file "$psij_err")
  [ "$psij_more" = '>>' ] || : >"$psij_o" || exit 125
  [ "$psij_more" = '>>' ] || [ -z "$psij_err" ] || : >"$psij_e" || exit 125
  exec >>"$psij_o" || exit 125
  if [ -z "$psij_err" ]; then :; elif [ "$psij_o" = "$psij_e" ]; then exec 2>&1; else exec 2>>"$psij_e" || exit 125; fi
fi
[ "${psij_rank:-0}" = 0 ] || psij_in=
case $psij_in in
-) ;;
*) exec <"${psij_in:-/dev/null}" || exit 125 ;;
esac
psij_what=$(command -v -- "$1") || psij_what=
case $psij_what in
*/*) [ -x "$psij_what" ] && [ ! -d "$psij_what" ] || { [ "$psij_local" != 0 ] || psij_say "$1 is not executable"; exit 126; } ;;
'') [ "$psij_local" != 0 ] || psij_say "there is no program $1"; exit 127 ;;
esac
psij_sed_o= psij_sed_e=
if [ -n "$psij_label" ] && psij_d=$(mktemp -d "${TMPDIR:-/tmp}/psij-XXXXXX") && mkfifo "$psij_d/o" "$psij_d/e"; then
  psij_last=${psij_d##*/}  # the line after the last one: what the command leaves running may hold its output open
  psij_sed() {
    trap '' TERM INT HUP USR1 USR2
    LC_ALL=C; export LC_ALL
    psij_k="s/^/[${psij_rank:-?}] /;p"
    exec sed -nu -e "/$psij_last\$/{s/$psij_last\$//;/./{$psij_k;};q;}" -e "$psij_k"
  }
  psij_sed <"$psij_d/o" & psij_sed_o=$!
  psij_sed <"$psij_d/e" >&2 & psij_sed_e=$!
  exec >"$psij_d/o" 2>"$psij_d/e"
  rm -r "$psij_d"
elif [ -n "$psij_label" ]; then
  psij_say "its lines are not labelled: TMPDIR must be a folder that can be written"
fi

# An interpreter loads its MPI when it runs. Is it one that finds its other ranks by what this launch gives it? Files
# that the launcher left open are closed first (POSIX sh cannot, above 9), or it would wait for the watch to end.
if [ -n "$psij_watch" ] && [ "${psij_rank:-0}" = 0 ]; then
  (bash -c 'for f in /proc/$$/fd/*; do f=${f##*/}; [ "$f" -lt 3 ] || eval "exec $f>&-"; done
    for s in 0.25 0.25 0.5 1 2 4 8; do
      sleep "$s" && kill -0 "$0" || break
      for p in "$0" $(cat "/proc/$0/task/$0/children"); do
        libs=$(grep -Eo "lib(mpich|mpi|pmix|pmi2?)\.so[.0-9]*" "/proc/$p/maps" | sort -u)
        case $libs in
        *libmpich.so* | *libmpi.so.12*)
          got=$PMI_RANK$PMI_FD$PMI_PORT$PMI_CONTROL_PORT$ALPS_APP_PE$PALS_RANKID mpi=MPICH
          case $libs in *libpmix.so*) got=$got$PMIX_NAMESPACE ;; esac ;;
        *libmpi.so*)
          got=$PMIX_NAMESPACE$PMIX_RANK$JSM_NAMESPACE_RANK mpi="Open MPI"
          case $libs in *libpmi*.so*) got=$got$PMI_FD ;; esac ;;
        *) continue ;;
        esac
        [ -n "$got" ] || echo "psij: this program has loaded $mpi, which this launch does not serve: each of" \
          "the $1 ranks is a run of one rank. Choose the --launcher of that MPI." >>"/proc/$p/fd/2"
        break 2
      done
    done' "$$" "$psij_ranks" </dev/null >/dev/null 2>&1 &)
fi
if [ -n "$psij_die" ] && setpriv --pdeathsig KILL true 2>/dev/null; then
  set -- setpriv --pdeathsig KILL -- "$@"
fi
[ -n "$psij_stay$psij_codes$psij_sed_o" ] || exec "$@"
psij_tell() {  # the launcher, or the file of exit codes, of a rank that failed
  if [ "$psij_e" != 0 ] && [ -n "$psij_codes" ] && echo "$psij_e" 2>/dev/null >>"$psij_codes"; then
    [ -z "$psij_quiet" ] || psij_e=0
  fi
}
if [ -n "$psij_relay" ]; then  # signals reach us alone, so we hand them on: in bash, which can tell whom it has started
  psij_run() {  # prints the rank's process id and its exit code: bash may lose it when a signal meets its own `wait`
    trap '' TERM INT HUP QUIT USR1 USR2
    (trap - TERM INT HUP QUIT USR1 USR2; echo "process $BASHPID"; eval 'exec "$@" <&3 >&4 3<&- 4>&-')
    echo "code $?"
  }
  psij_pid= psij_early= psij_e=137
  psij_hand() { if [ -n "$psij_pid" ]; then kill -s "$1" "$psij_pid" 2>/dev/null; else psij_early="$psij_early $1"; fi; }
  for psij_s in TERM INT HUP USR1 USR2; do trap "psij_hand $psij_s" "$psij_s"; done
  exec 3<&0 4>&1
  eval 'exec {psij_told}< <(psij_run "$@") 3<&- 4>&-'
  while read -r psij_k psij_v <&"$psij_told" || [ "$?" -gt 128 ]; do  # 128 and more: a signal came
    case $psij_k in
    process)
      psij_pid=$psij_v
      for psij_s in $psij_early; do kill -s "$psij_s" "$psij_pid" 2>/dev/null; done ;;
    code) psij_e=$psij_v; break ;;
    esac
    psij_k=
  done
else
  trap : TERM INT HUP USR1 USR2  # they reach the whole group; we stay to tell how the rank took them
  "$@"
  psij_e=$?
fi
psij_code=$psij_e
psij_tell
if [ -n "$psij_sed_o" ]; then  # who started us may end what we leave, so the last lines are to be out before
  trap '' PIPE
  echo "$psij_last" 2>/dev/null; echo "$psij_last" >&2
  exec >/dev/null 2>&1
  for psij_s in "$psij_sed_o" "$psij_sed_e"; do
    while wait "$psij_s"; psij_k=$?; kill -0 "$psij_s"; do :; done
    # It could not write: of a rank that ended well this must be told. Above 128: whoever read it has left.
    [ "$psij_k" = 0 ] || [ "$psij_k" -gt 126 ] || [ "$psij_code" != 0 ] || { psij_code=125 psij_e=125; psij_tell; }
  done
fi
if [ "$psij_e" != 0 ] && [ "$psij_stay" = abort ] && [ -n "${PMI_FD-}" ]; then  # the launcher ends us all at that
  bash -c 'echo "cmd=abort exitcode=$0" >&"$1"' "$psij_e" "$PMI_FD" 2>/dev/null
fi
exit "$psij_e"
