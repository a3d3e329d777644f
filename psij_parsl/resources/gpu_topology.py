"""Which CPUs are next to each GPU of this host: by the vendors' tools, else by the system's list of devices."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import AllocationError, SchedulerError
from .hostlist import numbers

if TYPE_CHECKING:
    from ..system.commands import Runner

_PATIENCE_S = 20.0  # a tool that starts the GPUs' driver takes seconds
_ROOT = Path("/")
_VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
_GPU_CLASSES = ("0x0302", "0x0380", "0x1200")  # 3D and other display controllers, accelerators; no screens


class NearCpus(NamedTuple):
    """The GPUs of one vendor, in the order of their numbers, and for each the CPU ids next to it, '' if unknown."""

    vendor: str
    cpus: tuple[str, ...]


def near_cpus(
    root: Path = _ROOT, run: Runner | None = None, which: Callable[[str], object] = shutil.which
) -> NearCpus | None:
    """The GPUs of this host with their CPUs; None where there are none, or nothing tells."""
    for vendor, argv, read in _TOOLS:
        if which(argv[0]) and (text := _printed(argv, run)) and (cpus := read(text, root)):
            return NearCpus(vendor, cpus)
    return read_devices(root)


def _printed(argv: Sequence[str], run: Runner | None) -> str:
    from ..system.bounds import Bounds
    from ..system.commands import CommandRunner

    try:
        output = run(argv) if run else CommandRunner(timeout_s=_PATIENCE_S)(argv, bounds=Bounds())
    except SchedulerError:  # it cannot be started
        return ""
    return output.stdout if output.rc == 0 else ""


def read_nvidia(text: str, root: Path = _ROOT) -> tuple[str, ...]:
    """`nvidia-smi topo -m`: a matrix with a column "CPU Affinity", on terminals underlined."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    head = next((line.split("\t") for line in lines if "CPU Affinity" in line), [])
    column = next((at for at, title in enumerate(head) if title.strip() == "CPU Affinity"), 0)
    rows = [[cell.strip() for cell in line.split("\t")] for line in lines if re.match(r"GPU\d+\s", line)]
    return tuple(_ids(row[column]) if column and len(row) > column else "" for row in rows)


def read_rocm(text: str, root: Path = _ROOT) -> tuple[str, ...]:
    """`rocm-smi --showtoponuma`: `GPU[0] : (Topology) Numa Node: 3`, whose CPUs the system lists."""
    nodes = dict(re.findall(r"^GPU\[(\d+)\]\s*:\s*\(Topology\) Numa Node:\s*(-?\d+)", text, re.MULTILINE))
    return tuple(_ids(_text(root / f"sys/devices/system/node/node{nodes[gpu]}/cpulist")) for gpu in nodes)


def read_devices(root: Path = _ROOT) -> NearCpus | None:
    """The GPUs on the bus, by their addresses; those of the vendor that has most of them."""
    found: dict[str, list[str]] = {}
    for folder in sorted((root / "sys/bus/pci/devices").glob("*")):
        vendor = _VENDORS.get(_text(folder / "vendor"))
        if vendor and _text(folder / "class").startswith(_GPU_CLASSES):
            found.setdefault(vendor, []).append(_ids(_text(folder / "local_cpulist")))
    if not found:
        return None
    vendor = max(found, key=lambda one: len(found[one]))
    return NearCpus(vendor, tuple(found[vendor]))


_TOOLS: Sequence[tuple[str, Sequence[str], Callable[[str, Path], tuple[str, ...]]]] = (
    ("nvidia", ("nvidia-smi", "topo", "-m"), read_nvidia),
    ("amd", ("rocm-smi", "--showtoponuma"), read_rocm),
)


def _ids(text: str) -> str:
    """A list of CPU ids as it stands; '' if it is none."""
    try:
        return text if numbers(text) else ""
    except AllocationError:
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
