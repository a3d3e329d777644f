"""A program that uses a known part of a node, and prints what it has used, by its own account, as a line of JSON.

known_usage.py PROCESSES CPU_SECONDS_OF_EACH SECONDS_OF_SLEEP MIB_OF_THE_FIRST
"""

from __future__ import annotations

import json
import os
import sys
import time


def use(seconds: float, sleep: float, megabytes: int) -> None:
    held = bytearray(megabytes << 20)
    for at in range(0, len(held), 4096):
        held[at] = 1
    while time.process_time() < seconds:
        pass
    time.sleep(sleep)


def main(processes: int, seconds: float, sleep: float, megabytes: int) -> None:
    children = []
    for _ in range(processes - 1):
        if not (child := os.fork()):
            use(seconds, sleep, 0)
            os._exit(0)
        children.append(child)
    use(seconds, sleep, megabytes)
    for child in children:
        os.waitpid(child, 0)
    with open("/proc/self/status") as file:
        peak_kb = next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    print(json.dumps({"cpu_s": sum(os.times()[:4]), "memory_bytes": peak_kb * 1024}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
