"""GPU ids: from the variables that say which are visible, else from the vendors' tools."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import JournalError
from ..system import files
from ..system.gpu_variables import GPU_VARIABLES
from ..system.processes import boot_id
from . import host

if TYPE_CHECKING:
    from ..system.commands import Runner

_NONE = frozenset(("-1", "NoDevFiles", "void", "none"))
_PATIENCE_S = 5.0


def visible(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """The GPUs that the environment lets us see; None where it says nothing.

    The variable's values are kept as they stand: they are numbers, UUIDs, or tiles such as `0.1`. One that is
    empty, or -1, says that there are none. Where several list any, the first of `GPU_VARIABLES` is believed.
    """
    name = gpu_variable(environ)
    return None if name is None else tuple(_listed(environ[name]))


def gpu_variable(environ: Mapping[str, str]) -> str | None:
    """The variable that lists the GPUs: the first that lists any, else the first that is set; None without any."""
    names = [name for name in GPU_VARIABLES if name in environ]
    listing = (name for name in names if _listed(environ[name]))
    return next(listing, names[0] if names else None)


def _listed(text: str) -> list[str]:
    ids = [part.strip() for part in text.split(",")]
    stop = next((at for at, gpu_id in enumerate(ids) if not gpu_id or gpu_id in _NONE), len(ids))
    return list(dict.fromkeys(ids[:stop]))  # CUDA too reads up to the first that is no device


def host_gpus(environ: Mapping[str, str]) -> tuple[str, ...]:
    """This host's GPUs, by a vendor's tool that is run once after each boot: some take seconds to answer."""
    if not any(shutil.which(argv[0]) for argv, _ in TOOLS):
        return ()
    path = files.home(environ) / "gpus" / f"{host.name()}.json"
    cached = files.read_json(path)
    if isinstance(cached, dict) and cached.get("boot") == boot_id() and isinstance(cached.get("gpus"), list):
        return tuple(map(str, cached["gpus"]))
    gpu_ids = query_tools()
    if gpu_ids:  # a tool that failed is run again
        with suppress(JournalError):
            files.private_folder(path.parent)
            files.write_whole(path, json.dumps({"boot": boot_id(), "gpus": gpu_ids}))
    return gpu_ids


def query_tools(run: Runner | None = None, which: Callable[[str], object] = shutil.which) -> tuple[str, ...]:
    """The GPUs that a vendor's tool lists, waiting 5 s at most; () where no tool is installed, or none answers."""
    for argv, read in TOOLS:
        if not which(argv[0]):
            continue
        from ..system.bounds import Bounds
        from ..system.commands import CommandRunner

        output = run(argv) if run else CommandRunner(timeout_s=_PATIENCE_S)(argv, bounds=Bounds())
        if output.rc == 0 and (ids := read(output.stdout)):
            return ids
    return ()


def read_nvidia(text: str) -> tuple[str, ...]:
    """`nvidia-smi -L`. A GPU that is cut into MIG instances is given as these, for it cannot be used whole."""
    ids: list[str] = []
    for line in text.splitlines():
        if match := re.match(r"GPU (\d+):", line):
            ids.append(match[1])
            whole = True
        elif match := re.match(r"\s+MIG .*\(UUID: ([^)]+)\)", line):
            if whole:
                ids.pop()
                whole = False
            ids.append(match[1])
    return tuple(ids)


def read_rocm(text: str) -> tuple[str, ...]:
    """`rocm-smi --showid`: lines such as `GPU[0] : Device Name: …`."""
    return tuple(dict.fromkeys(re.findall(r"^GPU\[(\d+)\]", text, re.MULTILINE)))


def read_xpu(text: str) -> tuple[str, ...]:
    """`xpu-smi discovery`: a table whose rows begin with the device's number."""
    return tuple(dict.fromkeys(re.findall(r"^\|\s*(\d+)\s*\|", text, re.MULTILINE)))


TOOLS: Sequence[tuple[Sequence[str], Callable[[str], tuple[str, ...]]]] = (
    (("nvidia-smi", "-L"), read_nvidia),
    (("rocm-smi", "--showid"), read_rocm),
    (("xpu-smi", "discovery"), read_xpu),
)
