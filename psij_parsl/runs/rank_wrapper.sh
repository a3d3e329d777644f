# Runs on a node, once in the place of each rank, and becomes the rank: POSIX sh, nothing else is needed there.
# psij-rank KEY=VALUE... -- COMMAND...     What each key means stands beside its `case` below. binding.py writes them,
# and puts the text of mpi_watch.sh before this one's, as psij_mpi_watch.
psij_say() { echo "psij: rank ${psij_rank:-?} on $psij_host: $1" >&2; }
# These four say their answer in psij_value: for each $(...) the shell would start a process.
psij_first_of() {  # the value of the first of these variables, named with commas, that is set
  psij_value= psij_v=$1,
  while [ -z "$psij_value" ] && [ -n "$psij_v" ]; do
    eval "psij_value=\${${psij_v%%,*}-}"
    psij_v=${psij_v#*,}
  done
}
psij_nth() {  # the part of $2 between its $3 that has this number
  psij_n=$1 psij_value=$2$3
  while [ "$psij_n" -gt 0 ]; do psij_value=${psij_value#*"$3"} psij_n=$((psij_n - 1)); done
  psij_value=${psij_value%%"$3"*}
}
psij_expand() {  # 0-2,5 is 0 1 2 5; psij_count says how many these are
  psij_value= psij_count=0 psij_v=${1:+$1,}
  while [ -n "$psij_v" ]; do
    psij_n=${psij_v%%,*} psij_v=${psij_v#*,}
    psij_k=${psij_n%-*}
    while [ "$psij_k" -le "${psij_n#*-}" ]; do
      psij_value="$psij_value $psij_k" psij_k=$((psij_k + 1)) psij_count=$((psij_count + 1))
    done
  done
}
psij_pick() {  # of the words after the first, those whose places the first one lists; with commas
  psij_places=$1 psij_value= psij_k=0
  shift
  for psij_v; do
    for psij_p in $psij_places; do [ "$psij_p" != "$psij_k" ] || psij_value=${psij_value:+$psij_value,}$psij_v; done
    psij_k=$((psij_k + 1))
  done
}

psij_read_keys() {
  psij_rows= psij_num_rows=0 psij_num_ranks=1 psij_ranks_per_node=1 psij_stdout= psij_stderr= psij_stdin= psij_append=
  psij_labelled= psij_directory= psij_threads= psij_gpu_vendor= psij_gpus_per_rank= psij_report_signals=
  psij_exit_codes= psij_hide_failures= psij_die_with_parent= psij_relay_signals= psij_watch_mpi=
  psij_rank= psij_local_rank= psij_names= psij_num_keys=0
  while [ "$1" != -- ]; do
    case $1 in
    mark=*) PSIJ_RUN=${1#*=}; export PSIJ_RUN ;;              # the mark by which the run's processes are found
    rank_variables=*)                                         # variables that may hold the rank's number
      psij_first_of "${1#*=}"; psij_rank=$psij_value ;;
    local_rank_variables=*)                                   # ... and its number on this node
      psij_first_of "${1#*=}"; psij_local_rank=$psij_value ;;
    num_ranks=*) psij_num_ranks=${1#*=} ;;                    # how many in all
    ranks_per_node=*) psij_ranks_per_node=${1#*=} ;;          # ... and on each node
    directory=*) psij_directory=${1#*=} ;;                    # where to run
    stdout=*) psij_stdout=${1#*=} ;;                          # file for its stdout; %r is the rank
    stderr=*) psij_stderr=${1#*=} ;;                          # ... for its stderr; the same one for both together
    append=*) psij_append=1 ;;                                # append to them
    stdin=*) psij_stdin=${1#*=} ;;                            # file for rank 0's stdin, `-` for the launcher's own
    label=*) psij_labelled=1 ;;                               # each line begins with [rank]
    threads=*) psij_threads=${1#*=} ;;                        # for OpenMP and its kin
    gpu_vendor=*) psij_gpu_vendor=${1#*=} ;;                  # nvidia, amd, intel: whose variable masks the GPUs
    gpus_per_rank=*) psij_gpus_per_rank=${1#*=} ;;            # GPUs of each rank, out of those that the node shows
    report_signals=*) psij_report_signals=${1#*=} ;;          # remain as its parent, to tell a signal as 128+n;
                                                              # `abort`: and end the others too when it fails, as PMI has it
    exit_codes=*) psij_exit_codes=${1#*=} ;;                  # file to add a failing exit code to
    hide_failures=*) psij_hide_failures=1 ;;                  # ... and then to say 0 to the launcher
    die_with_parent=*) psij_die_with_parent=1 ;;              # end with the process that started us
    relay_signals=*) psij_relay_signals=1 ;;                  # signals reach us alone and are to be handed on; in bash
    watch_mpi=*) psij_watch_mpi=1 ;;                          # see whether an MPI library is loaded without means
    rank_names=*) psij_names=${1#*=} ;;                       # NAME=PSIJ_RANK ...: the same in other variables
    row=*)                                                    # NODE|cores of rank 0;of rank 1;...|its GPUs;...
      psij_rows="$psij_rows ${1#*=}" psij_num_rows=$((psij_num_rows + 1)) ;;
    esac
    shift
    psij_num_keys=$((psij_num_keys + 1))
  done
}

