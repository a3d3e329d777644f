# What the script of every job does around its command: at most one execution, the job's files, signals, exit file.
#
# The script (job.sh.j2) says in variables and functions what the job is, reads this file, and calls psij_main:
#
#   psij_directory, psij_stdin   where the command starts, and what it reads
#   psij_stdout, psij_stderr     its output; empty: the files of that name in the job's folder. Where only the first
#                                is given, the second goes there too
#   psij_command, psij_setup     the command and its arguments; the texts to run before it
#   psij_launch                  starts the command, "$@"
#   psij_id, psij_mode           our id of the job; how the command is started
#   psij_root                    the folder of the submission
#   psij_native, psij_whole      the manager's id of the job, and of the array that it belongs to
#   psij_attempt, psij_index     how often it was started before; its index in an array, or nothing
#   psij_same_id, psij_nodes     whether two ids are of one job; writes the names of the nodes
#   psij_after                   checks how the jobs ended that it comes after
#   psij_environment             a file to read, with the environment
#   psij_elements                one with what each element of an array runs, or nothing
#   psij_launcher_file           one with what is to be done before psij_launch, or nothing
#   psij_umask                   the user's
#   psij_append                  yes: output is added to files that are there
#   psij_patterns                yes: what stands in braces in the names of the output files is filled in
#   psij_file_id, psij_job_name  the manager's own number of the job or element; the job's name
#   psij_functions               yes: `module`, `conda` and their kind are made; files: also where no variable leads
#                                to them
#   psij_setup_may_fail          yes: the command is started all the same
#   psij_exit_lag_s              for how many seconds the exit file of another job may not be seen yet
#   psij_on_term                 what to do at TERM and INT; psij_nodes sets it where only this script gets them
#   psij_own_codes               exit codes that the manager would take for orders, with blanks around each
#   psij_cgroup                  the name of the directory of the job's own control group; psij_nodes sets it
#   psij_warning                 a signal that is handed on before the wall time ends, or nothing
#   psij_warned                  yes: it has come already
#   psij_warns_command           yes: to the command alone, and to nothing that it runs
#   psij_warn_after_s            for how many seconds from the start, where the manager does not tell the time; and
#   psij_warn_before_s           how long before the end that is, should the wall time be another one by then

