"""The shell script of a block: its environment, the user's worker_init, and the launcher's text unchanged."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

#: Defines the shell function `module`: many a worker_init loads modules, and not every batch shell has the function.
_MODULES = """type module >/dev/null 2>&1 || for psij_file in "${LMOD_PKG:-}/init/bash" \\
  "${MODULESHOME:-}/init/bash" /etc/profile.d/lmod.sh /etc/profile.d/z00_lmod.sh /etc/profile.d/modules.sh; do
  [ ! -r "$psij_file" ] || { . "$psij_file"; break; }
done
"""
#: Our pool for MPI tasks (mpi_worker_pool.py) where the Python next to Parsl's own pool has psij_parsl, else that one.
MPI_POOL = """process_worker_pool.py() {
  local pool python find='import sys; from importlib.util import find_spec as f; sys.exit(not f("psij_parsl.parsl.mpi_worker_pool"))'
  pool=$(type -P process_worker_pool.py) || { echo "process_worker_pool.py: command not found" >&2; return 127; }
  python=${pool%/*}/python3
  if "$python" -c "$find" 2>/dev/null; then "$python" -m psij_parsl.parsl.mpi_worker_pool "$@"; else "$pool" "$@"; fi
}
"""
_NODE_FILE = '"$PSIJ_JOB_FOLDER/node.sh"'
_PROBE_INTERVAL_S = 15  # how often the watchdog looks
_GRACE_S = 10  # from its TERM to its KILL


def text(
    launched: str,
    *,
    name: str,
    exports: Mapping[str, str],
    scrub_environment: Sequence[str],
    worker_init: str,
    scripts: str,
    watchdog: str,
) -> str:
    """The shell text that the block's job runs with `bash -c`.

    `launched` is the launcher's text. `scripts` is the folder of the worker pool's program, used if PATH has none.
    `scrub_environment` are variables to unset, which would change the runs that tasks start. `watchdog` is what
    `watch` has returned.
    """
    lines = [
        f'export JOBNAME={shlex.quote(name)}."$PSIJ_JOB_ID"\n',
        'awk \'!seen[$0]++\' "$PSIJ_NODEFILE" >"$PSIJ_JOB_FOLDER/nodes.once"\n',
        'export PBS_NODEFILE="$PSIJ_JOB_FOLDER/nodes.once"\n',
        *(f"export {key}={shlex.quote(value)}\n" for key, value in exports.items()),
        f"unset {' '.join(scrub_environment)}\n" if scrub_environment else "",
        modules(worker_init),
        _with_warnings(worker_init),
        f'command -v process_worker_pool.py >/dev/null || export PATH="$PATH":{shlex.quote(scripts)}\n',
    ]
    return "".join(lines) + (guarded(launched, watchdog) if watchdog else _lines(launched))


def _lines(shell: str) -> str:
    return f"{shell.rstrip()}\n" if shell.strip() else ""


def _with_warnings(worker_init: str) -> str:
    """The user's text, with a warning about each command in it that fails. The block goes on, as with Parsl's own."""
    if not worker_init.strip():
        return ""
    warning = """psij: worker_init goes on after exit code $?: $BASH_COMMAND"""
    return f"trap 'echo \"{warning}\" >&2' ERR\n{_lines(worker_init)}trap - ERR\n"


def modules(shell: str) -> str:
    """Text that defines the function `module`, if the shell text uses it; else ''."""
    return _MODULES if re.search(r"(?m)(^|[;&|(]\s*)\s*(module|ml)\s", shell) else ""


#: Text that stores the first node's name, to which `on_other_nodes` compares; it must be run first.
FIRST_NODE = 'export PSIJ_FIRST_NODE="$(hostname)"\n'


def on_other_nodes(node_init: str) -> str:
    """The command that runs `node_init` on all nodes but the first, where the worker pool runs it itself."""
    init = modules(node_init) + node_init.rstrip()
    return f'[ "$(hostname)" = "${{PSIJ_FIRST_NODE:-}}" ] || {{\n{init}\n}}'


def once_per_node(node_init: str, command: str) -> tuple[str, str]:
    """Text that writes a script into the block's folder, and the command that runs it in place of `command`.

    It is a file because launchers differ in how they treat a command of several lines.
    """
    body = f"{modules(node_init)}{_lines(node_init)}{_lines(command)}"
    end = "PSIJ_NODE"
    while end in body:
        end += "_"
    return f"cat >{_NODE_FILE} <<'{end}'\n{body}{end}\n", f"bash {_NODE_FILE}"


def unsplit(command: str, path: str) -> str:
    """The command with each unquoted occurrence of `path` quoted: Parsl writes its run directory without quotes."""
    safe = re.sub(r"([^\w@%+=:,./-])", r"\\\1", path, flags=re.ASCII)
    if not path or safe == path:
        return command
    escaped, quote, position = "", "", 0
    while position < len(command):
        character = command[position]
        if not quote and command.startswith(path, position):
            escaped, position = escaped + safe, position + len(path)
            continue
        if character == "\\" and quote != "'":
            escaped, position = escaped + command[position : position + 2], position + 2
            continue
        if character in "'\"" and quote in ("", character):
            quote = "" if quote else character
        escaped, position = escaped + character, position + 1
    return escaped


def watch(command: str, patience_s: float) -> str:
    """The watchdog's arguments, from an executor's launch command; '' if that has no address and port."""
    port = re.search(r"--port[= ](\d+)", command)
    addresses = re.search(r"(?:^|\s)-a[= ]*(\S+)", command)
    if not port or not addresses or not patience_s:
        return ""
    return shlex.join([str(max(1, round(patience_s))), port[1], *addresses[1].split(",")])


def guarded(launched: str, watchdog: str) -> str:
    """The launcher's text with a watchdog, which ends all of it when the interchange has not answered for so long."""
    return f"""psij_watch() {{
  local patience=$1 port=$2 since=$SECONDS interval={_PROBE_INTERVAL_S} address
  shift 2
  [ "$interval" -le "$patience" ] || interval=$patience
  while sleep "$interval"; do
    for address; do
      if timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$address" "$port" 2>/dev/null; then since=$SECONDS; break; fi
    done
    if [ $((SECONDS - since)) -ge "$patience" ]; then
      echo "psij: there has been no answer at $* port $port for $patience s: the workflow is gone, this block ends" >&2
      kill -s TERM -- -"$psij_block"
      sleep {_GRACE_S}
      kill -s KILL -- -"$psij_block"
      return
    fi
  done
}}
exec 3>&2 2>/dev/null  # the shell's own messages about the two jobs are dropped
set -m
(
{_lines(launched)}) 2>&3 3>&- &
psij_block=$!
psij_watch {watchdog} 2>&3 3>&- &
psij_dog=$!
wait "$psij_block"
psij_code=$?
kill -s KILL -- -"$psij_dog"
exit "$psij_code"
"""
