"""Parsing of a job's environment variables, for several managers: host files, numbers, times."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..errors import AllocationError
from . import gpus, host
from .allocation import counted
from .hostlist import lines
from .node import Node


def nodes_of_file(
    environ: Mapping[str, str], variable: str, *, num_cpus: Sequence[str] = (), gpu_file: str = ""
) -> tuple[tuple[Node, ...], tuple[tuple[int, ...], ...]]:
    """The nodes in the file that `variable` names, one line per CPU or rank, as `counted` has them.

    `num_cpus` are variables with the number of CPUs of a node: the greatest of them and of the node's lines counts.
    `gpu_file` is the variable of a file with lines such as `node01-gpu0`. Raises `AllocationError` for a file that
    cannot be read.
    """
    hosts = lines(read_named(environ, variable))
    least = max((number(environ, name) for name in num_cpus), default=0)
    nodes, siblings = counted(hosts, [max(count, least) for count in hosts.values()], gpus.visible(environ) or ())
    if gpu_file not in environ or any(node.gpus for node in nodes):
        return nodes, siblings
    pairs = re.findall(r"^(.+)-gpu(\d+)$", read_named(environ, gpu_file), re.MULTILINE)
    return tuple(
        node._replace(gpus=tuple(gpu for name, gpu in pairs if name == node.name)) for node in nodes
    ), siblings


def read_named(environ: Mapping[str, str], variable: str) -> str:
    """The text of the file that a variable names. Raises `AllocationError` if it cannot be read."""
    path = environ[variable]
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise AllocationError(
            f"cannot read {path}, which ${variable} names: {error.strerror}",
            hint=f"it is on the job's first node only; this is {host.name()}",
        ) from error


def not_empty(nodes: tuple[Node, ...], manager: str) -> tuple[Node, ...]:
    """Those nodes. Raises `AllocationError` if there are none, which no job of a manager has."""
    if not nodes:
        raise AllocationError(
            f"this is a job of {manager}, but its environment names no hosts", hint="was the environment changed?"
        )
    return nodes


def number(environ: Mapping[str, str], variable: str) -> int:
    """The whole number that a variable has; 0 if it has none."""
    text = environ.get(variable, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def seconds(text: str) -> float | None:
    """A time in seconds since the epoch; None for 0 and for what is none."""
    try:
        return float(text) or None
    except ValueError:
        return None
