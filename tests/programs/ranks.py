"""The same as ranks.c, with mpi4py."""

import json
import os
import socket
import sys
import time

from mpi4py import MPI

world = MPI.COMM_WORLD
total = world.allreduce(world.rank)
time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 0)
line = {
    "rank": world.rank,
    "size": world.size,
    "sum": total,
    "host": socket.gethostname(),
    "cores": sorted(os.sched_getaffinity(0)),
    "library": MPI.Get_library_version().split()[0],
    **{name: os.environ.get(name, "") for name in ("PSIJ_RANK", "PSIJ_LOCAL_RANK", "PSIJ_CPUS", "OMP_NUM_THREADS")},
}
sys.stdout.write(json.dumps(line) + "\n")
sys.exit(0 if total == world.size * (world.size - 1) // 2 else 3)
