"""Parses the options of ``submit``, on the command line and in a script's ``#PSIJ-LOCAL`` lines.

It does not use argparse, whose import alone takes as long as a submission.
"""

from __future__ import annotations

import os
import signal
import time

from .processes import MachineIdentity
from .records import AFTER, LocalError, Spec, indices

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from .settings import Settings

DIRECTIVE = "#PSIJ-LOCAL"
FLAGS = ("hold", "json")
SUBMIT = ("cores", "memory", "time", "name", "tag", "output", "after", "begin", "array", "hold")


class UsageError(Exception):
    """The command line is wrong; the message is a sentence for the user."""


def parse(args: Sequence[str], valid_names: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """The options (``--name value``, ``--name=value``; a flag's value is "") and the positional arguments."""
    options: dict[str, str] = {}
    remaining = list(args)
    while remaining and remaining[0].startswith("--"):
        arg = remaining.pop(0)
        if arg == "--":
            break
        name, equals, value = arg[2:].partition("=")
        if name not in valid_names:
            valid = ", ".join(f"--{valid_name}" for valid_name in valid_names)
            raise UsageError(
                f"unknown option {arg}; the options are {valid}" if valid_names else f"unknown option {arg}"
            )
        if name not in FLAGS and not equals:
            if not remaining:
                raise UsageError(f"option {arg} needs a value")
            value = remaining.pop(0)
        options[name] = value
    return options, remaining


def directives(script: bytes) -> dict[str, str]:
    """The options in a script, up to its first line that is neither empty nor a comment. No quoting."""
    options: dict[str, str] = {}
    for raw in script.split(b"\n"):
        line = raw.decode("utf-8", "surrogateescape").strip()
        if line and not line.startswith("#"):
            break
        prefix, _, args = line.partition(" ")
        if prefix == DIRECTIVE:
            line_options, positional = parse(args.split(), SUBMIT)
            if positional:
                raise UsageError(f"{positional[0]} in a {DIRECTIVE} line is no option")
            options.update(line_options)
    return options


def build_spec(options: Mapping[str, str], script: str, cwd: str, settings: Settings) -> Spec:
    """The submission that these options describe, without id and script.

    Raises `LocalError` for a job that asks for more than this host has.
    """
    cores, memory = _count(options, "cores", 1), _count(options, "memory", 1, 1_000_000_000)
    if cores > settings.total:
        raise LocalError(f"the job asks for {cores} cores, and this machine has {settings.total}")
    if "memory" in options and memory > settings.memory:
        raise LocalError(f"the job asks for {memory} MB of memory, and this machine has {settings.memory} MB")
    name = options.get("name", "stdin" if script == "-" else os.path.basename(script))
    tag = options.get("tag", "")
    if not name.isprintable() or not tag.isprintable() or "|" in tag:
        raise LocalError("a name or a tag cannot hold control characters, nor a tag a |")
    output = options.get("output")
    machine = MachineIdentity()
    array, at_once = _array(options.get("array", ""))
    return Spec(
        {
            "id": "",
            "name": name,
            "tag": tag,
            "cores": cores,
            "limit": seconds(options.get("time", "0")),
            "array": array,
            "at_once": at_once,
            "after": _dependencies(options.get("after", "")),
            "begin": seconds(options.get("begin", "0")),
            "held": "hold" in options,
            "cwd": cwd,
            "output": os.path.join(cwd, output) if output else os.devnull,
            "umask": _umask(),
            "affinity": _affinity(),
            "kill_wait": settings.kill_wait,
            "script": [],
            "submitted": time.time(),
            "host": machine.host,
            "boot": machine.boot,
        }
    )


def _count(options: Mapping[str, str], name: str, default: int, most: int = 1_000_000) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= most:
        raise UsageError(f"--{name} {text} is not a whole number from 1 on")
    return int(text)


def _array(text: str) -> tuple[str, int]:
    """The array's indices as text, ``0-9,12``, checked, and how many elements may run at a time (``%4``), 0: all."""
    listed, percent, limit = text.partition("%")
    at_once = _count({"array": limit}, "array", 0) if percent else 0
    try:
        numbers = indices(listed)
    except ValueError:
        numbers = [-1]
    if text and not (0 < len(numbers) <= 1_000_000 and len(set(numbers)) == len(numbers) and min(numbers) >= 0):
        raise UsageError(f"--array {text} is not a list of different indices such as 0-9,12")
    return listed, at_once


def _dependencies(text: str) -> list[str]:
    """Dependencies: ``12,afterany:13``; a bare id means afterok."""
    dependencies = [part if ":" in part else f"afterok:{part}" for part in text.split(",") if part]
    for dependency in dependencies:
        if dependency.partition(":")[0] not in AFTER:
            raise UsageError(f"--after {dependency} is none of {', '.join(AFTER)}, a colon and an id")
    return dependencies


def seconds(text: str) -> float:
    """A number of seconds; as a wall time, 0 is no limit."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12:
        raise UsageError(f"{text} is not a number of seconds")
    return value


def signal_number(text: str) -> int:
    """The signal that ``TERM``, ``SIGTERM`` or ``15`` names."""
    name = text.upper()
    try:
        return signal.Signals(int(text)) if text.isdigit() else signal.Signals[f"SIG{name.removeprefix('SIG')}"]
    except (KeyError, ValueError):
        raise UsageError(f"there is no signal {text}") from None


def _umask() -> int:
    """This process's umask. Not by ``os.umask``, which sets it for a moment: the caller may have threads."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1], 8) for line in file if line.startswith("Umask:"))
    except (OSError, StopIteration, ValueError):
        return 0o022


def _affinity() -> list[int]:
    """The cores that the submitter may use; empty if it may use all."""
    try:
        cores = os.sched_getaffinity(0)
    except AttributeError:  # not Linux
        return []
    return [] if len(cores) == os.cpu_count() else sorted(cores)