psij_find_rank() {
  psij_unknown=  # which rank it is
  if [ -z "$psij_rank" ]; then
    if [ "$psij_num_ranks" = 1 ]; then psij_rank=0; else psij_unknown=1; fi
  fi
  [ -n "$psij_local_rank" ] || psij_local_rank=$((${psij_rank:-0} % psij_ranks_per_node))
  PSIJ_RANK=${psij_rank:-0} PSIJ_LOCAL_RANK=$psij_local_rank PSIJ_NUM_RANKS=$psij_num_ranks
  export PSIJ_RANK PSIJ_LOCAL_RANK PSIJ_NUM_RANKS
  for psij_v in $psij_names; do eval "export ${psij_v%%=*}=\$${psij_v#*=}"; done
}

psij_find_row() {  # that of this node, by its name; hosts that all say one name are known by the order of the ranks
  psij_row= psij_cpus= psij_gpus=
  [ "$psij_num_rows" -gt 0 ] || return 0
  for psij_r in $psij_rows; do
    case ${psij_r%%|*} in
    '*' | "$psij_host") psij_row=$psij_r; break ;;
    esac
    [ "${psij_r%%[.|]*}" != "${psij_host%%.*}" ] || psij_row=$psij_r
  done
  if [ -z "$psij_row" ] && [ -z "$psij_unknown" ]; then
    psij_k=$(((psij_rank - psij_local_rank) / psij_ranks_per_node))
    for psij_r in $psij_rows; do
      [ "$psij_k" != 0 ] || { psij_row=$psij_r; break; }
      psij_k=$((psij_k - 1))
    done
  fi
  if [ -z "$psij_row" ] || [ -n "$psij_unknown" ]; then
    psij_say "its place cannot be told: the launcher gives it no number that we know"
    exit 125
  fi
  psij_row=${psij_row#*|}
  psij_nth "$psij_local_rank" "${psij_row%%|*}" ';'
  psij_cpus=$psij_value
  psij_nth "$psij_local_rank" "${psij_row#*|}" ';'
  psij_gpus=$psij_value
}

psij_bind_cores() {
  case $psij_cpus in
  '~'*)  # known by their count only: the first, second, ... of those that are ours here, if these are just the job's
    psij_cpus=${psij_cpus#'~'}
    export PSIJ_CPUS="$psij_cpus"
    psij_have=$(taskset -cp $$ 2>/dev/null)
    psij_expand "${psij_have##*: }"
    psij_have=$psij_value
    if [ "$psij_count" = "${SLURM_CPUS_ON_NODE:-none}" ]; then
      psij_expand "$psij_cpus"
      psij_pick "$psij_value" $psij_have
      psij_cpus=$psij_value
    else
      psij_cpus=
    fi ;;
  esac
  [ -n "$psij_cpus" ] || return 0
  export PSIJ_CPUS="$psij_cpus"
  psij_why=$(taskset -cp "$psij_cpus" $$ 2>&1 >/dev/null) ||
    psij_say "cannot be bound to cores $psij_cpus and runs where it may: ${psij_why##*: }"
}

psij_find_gpu_vendor() {
  if [ -n "${ZE_AFFINITY_MASK-}" ]; then psij_gpu_vendor=intel
  elif [ -n "${ROCR_VISIBLE_DEVICES-}" ]; then psij_gpu_vendor=amd
  elif [ -n "${CUDA_VISIBLE_DEVICES-}" ] || [ -e /dev/nvidiactl ]; then psij_gpu_vendor=nvidia
  elif [ -e /dev/kfd ]; then psij_gpu_vendor=amd
  elif [ -e /dev/dri/renderD128 ]; then psij_gpu_vendor=intel
  else psij_gpu_vendor=nvidia; fi
}

