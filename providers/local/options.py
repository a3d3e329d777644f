"""From words to a job: the options of ``submit``, on the command line and in a script's ``#PSIJ-LOCAL``
lines.

Not argparse: its import alone takes as long as a submission.
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

DIRECTIVE = "#PSIJ-LOCAL"
FLAGS = ("hold", "json")
SUBMIT = ("cores", "time", "name", "tag", "output", "after", "array", "hold")


class UsageError(Exception):
    """A command that makes no sense, as a sentence."""


def parse(words: Sequence[str], known: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Split words into options (``--name value``, ``--name=value``; a flag's value is "") and the rest."""
    options: dict[str, str] = {}
    todo = list(words)
    while todo and todo[0].startswith("--"):
        word = todo.pop(0)
        if word == "--":
            break
        name, equals, value = word[2:].partition("=")
        if name not in known:
            valid = ", ".join(f"--{one}" for one in known)
            raise UsageError(f"unknown option {word}; the options are {valid}" if known else f"unknown option {word}")
        if name not in FLAGS and not equals:
            if not todo:
                raise UsageError(f"option {word} needs a value")
            value = todo.pop(0)
        options[name] = value
    return options, todo


def directives(script: bytes) -> dict[str, str]:
    """The options in a script, up to its first line that is neither empty nor a comment. No quoting."""
    options: dict[str, str] = {}
    for raw in script.split(b"\n"):
        line = raw.decode("utf-8", "surrogateescape").strip()
        if line and not line.startswith("#"):
            break
        word, _, rest = line.partition(" ")
        if word == DIRECTIVE:
            found, left = parse(rest.split(), SUBMIT)
            if left:
                raise UsageError(f"{left[0]} in a {DIRECTIVE} line is no option")
            options.update(found)
    return options


def specify(options: Mapping[str, str], script: str, cwd: str, total: int, kill_wait: float) -> Spec:
    """The job that is asked for, without id and script. Refuses what *total* cores cannot run."""
    cores = _count(options, "cores", 1)
    if cores > total:
        raise LocalError(f"the job asks for {cores} cores, and this machine has {total}")
    name = options.get("name", "stdin" if script == "-" else os.path.basename(script))
    tag = options.get("tag", "")
    if not name.isprintable() or not tag.isprintable() or "|" in tag:
        raise LocalError("a name or a tag cannot hold control characters, nor a tag a |")
    output = options.get("output")
    machine = MachineIdentity()
    return Spec(
        {
            "id": "",
            "name": name,
            "tag": tag,
            "cores": cores,
            "limit": seconds(options.get("time", "0")),
            "array": _indices(options.get("array", "")),
            "after": _after(options.get("after", "")),
            "held": "hold" in options,
            "cwd": cwd,
            "output": os.path.join(cwd, output) if output else os.devnull,
            "umask": _umask(),
            "affinity": _affinity(),
            "kill_wait": kill_wait,
            "script": [],
            "submitted": time.time(),
            "host": machine.host,
            "boot": machine.boot,
        }
    )


def _count(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= 1_000_000:
        raise UsageError(f"--{name} {text} is not a whole number from 1 on")
    return int(text)


def _indices(text: str) -> str:
    """Array indices: ``0-9,12``."""
    try:
        found = indices(text)
    except ValueError:
        found = [-1]
    if text and not (0 < len(found) <= 1_000_000 and len(set(found)) == len(found) and min(found) >= 0):
        raise UsageError(f"--array {text} is not a list of different indices such as 0-9,12")
    return text


def _after(text: str) -> list[str]:
    """Dependencies: ``12,afterany:13``; a bare id means afterok."""
    words = [word if ":" in word else f"afterok:{word}" for word in text.split(",") if word]
    for word in words:
        if word.partition(":")[0] not in AFTER:
            raise UsageError(f"--after {word} is none of {', '.join(AFTER)}, a colon and an id")
    return words


def seconds(text: str) -> float:
    """A wall time. 0 is none."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12:
        raise UsageError(f"{text} is not a number of seconds")
    return value


def signal_number(text: str) -> int:
    """``TERM``, ``SIGTERM`` or ``15``."""
    name = text.upper()
    try:
        return signal.Signals(int(text)) if text.isdigit() else signal.Signals[f"SIG{name.removeprefix('SIG')}"]
    except (KeyError, ValueError):
        raise UsageError(f"there is no signal {text}") from None


def _umask() -> int:
    """The umask, without setting it for a moment as ``os.umask`` does, for the caller may have threads."""
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