# What was used on this node, for `psij-run info`: the CPU time of the command and all that it waited for; CPU time (in
# microseconds) and most memory (in bytes) of the job's own control group, if there is one. Nothing here starts a process.
psij_note_usage() {
  local psij_line psij_cpu=- psij_peak=-
  while IFS= read -r psij_line; do
    case $psij_line/ in
      0::*/"${psij_cgroup:-none}"/*)
        psij_line=$psij_line/ psij_line=${psij_line#0::}
        psij_line=/sys/fs/cgroup${psij_line%%/"$psij_cgroup"/*}/$psij_cgroup
        read -r _ psij_cpu <"$psij_line/cpu.stat"
        read -r psij_peak <"$psij_line/memory.peak" ;;
    esac
  done </proc/self/cgroup
  printf '%s %s %s %s %s %s %s\n' "$psij_native" "$psij_attempt" "$SECONDS" "$psij_user" "$psij_system" \
    "${psij_cpu:--}" "${psij_peak:--}" >"$psij_folder/usage"
}

psij_end() {  # code stage: leave the exit file, whole or not at all, and end with the same code
  [ -z "$psij_user" ] || psij_note_usage 2>/dev/null
  printf '%s %s %s %s %s\n' "$psij_native" "$psij_attempt" "$1" "$2" "$(date +%s)" |
    dd of="$psij_folder/.exit" conv=fsync 2>/dev/null && mv -f -- "$psij_folder/.exit" "$psij_folder/exit"
  case $psij_own_codes in *" $1 "*) exit 1 ;; esac
  exit "$1"
}

psij_claim() {  # folder id: take the claim in it: the first copy has it, and a requeue of the same id passes
  ln -sn -- "$2" "$1/claim" 2>/dev/null && return
  psij_owner=$(readlink -- "$1/claim")
  psij_same_id "$psij_owner" "$2" && return
  if [ -z "$psij_owner" ]; then
    echo "psij: $(hostname) cannot write into $1: the site's spool must be a directory where it can" >&2
  else
    echo "psij: this is a second copy of job $psij_id; $psij_owner has it: ending" >&2
  fi
  exit 125
}

psij_require() {  # kind folder...: end the job unless the jobs with these folders ended as it asks
  psij_kind=$1 psij_good=yes psij_wait=$psij_exit_lag_s
  shift
  [ "$psij_kind" != aftercorr ] || { psij_kind=afterok; set -- "$1/$psij_index"; }  # the element of this index
  for psij_before; do
    while [ ! -s "$psij_before/exit" ] && [ "$psij_wait" -gt 0 ]; do
      sleep 1
      ls -- "$psij_before" >/dev/null 2>&1  # or NFS would not look again
      psij_wait=$((psij_wait - 1))
    done
    { read -r _ _ psij_code _ <"$psij_before/exit"; } 2>/dev/null || psij_code=unknown
    [ "$psij_code" = 0 ] || psij_good=no
  done
  case $psij_kind,$psij_good in afterok,no | afternotok,yes) ;; *) return ;; esac
  psij_end 125 dependency
}

# text name: fill in what stands in braces in the text, as psij_filled; a link of that name leads to the file.
psij_fill_in() {
  local psij_rest=$1 psij_word psij_brace='^([^{}]*)([{][{]|[}][}]|[{]([a-z]+)(:([0-9]{1,2}))?[}]|[{}])(.*)$'
  psij_filled=
  while [[ $psij_rest =~ $psij_brace ]]; do
    psij_filled+=${BASH_REMATCH[1]} psij_rest=${BASH_REMATCH[6]}
    case ${BASH_REMATCH[2]} in
      '{{') psij_word='{' ;;
      '}}') psij_word='}' ;;
      '{id}') psij_word=$psij_file_id ;;
      '{array}') psij_word=${psij_whole%%[.[;]*} ;;
      '{index}') psij_word=$psij_index ;;
      '{index:'*) printf -v psij_word "%0${BASH_REMATCH[5]}d" "${psij_index:-0}" ;;
      '{name}') psij_word=$psij_job_name ;;
      '{user}') psij_word=$(id -un) ;;
      '{host}') read -r psij_word <"$PSIJ_NODEFILE"; psij_word=${psij_word%%.*} ;;
      *) psij_word=${BASH_REMATCH[2]}; psij_filled+=$psij_word; continue ;;
    esac
    psij_filled+=${psij_word//\//_}
  done
  psij_filled+=$psij_rest
  [ "$psij_filled" = "$1" ] || ln -sfn -- "$psij_filled" "$psij_folder/$2"
}

psij_name_file() {  # variable name: the path in it, filled in; each element of an array has its own
  psij_filled=${!1}
  case $psij_filled in '' | /dev/null | "$psij_folder"/*) return ;; esac
  case $psij_patterns,${psij_elements:+no-}$psij_filled in
    *,no-*) psij_fill_in "$psij_filled" "$2" ;;  # it is this element's alone
    yes,*'{index'*) psij_fill_in "$psij_filled" "$2" ;;
    yes,*) psij_fill_in "$psij_filled${psij_index:+.$psij_index}" "$2" ;;
    *) psij_filled+=${psij_index:+.$psij_index} ;;
  esac
  printf -v "$1" %s "$psij_filled"
}

psij_name_files() {  # the paths of stdin, stdout and stderr
  if [ "$psij_patterns" = yes ]; then
    psij_fill_in "$psij_stdin" stdin
    psij_stdin=$psij_filled
  fi
  psij_name_file psij_stderr stderr
  if [ -z "$psij_stdout" ]; then
    psij_stdout=$psij_folder/stdout
    psij_stderr=${psij_stderr:-$psij_folder/stderr}
  else
    psij_name_file psij_stdout stdout
    psij_stderr=${psij_stderr:-$psij_stdout}
  fi
}

# file: empty it, or make it where output is added to it. A file of the user's is made by the user's umask; what is in our
# folder is private.
psij_make() {
  case $1 in
    "$psij_folder"/*) : >"$1" ;;
    *) (umask "$psij_umask" && if [ "$psij_append" = yes ]; then : >>"$1"; else : >"$1"; fi) ;;
  esac
}

psij_need_folder() {  # file: end the job unless its directory is there
  [ ! -d "${1%/*}/" ] || return 0
  echo "psij: there is no directory ${1%/*} on $(hostname) for the output of the job; mkdir -p makes it" >&2
  psij_end 125 folder
}

psij_open_files() {  # enter the directory and make the files, or say which of them cannot be
  cd -- "$psij_directory" || psij_end 125 directory
  : <"$psij_stdin" || psij_end 125 stdin
  psij_need_folder "$psij_stdout"
  psij_make "$psij_stdout" || psij_end 125 stdout
  [ "$psij_stderr" != "$psij_stdout" ] || return 0
  psij_need_folder "$psij_stderr"
  psij_make "$psij_stderr" || psij_end 125 stderr
}

# name=value...: what the manager's client was given. What else is here, the node has set.
psij_keep_from_node() {
  local psij_name
  local -A psij_given=()
  for psij_name; do psij_given[${psij_name%%=*}]=${psij_name#*=}; done
  for psij_name in $(compgen -e); do
    [ "${psij_given[$psij_name]+is:}${psij_given[$psij_name]-}" != "is:${!psij_name}" ] || continue
    if psij_is_of_node "$psij_name=${!psij_name}"; then psij_of_node+=("$psij_name=${!psij_name}"); fi
  done
}

# cores variable...: how many threads libraries start, unless the user has set it; an outer launch is not the user
psij_threads() {
  local psij_cores=$1 psij_name
  shift
  : "${PSIJ_THREADS=}"
  for psij_name; do
    [ "${!psij_name-$PSIJ_THREADS}" = "$PSIJ_THREADS" ] || return 0
  done
  for psij_name in PSIJ_THREADS "$@"; do export "$psij_name=$psij_cores"; done
}

# `module`, `conda` and their kind are functions, which no process inherits: they are made as at the prompt.
psij_make_functions() {
  local psij_file psij_known psij_files=()
  psij_known=$(compgen -A function)
  [ "$psij_functions" != files ] || psij_files=(/etc/profile.d/{lmod,z00_lmod,modules}.sh)
  if ! declare -F module >/dev/null; then
    for psij_file in "${LMOD_PKG:+$LMOD_PKG/init/bash}" "${LMOD_CMD:+${LMOD_CMD%/libexec/*}/init/bash}" \
      "${MODULESHOME:+$MODULESHOME/init/bash}" "${psij_files[@]}"; do
      if [ -r "$psij_file" ]; then . "$psij_file"; break; fi
    done
    declare -F module >/dev/null || [ ! -x "${MODULES_CMD:-}" ] || eval "$("$MODULES_CMD" bash autoinit)"
  fi
  if [ -n "${CONDA_EXE:-}" ] && ! declare -F conda >/dev/null; then
    for psij_file in "${CONDA_EXE%/*/*}"/etc/profile.d/{conda,mamba}.sh; do
      [ ! -r "$psij_file" ] || . "$psij_file"
    done
  fi
  for psij_file in $(compgen -A function); do  # the new ones, for scripts that are run by another bash
    case $'\n'$psij_known$'\n' in *$'\n'"$psij_file"$'\n'*) ;; *) export -f "$psij_file" ;; esac
  done
}