psij_share_gpus() {  # the part of this rank of those that the node shows
  case $psij_gpu_vendor in
  amd) psij_seen=${ROCR_VISIBLE_DEVICES-} ;;
  intel) psij_seen=${ZE_AFFINITY_MASK-} ;;
  *) psij_seen=${CUDA_VISIBLE_DEVICES-} ;;
  esac
  psij_k=$((psij_local_rank * psij_gpus_per_rank)) psij_end=$(((psij_local_rank + 1) * psij_gpus_per_rank))
  while [ "$psij_k" -lt "$psij_end" ]; do
    psij_value=$psij_k
    [ -z "$psij_seen" ] || psij_nth "$psij_k" "$psij_seen" ,
    psij_gpus=${psij_gpus:+$psij_gpus,}$psij_value psij_k=$((psij_k + 1))
  done
}

psij_mask_gpus() {
  [ -n "$psij_gpus$psij_gpus_per_rank" ] || return 0
  [ -n "$psij_gpu_vendor" ] || psij_find_gpu_vendor
  [ -z "$psij_gpus_per_rank" ] || [ -n "$psij_unknown" ] || psij_share_gpus
  [ -n "$psij_gpus" ] || return 0
  [ "$psij_gpus" != none ] || psij_gpus=
  export PSIJ_GPUS="$psij_gpus"
  case $psij_gpu_vendor in
  amd)
    unset HIP_VISIBLE_DEVICES CUDA_VISIBLE_DEVICES GPU_DEVICE_ORDINAL  # they would count within the mask
    export ROCR_VISIBLE_DEVICES="$psij_gpus" ;;
  intel)
    export ZE_AFFINITY_MASK="$psij_gpus"
    case $psij_gpus in *.*) export ZE_FLAT_DEVICE_HIERARCHY="${ZE_FLAT_DEVICE_HIERARCHY:-COMPOSITE}" ;; esac ;;
  *) export CUDA_VISIBLE_DEVICES="$psij_gpus" CUDA_DEVICE_ORDER="${CUDA_DEVICE_ORDER:-PCI_BUS_ID}" ;;
  esac
}

psij_set_threads() {
  [ -n "$psij_threads" ] || return 0
  PSIJ_THREADS=$psij_threads OMP_NUM_THREADS=$psij_threads MKL_NUM_THREADS=$psij_threads
  OPENBLAS_NUM_THREADS=$psij_threads NUMEXPR_NUM_THREADS=$psij_threads
  export PSIJ_THREADS OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS
}

psij_file() { case $1 in *%r*) echo "${1%%%r*}$psij_rank${1#*%r}" ;; *) echo "$1" ;; esac; }
psij_need_folder() {
  [ ! -d "${1%/*}/" ] || return 0
  [ "$psij_local_rank" != 0 ] || psij_say "there is no directory ${1%/*} for the output; mkdir -p makes it"
  exit 125
}
psij_open_files() {
  if [ -n "$psij_directory" ] && ! cd -- "$psij_directory" 2>/dev/null; then
    [ "$psij_local_rank" != 0 ] || psij_say "the directory $psij_directory is not there"
    exit 125
  fi
  if [ -n "$psij_stdout" ]; then
    if [ -n "$psij_unknown" ]; then psij_say "one file for each rank, and the launcher gives it no number"; exit 125; fi
    psij_o=$(psij_file "$psij_stdout") psij_e=$(psij_file "$psij_stderr")
    psij_need_folder "$psij_o"
    [ -z "$psij_stderr" ] || psij_need_folder "$psij_e"
    [ -n "$psij_append" ] || : >"$psij_o" || exit 125
    [ -n "$psij_append" ] || [ -z "$psij_stderr" ] || : >"$psij_e" || exit 125
    exec >>"$psij_o" || exit 125
    if [ -z "$psij_stderr" ]; then :; elif [ "$psij_o" = "$psij_e" ]; then exec 2>&1; else exec 2>>"$psij_e" || exit 125; fi
  fi
  [ "${psij_rank:-0}" = 0 ] || psij_stdin=
  case $psij_stdin in
  -) ;;
  *) exec <"${psij_stdin:-/dev/null}" || exit 125 ;;
  esac
}

