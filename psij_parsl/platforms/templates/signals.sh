# Who gets a signal that is handed on, and a warning before the end. This is a part of functions.sh in a job's folder.

# signal: the manager, somebody, or the time has it for this script, which hands it on.
psij_caught() {
  [ -n "$psij_pid" ] || { psij_early+=" $1"; return 0; }  # the command has not begun
  if [ "$1" = "$psij_warning" ] && [ -n "$psij_warner" ] && kill -0 "$psij_warner" 2>/dev/null; then return 0; fi
  psij_hand_on "$1" &  # by another process: this one is in a read, which has no second
  [ "$1" != "$psij_warning" ] || psij_warner=$!
}

# signal: hand it on. A warning that nobody has a handler for is kept for the first who has one: a program may still be
# at its beginning (Slurm warns up to a minute early), or be started later by a script that goes on for hours.
psij_hand_on() {
  local psij_pause=1 psij_waited psij_program= psij_program_s=$SECONDS
  psij_give "$1" && return 0
  echo "psij: nobody was given the signal $1 yet: neither the command nor what it runs has a handler for it" >&2
  while [ "$1" = "$psij_warning" ]; do
    for ((psij_waited = 0; psij_waited < psij_pause; psij_waited++)); do
      sleep 1 </dev/null >/dev/null 2>&1
      kill -0 "$psij_pid" 2>/dev/null && kill -0 "$$" 2>/dev/null || return 0
    done
    psij_give "$1" && return 0
    psij_pause=$((psij_pause < 8 ? 2 * psij_pause : 15))  # each look reads the whole of /proc
  done
}

# signal: give it to the command, or to the first programs below it that catch it; never to a shell without a trap for it.
# Whether somebody was given it.
psij_give() {
  local psij_bit=$((1 << ($(kill -l "$1") - 1))) psij_status psij_one psij_got= psij_now=("$psij_pid") psij_below
  local -A psij_children=() psij_caught=() psij_blocked=() psij_all=()
  for psij_one in /proc/[0-9]*; do
    { IFS= read -r -d '' psij_status <"$psij_one/status"; } 2>/dev/null
    [[ $psij_status =~ PPid:[[:space:]]*([0-9]+).*SigBlk:[[:space:]]*([0-9a-f]+).*SigCgt:[[:space:]]*([0-9a-f]+) ]] || continue
    psij_one=${psij_one#/proc/}
    psij_children[${BASH_REMATCH[1]}]+=" $psij_one"
    psij_blocked[$psij_one]=$((16#${BASH_REMATCH[2]} & psij_bit))
    psij_caught[$psij_one]=$((16#${BASH_REMATCH[3]} & psij_bit))
    psij_all[$psij_one]=$((16#${BASH_REMATCH[3]} & 1 << 25))  # VTALRM, for which nobody has a handler
  done
  while [ "${#psij_now[@]}" -gt 0 ]; do
    psij_below=()
    for psij_one in "${psij_now[@]}"; do
      # A program may block a signal to wait for it, as srun does.
      if { [ "${psij_caught[$psij_one]:-0}" != 0 ] && psij_means_it "$psij_one" "$1"; } ||
        { [ "${psij_blocked[$psij_one]:-0}" != 0 ] && ! psij_is_shell "$psij_one"; }; then
        kill -s "$1" "$psij_one" 2>/dev/null && psij_got=yes
      elif [ "$psij_warns_command" != yes ]; then
        psij_below+=(${psij_children[$psij_one]})
      fi
    done
    psij_now=("${psij_below[@]}")
  done
  [ -z "$psij_got" ] || return 0
  psij_is_shell "$psij_pid" && return 1
  if [ "$1" = "$psij_warning" ] && psij_is_new "$psij_pid"; then return 1; fi
  kill -s "$1" "$psij_pid" 2>/dev/null
  return 0
}

# pid: whether psij_hand_on has seen it as the program that it is for less than seven seconds: most signals end one that
# has yet to set its handler. The exec of a shell makes it another program.
psij_is_new() {
  local psij_now_program
  psij_now_program=$(readlink -- "/proc/$1/exe")
  [ "$psij_now_program" = "$psij_program" ] || psij_program=$psij_now_program psij_program_s=$SECONDS psij_pause=1
  [ "$((SECONDS - psij_program_s))" -lt 7 ]
}

psij_is_shell() {  # pid
  local psij_program
  psij_program=$(readlink -- "/proc/$1/exe")
  case ${psij_program##*/} in sh | *bash | dash | ash | mksh | ksh* | zsh* | csh | tcsh | fish | busybox) return 0 ;; *) return 1 ;; esac
}

# pid signal: whether a process that catches it has a handler of its own: with a trap for EXIT, bash catches all signals
# that end it, and then only the text of the script tells. A signal that is named by a variable may be any.
psij_means_it() {
  local psij_word psij_text psij_path psij_trap psij_quoted psij_plain
  [ "${psij_all[$1]}" != 0 ] && psij_is_shell "$1" || return 0
  psij_quoted=$'\'[^\']*\'|"([^"\\\\]|\\\\.)*"|\\\\.' psij_plain=$'^ \t\n;\'"\\\\'
  psij_trap=$'(^|[\n;&|({]|THEN|ELSE|DO)[ \t]*TRAP[ \t]+(--[ \t]+)?'
  psij_trap+="($psij_quoted|[$psij_plain-])($psij_quoted|[$psij_plain])*"
  psij_trap+=$'([ \t]+[^ \t\n;]+)*[ \t]+"?'"((SIG)?($2|$(kill -l "$2"))|\\\$[^ ;\"]+)"$'"?([ \t\n;]|$)'
  {
    read -r -d '' psij_word  # the shell itself
    while IFS= read -r -d '' psij_word; do
      psij_text=$psij_word psij_path=$psij_word
      case $psij_word in /*) ;; *) psij_path=/proc/$1/cwd/$psij_word ;; esac
      [ ! -f "$psij_path" ] || IFS= read -r -N 262144 psij_text <"$psij_path"
      psij_text=${psij_text//$'\\\n'/ }
      [[ ${psij_text^^} =~ $psij_trap ]] && return 0
      [ ! -f "$psij_path" ] || return 1  # the others are for the script, and may be of any size
    done
  } 2>/dev/null <"/proc/$1/cmdline"
  return 1
}

psij_look_at_time() {  # hand the warning on if it is time; psij_timeout: how long to read until then
  psij_timeout=()
  if [ -n "$psij_warn_after_s" ] && [ "$SECONDS" -ge "$psij_warn_after_s" ]; then
    { read -r psij_word <"$psij_folder/wall_time"; } 2>/dev/null && [ "$((psij_word))" -gt 0 ] &&
      psij_warn_after_s=$((60 * psij_word - psij_warn_before_s))
    if [ "$SECONDS" -ge "$psij_warn_after_s" ]; then
      psij_warn_after_s=
      psij_caught "$psij_warning"
    fi
  fi
  [ -z "$psij_warn_after_s" ] || psij_timeout=(-t "$((psij_warn_after_s > SECONDS ? psij_warn_after_s - SECONDS : 1))")
}