# number exit-code: note which text the setup is at. One that ends the shell, or becomes another program, has failed.
psij_at() {
  psij_text=${psij_setup[$1]}
  printf '%s\n' "$2" "$psij_text" >|"$psij_folder/setup"
  trap : EXIT  # without any trap, bash 5.2 becomes the last program of a text such as `cd there; ls`
}

psij_done() {  # number exit-code: of a text of the setup that has ended
  [ "$2" != 0 ] || return 0
  if [ "$psij_setup_may_fail" = yes ]; then
    printf 'psij: failed with exit code %s, and the job goes on: %s\n' "$2" "${psij_setup[$1]}" >&2
    return 0
  fi
  printf 'psij: the setup failed with exit code %s, and the command is not started: %s\n' "$2" "${psij_setup[$1]}" >&2
  psij_at "$1" "$2"
  builtin exit "$2"
}

# word...: run the command, and print its process id, its CPU time (in two lines, of which the second has it), and its exit
# code: bash loses it when a signal meets its `wait`.
psij_run() {
  trap '' INT QUIT TERM USR1 USR2 HUP
  (
    trap - INT QUIT TERM USR1 USR2 HUP
    echo "process $BASHPID"
    exec >&2
    # The environment is the command's: what it does to PATH, IFS or bash itself must not cost us the exit file.
    umask "$psij_umask"
    . "$psij_environment"
    if [ -n "$psij_elements" ]; then psij_element_environment; fi
    if [ -n "$psij_functions" ]; then
      exec >>"$psij_stderr" 2>&1  # what the setup prints is for people, and no output of the command
      psij_options=$(set +o; shopt -p)
      psij_arguments=("$@")
      set --  # a setup has no arguments, as at the prompt: `shift` in it must not cost those of the command
      psij_setup=("the shell functions that \$LMOD_PKG, \$MODULESHOME or \$CONDA_EXE lead to" "${psij_setup[@]}")
      psij_at 0 -; psij_make_functions </dev/null
      psij_program=:  # in no loop, whose end a `break` in a text would be
      for ((psij_number = 1; psij_number < ${#psij_setup[@]}; psij_number++)); do
        psij_program+="; psij_at $psij_number -; eval \"\$psij_text\" </dev/null; psij_done $psij_number \"\$?\""
      done
      eval "$psij_program"
      : >|"$psij_folder/setup"
      eval "$psij_options" 2>/dev/null  # what follows is ours again
      IFS=$' \t\n'
      trap - EXIT ERR DEBUG RETURN {1..31}
      set -- "${psij_arguments[@]}"
    fi
    exec >>"$psij_stdout"
    if [ "$psij_stderr" = "$psij_stdout" ]; then exec 2>&1; else exec 2>>"$psij_stderr"; fi
    set -- "$psij_launcher_file" "$@"
    unset "${!psij_@}"
    if [ -n "$1" ]; then . "$@"; fi
    shift
    psij_launch "$@"
  ) <"$psij_stdin"
  psij_code=$?
  times
  echo "code $psij_code"
}

psij_main() {
  SECONDS=0
  umask 077
  psij_folder=$psij_root${psij_index:+/$psij_index}
  [ -z "$psij_index" ] || mkdir -p -- "$psij_folder"
  psij_claim "$psij_root" "$psij_whole"
  [ -z "$psij_index" ] || psij_claim "$psij_folder" "$psij_native"
  rm -f -- "$psij_folder/exit" "$psij_folder/usage"

  export PSIJ_JOB_ID="$psij_id" PSIJ_NATIVE_ID="$psij_native" PSIJ_JOB_MODE="$psij_mode"
  export PSIJ_NODEFILE="$psij_folder/nodes" PSIJ_JOB_FOLDER="$psij_folder"
  [ -z "$psij_index" ] || export PSIJ_ARRAY_INDEX="$psij_index" PSIJ_ARRAY_ID="$psij_whole"
  unset PSIJ_JOB_TAG  # a job that the command submits with its whole environment (qsub -V) is not ours
  psij_on_term=: psij_user= psij_system= psij_cgroup=
  psij_nodes
  psij_after
  if [ -n "$psij_elements" ]; then . "$psij_elements"; fi
  if [ -z "$psij_elements" ] || [ "$psij_patterns" = yes ]; then psij_name_files; fi
  psij_open_files

  # A signal to this script alone (a warning before the end) is handed on. TERM and INT are sent to every process of
  # the job by the manager itself, or by $psij_on_term; this one stays to record how the command took them.
  psij_pid= psij_early= psij_warner=
  trap "$psij_on_term" TERM INT
  psij_signal=$psij_warning  # which the manager sends, unless it is this script that looks at the time
  [ -z "$psij_warn_after_s" ] || psij_signal=
  for psij_signal in USR1 USR2 HUP $psij_signal; do
    trap "psij_caught $psij_signal" "$psij_signal"
  done
  [ "$psij_warned" != yes ] || psij_caught "$psij_warning"

  [ -z "$psij_functions" ] || : >"$psij_folder/setup"
  psij_of_node=()
  # The pipe to the command takes four descriptors here; without them the command would run, and nobody hear from it.
  exec {psij_heard}</dev/null {psij_two}</dev/null {psij_three}</dev/null {psij_four}</dev/null || psij_end 125 start
  exec {psij_two}<&- {psij_three}<&- {psij_four}<&-
  exec {psij_heard}< <(psij_run "${psij_command[@]}")
  psij_code=125 psij_stage=start  # until it has begun; without processes or open files it does not
  while  # 128 and more: a signal came, or the time
    psij_look_at_time
    read -r "${psij_timeout[@]}" psij_word psij_number <&"$psij_heard" || [ "$?" -gt 128 ]
  do
    case $psij_word in
      process)
        psij_pid=$psij_number psij_code=137 psij_stage=command  # 137: should psij_run be killed
        for psij_signal in $psij_early; do psij_caught "$psij_signal"; done ;;
      *m*s) psij_user=$psij_word psij_system=$psij_number ;;
      code) psij_code=$psij_number; break ;;
    esac
  done
  # Did the setup come to its end? A signal that ended it, and the rest of the job, is none of its doing.
  if [ -n "$psij_functions" ] && { read -r psij_word <"$psij_folder/setup"; } 2>/dev/null; then
    [ "$psij_word" = - ] && [ "$psij_code" -gt 128 ] && [ "$psij_code" -le 192 ] || psij_end 125 setup
  fi
  psij_end "$psij_code" "$psij_stage"
}