psij_check_program() {
  psij_path=$(command -v -- "$1") || psij_path=
  case $psij_path in
  */*) [ -x "$psij_path" ] && [ ! -d "$psij_path" ] || { [ "$psij_local_rank" != 0 ] || psij_say "$1 is not executable"; exit 126; } ;;
  '') [ "$psij_local_rank" != 0 ] || psij_say "there is no program $1"; exit 127 ;;
  esac
}

psij_sed() {
  trap '' TERM INT HUP USR1 USR2
  LC_ALL=C; export LC_ALL
  psij_k="s/^/[${psij_rank:-?}] /;p"
  exec sed -nu -e "/$psij_last\$/{s/$psij_last\$//;/./{$psij_k;};q;}" -e "$psij_k"
}
psij_label() {
  psij_sed_o= psij_sed_e=
  [ -n "$psij_labelled" ] || return 0
  if psij_d=$(mktemp -d "${TMPDIR:-/tmp}/psij-XXXXXX") && mkfifo "$psij_d/o" "$psij_d/e"; then
    psij_last=${psij_d##*/}  # the line after the last one: what the command leaves running may hold its output open
    psij_sed <"$psij_d/o" & psij_sed_o=$!
    psij_sed <"$psij_d/e" >&2 & psij_sed_e=$!
    exec >"$psij_d/o" 2>"$psij_d/e"
    rm -r "$psij_d"
  else
    psij_say "its lines are not labelled: TMPDIR must be a folder that can be written"
  fi
}

psij_report() {  # to the launcher, or to the file of exit codes, that a rank failed
  if [ "$psij_e" != 0 ] && [ -n "$psij_exit_codes" ] && echo "$psij_e" 2>/dev/null >>"$psij_exit_codes"; then
    [ -z "$psij_hide_failures" ] || psij_e=0
  fi
}

psij_run() {  # prints the rank's process id and its exit code: bash may lose it when a signal meets its own `wait`
  trap '' TERM INT HUP QUIT USR1 USR2
  (trap - TERM INT HUP QUIT USR1 USR2; echo "process $BASHPID"; eval 'exec "$@" <&3 >&4 3<&- 4>&-')
  echo "code $?"
}
psij_hand_on() { if [ -n "$psij_pid" ]; then kill -s "$1" "$psij_pid" 2>/dev/null; else psij_early="$psij_early $1"; fi; }
psij_run_relaying() {  # signals reach us alone, so we hand them on: in bash, which can tell whom it has started
  psij_pid= psij_early= psij_e=137
  for psij_s in TERM INT HUP USR1 USR2; do trap "psij_hand_on $psij_s" "$psij_s"; done
  exec 3<&0 4>&1
  eval 'exec {psij_news}< <(psij_run "$@") 3<&- 4>&-'
  while read -r psij_k psij_v <&"$psij_news" || [ "$?" -gt 128 ]; do  # 128 and more: a signal came
    case $psij_k in
    process)
      psij_pid=$psij_v
      for psij_s in $psij_early; do kill -s "$psij_s" "$psij_pid" 2>/dev/null; done ;;
    code) psij_e=$psij_v; break ;;
    esac
    psij_k=
  done
}

psij_end_label() {  # who started us may end what we leave, so the last lines are to be out before
  trap '' PIPE
  echo "$psij_last" 2>/dev/null; echo "$psij_last" >&2
  exec >/dev/null 2>&1
  for psij_s in "$psij_sed_o" "$psij_sed_e"; do
    while wait "$psij_s"; psij_k=$?; kill -0 "$psij_s"; do :; done
    # It could not write: of a rank that ended well this must be told. Above 128: whoever read it has left.
    [ "$psij_k" = 0 ] || [ "$psij_k" -gt 126 ] || [ "$psij_code" != 0 ] || { psij_code=125 psij_e=125; psij_report; }
  done
}

psij_host=${SLURMD_NODENAME:-$(uname -n)}
psij_read_keys "$@"
shift "$psij_num_keys"
shift  # the --
psij_find_rank
psij_find_row
psij_bind_cores
psij_mask_gpus
psij_set_threads
psij_open_files
psij_check_program "$1"
psij_label
if [ -n "$psij_watch_mpi" ] && [ "${psij_rank:-0}" = 0 ]; then
  (bash -c "$psij_mpi_watch" "$$" "$psij_num_ranks" </dev/null >/dev/null 2>&1 &)
fi
if [ -n "$psij_die_with_parent" ] && setpriv --pdeathsig KILL true 2>/dev/null; then
  set -- setpriv --pdeathsig KILL -- "$@"
fi
[ -n "$psij_report_signals$psij_exit_codes$psij_sed_o" ] || exec "$@"
if [ -n "$psij_relay_signals" ]; then
  psij_run_relaying "$@"
else
  trap : TERM INT HUP USR1 USR2  # they reach the whole group; we stay to tell how the rank took them
  "$@"
  psij_e=$?
fi
psij_code=$psij_e
psij_report
[ -z "$psij_sed_o" ] || psij_end_label
if [ "$psij_e" != 0 ] && [ "$psij_report_signals" = abort ] && [ -n "${PMI_FD-}" ]; then  # the launcher ends us all at that
  bash -c 'echo "cmd=abort exitcode=$0" >&"$1"' "$psij_e" "$PMI_FD" 2>/dev/null
fi
exit "$psij_e"
