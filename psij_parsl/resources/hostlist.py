"""Host lists in every form that resource managers write them.

Slurm (https://slurm.schedmd.com/scontrol.html#OPT_hostnames) and Flux
(https://flux-framework.readthedocs.io/projects/flux-rfc/en/latest/spec_29.html) compress names with brackets;
Cobalt gives bare node numbers; LSF and Grid Engine give names with slot counts; the others a line per slot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product

from ..errors import AllocationError

#: More hosts than any machine has: a list that claims more is damaged.
MOST = 1 << 20

_RANGE = re.compile(r"(\d+)(?:-(\d+))?", re.ASCII)
_SEPARATORS = ", \t\n"


def expand(text: str, *, prefix: str = "", width: int = 0) -> tuple[str, ...]:
    """The host names that a compressed list stands for, in its order, repeated ones included.

    `node[01-03,7]-ib[0-1],login` may have several brackets, brackets in brackets, text after them; zero padding
    is kept. With `prefix`, bare numbers are node numbers: `expand("1001-1005,1030", prefix="nid", width=5)`
    (Cobalt's). Raises `AllocationError` for a list that cannot be read, or stands for more than 2**20 hosts.
    """
    if prefix:
        text = f"{prefix}[{','.join(_padded(part, width) for part in text.split(','))}]" if text.strip() else ""
    parser = _Parser(text)
    names = parser.listed(outer=True)
    if parser.at < len(text):
        raise parser.error(f"unexpected {text[parser.at]!r}")
    return tuple(names)


def _padded(part: str, width: int) -> str:
    return re.sub(r"\d+", lambda number: number[0].zfill(width), part.strip())


class _Parser:
    """Reads a list by descent: a list holds names, a name holds brackets, a bracket holds a list."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def error(self, why: str) -> AllocationError:
        shown = self.text if len(self.text) < 200 else f"{self.text[:200]}…"
        return AllocationError(
            f"cannot read the host list {shown!r}: {why} at character {self.at + 1}",
            hint="it comes from the job's environment; was that changed?",
        )

    def listed(self, *, outer: bool) -> list[str]:
        hosts: list[str] = []
        separators = _SEPARATORS if outer else ","
        while self.at < len(self.text):
            if outer and self.text[self.at] in separators:
                self.at += 1
                continue
            start = self.at
            names = self.name(separators, ranges=not outer)
            if self.at == start:
                break
            hosts += names
            if len(hosts) > MOST:
                raise self.error(f"more than {MOST} hosts")
            if not outer and (self.at >= len(self.text) or self.text[self.at] != ","):
                break
            if not outer:
                self.at += 1
        return hosts

    def name(self, separators: str, *, ranges: bool) -> Iterable[str]:
        parts: list[list[str]] = []
        brackets: list[int] = []
        total = 1
        while self.at < len(self.text) and self.text[self.at] not in separators and self.text[self.at] != "]":
            if self.text[self.at] == "[":
                brackets.append(len(parts))
                parts.append(self.bracket())
                total *= len(parts[-1])
                if total > MOST:
                    raise self.error(f"more than {MOST} hosts")
            else:
                start = self.at
                while self.at < len(self.text) and self.text[self.at] not in separators + "[]":
                    self.at += 1
                parts.append([self.text[start : self.at]])
        if ranges and len(parts) == 1 and (match := _RANGE.fullmatch(parts[0][0])) and len(parts[0]) == 1:
            return self.range(match[1], match[2])
        return _combined(parts, brackets)

    def bracket(self) -> list[str]:
        self.at += 1
        names = self.listed(outer=False)
        if self.at >= len(self.text) or self.text[self.at] != "]":
            raise self.error("a bracket that does not end")
        if not names:
            raise self.error("an empty bracket")
        self.at += 1
        return names

    def range(self, first: str, last: str | None) -> list[str]:
        low, high = int(first), int(last or first)
        if high < low or high - low >= MOST:
            raise self.error(f"a range from {low} to {high}")
        return [str(number).zfill(len(first)) for number in range(low, high + 1)]


def _combined(parts: list[list[str]], brackets: list[int]) -> list[str]:
    """Every name that the parts make up, in Slurm's order: the last bracket first, then the others from the left.

    `r[0-1]c[0-1]n[0-1]` is r0c0n0, r0c0n1, r1c0n0, … as `scontrol show hostnames` has it.
    """
    slowest_first = [*reversed(brackets[:-1]), *brackets[-1:]]
    names = []
    for combination in product(*(parts[at] for at in slowest_first)):
        pieces = [alternatives[0] for alternatives in parts]
        for at, piece in zip(slowest_first, combination, strict=True):
            pieces[at] = piece
        names.append("".join(pieces))
    return names if parts else []


def compress(names: Iterable[str]) -> str:
    """The bracket form of a list of names; `expand` gives back exactly these, in this order."""
    groups: list[_Group] = []
    for name in names:
        if not groups or not groups[-1].takes(name):
            groups.append(_Group(name))
    return ",".join(group.text() for group in groups)


class _Group:
    """Names in a row that differ in one number only."""

    def __init__(self, name: str) -> None:
        self.parts = re.split(r"(\d+)", name, flags=re.ASCII)  # odd places are numbers
        self.field: int | None = None
        self.numbers: list[str] = []

    def takes(self, name: str) -> bool:
        parts = re.split(r"(\d+)", name, flags=re.ASCII)
        if len(parts) != len(self.parts):
            return False
        differing = [at for at, part in enumerate(parts) if part != self.parts[at]]
        if self.field is None and len(differing) == 1 and differing[0] % 2:
            self.field = differing[0]
            self.numbers = [self.parts[self.field]]
        if self.field is None or differing not in ([self.field], []):
            return False
        self.numbers.append(parts[self.field])
        return True

    def text(self) -> str:
        if self.field is None:
            return "".join(self.parts)
        runs: list[list[str]] = []
        for number in self.numbers:
            if runs and number == str(int(runs[-1][1]) + 1).zfill(len(runs[-1][0])):
                runs[-1][1] = number
            else:
                runs.append([number, number])
        inner = ",".join(first if first == last else f"{first}-{last}" for first, last in runs)
        return f"{''.join(self.parts[: self.field])}[{inner}]{''.join(self.parts[self.field + 1 :])}"


def counts(text: str) -> tuple[int, ...]:
    """Slurm's numbers per node: `4(x2),3` is 4, 4, 3. Raises `AllocationError` for anything else."""
    per_node: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part.strip(), re.ASCII)
        if match is None or int(match[2] or 1) > MOST:
            raise AllocationError(f"cannot read the counts {text!r}", hint="they should look like 4(x2),3")
        per_node += [int(match[1])] * int(match[2] or 1)
    return tuple(per_node)


