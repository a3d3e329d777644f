"""Plain processes on this host, without any MPI, as on a laptop.

Each copy finds its rank in PSIJ_RANK and PSIJ_LOCAL_RANK, and the number of ranks in PSIJ_NUM_RANKS.
"""

from psij_parsl.errors import InvalidRequest
from psij_parsl.runs.mpirun import Args, MPIRun, RunShape

# Run as: bash -c TEXT psij-fork RANKS COMMAND... The first copy gets the standard input. The exit code is that of the
# first copy that is seen to fail. A shell makes processes that it starts with `&` ignore INT and QUIT; each copy
# resets that. Variables named psij_* are not exported.
_START = """psij_n=$1; shift; psij_pids= psij_code=0 psij_told= psij_tick=
trap 'psij_told=1; kill -s TERM $psij_pids 2>/dev/null' TERM INT
for psij_s in HUP USR1 USR2; do trap 'kill -s '"$psij_s"' $psij_pids 2>/dev/null' "$psij_s"; done
psij_copy() { trap - INT QUIT; exec "$@"; }
for ((psij_r = 0; psij_r < psij_n; psij_r++)); do
  export PSIJ_RANK=$psij_r PSIJ_LOCAL_RANK=$psij_r PSIJ_NUM_RANKS=$psij_n
  if [ "$psij_r" = 0 ]; then psij_copy "$@" <&0 & else psij_copy "$@" </dev/null & fi
  psij_pids="$psij_pids $!"
done
[ -z "$psij_told" ] || kill -s TERM $psij_pids 2>/dev/null
"""
# A `wait` that a signal interrupts does not give the copy's exit code: it is called again when the copy has ended.
_INDEPENDENT = (
    _START
    + """for psij_p in $psij_pids; do
  while kill -0 "$psij_p" 2>/dev/null; do wait "$psij_p"; done
  wait "$psij_p" || { psij_c=$?; [ "$psij_code" != 0 ] || psij_code=$psij_c; }
done
exit "$psij_code"
"""
)
# `wait -n` can miss a copy that ended just before it. So a `sleep 1` ends every second and wakes it.
_TOGETHER = (
    _START
    + """while :; do
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
"""
)


def _copies(text: str, run: RunShape) -> Args:
    if run.num_nodes > 1:
        raise InvalidRequest(
            f"{run.num_nodes} nodes cannot be reached by plain processes of one host",
            hint="use one node, or a launcher that starts processes on other nodes",
        )
    return ["bash", "-c", text, "psij-fork", run.num_ranks]


class Fork(MPIRun):
    """Copies of the command as plain processes of one host."""

    name = "fork"
    program = "bash"
    this_host_only = True
    takes_options = False
    mpi_families = ()  # no PMI at all
    rank_variables = ("PSIJ_RANK",)
    local_rank_variables = ("PSIJ_LOCAL_RANK",)
    signals_groups = False
    signal_docs = (
        "bash hands TERM (INT becomes TERM), HUP, USR1 and USR2 on to each copy. When bash was killed, the kernel"
        " ends the copies (parent-death signal), or our sweep does, or the guard's when we were killed too."
    )

    def mpi(self, run: RunShape) -> Args:
        return _copies(_TOGETHER, run)

    def serial(self, run: RunShape) -> Args:
        return _copies(_INDEPENDENT, run)

    per_node = serial


launcher = Fork
