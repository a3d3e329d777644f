"""What the scripts share: interleaved timing, a real Slurm, and a report."""

from __future__ import annotations

import atexit
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests import unseen

SLURM_CONF = os.environ.get("SLURM_CONF")
if unseen.hide():  # the host's own resource managers and sites, which would take what is to run here
    atexit.register(unseen.tidy)
    unseen.forget_settings()
RESULTS = Path(__file__).parent / "results"


class Took(NamedTuple):
    """Median seconds by the clock, and of CPUs: of this process and of the children that it has waited for."""

    wall: float
    cpu: float


def measured(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Took]:
    """What each contestant takes, timed in turns so that all meet the same weather."""
    for call in contestants.values():
        call()  # once without counting: imports, caches
    taken: dict[str, list[Took]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            began, used = time.perf_counter(), _cpu()
            call()
            taken[name].append(Took(time.perf_counter() - began, _cpu() - used))
    return {
        name: Took(*(statistics.median(values) for values in zip(*each, strict=True))) for name, each in taken.items()
    }


def interleaved(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median seconds of each contestant by the clock, as `measured` has them."""
    return {name: took.wall for name, took in measured(contestants, rounds).items()}


def _cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


@contextmanager
def slurm(**settings: object) -> Iterator[None]:
    """The Slurm that $SLURM_CONF names, else one of the test suite's own, for as long as it is needed."""
    if SLURM_CONF:
        os.environ |= {"SLURM_CONF": SLURM_CONF, "PATH": unseen.path_before()}
        yield
        return
    from tests.clusters.slurm import SlurmCluster, SlurmSettings, install

    install()
    with SlurmCluster(SlurmSettings(**settings)) as cluster:  # type: ignore[arg-type]  # passed on as they are
        os.environ.update(cluster.env)
        yield


def report(
    name: str, rows: Mapping[str, float], *, unit: str, promise: str = "", facts: Mapping[str, object] = {}
) -> None:
    """Print figures, and write them as JSON where that can be done."""
    width = max(map(len, rows))
    for label, value in rows.items():
        print(f"{label:<{width}}  {value:10.3f} {unit}")
    for label, fact in facts.items():
        print(f"{label}: {fact}")
    if promise:
        print(f"promised: {promise}")
    host = {"python": platform.python_version(), "cores": os.cpu_count()}
    data = {
        "figures": dict(rows),
        "unit": unit,
        "promise": promise,
        "facts": dict(facts),
        "host": host,
        "at": time.time(),
    }
    try:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=2) + "\n")
    except OSError as error:
        print(f"not written: {error}")