def numbers(text: str) -> tuple[int, ...]:
    """The numbers that a list such as `0-3,8` stands for (the kernel's CPU lists, Flux's core ids)."""
    try:
        return tuple(int(number) for number in expand(f"[{text.strip()}]")) if text.strip() else ()
    except ValueError as error:
        raise AllocationError(f"cannot read the numbers {text!r}", hint="they should look like 0-3,8") from error


def slots(text: str) -> dict[str, int]:
    """LSF's `h1 4 h2 4`: how many slots on each host, in the order of first mention."""
    fields = text.split()
    try:
        return _summed(zip(fields[::2], map(int, fields[1::2]), strict=True))
    except ValueError as error:
        raise AllocationError(f"cannot read the hosts {text!r}", hint="they should look like h1 4 h2 4") from error


def lines(text: str) -> dict[str, int]:
    """A file with one line per slot (PBS_NODEFILE, LSB_DJOB_HOSTFILE, OAR_NODEFILE): how many lines each host has."""
    return _summed((line.strip(), 1) for line in text.splitlines() if line.strip())


def _summed(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for host, number in pairs:
        totals[host] = totals.get(host, 0) + number
    return totals


def pe_hostfile(text: str) -> Iterator[tuple[str, int, tuple[int, ...]]]:
    """Grid Engine's PE_HOSTFILE: host, slots, and CPU numbers of its binding where there is one.

    Lines are `host slots queue binding`, the binding `UNDEFINED` or `socket,core:socket,core`
    (https://gridscheduler.sourceforge.net/htmlman/htmlman5/sge_pe.html).
    """
    for line in text.splitlines():
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 2 or not fields[1].isdigit():
            raise AllocationError(
                f"cannot read the line {line!r} of the PE_HOSTFILE", hint="host slots queue binding"
            )
        pairs = re.findall(r"(\d+),(\d+)", fields[3]) if len(fields) > 3 else []
        single = {core for _, core in pairs} if len({socket for socket, _ in pairs}) == 1 else set()
        yield fields[0], int(fields[1]), tuple(sorted(int(core) for core in single))
