"""The ledger: a shared file with the assignments and the wait queue of all processes of an allocation.

A change is made under a lock (filelock, which the kernel takes back from a dead holder), written to a new file
and renamed, so that a process that is killed at any instruction leaves the book of before or after. Every entry
names the processes that it stands for; when all of them have ended, the entry goes. Entries say names and ids in
full, so that processes that see different parts of the allocation understand each other.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import JournalError
from ..system import files
from ..system.fingerprint import fingerprint
from ..system.locks import hold_lock, lock
from ..system.processes import host_name, process_has_ended
from .allocation import Allocation
from .hostlist import numbers

log = logging.getLogger(__name__)

FORMAT = 1
_LEFT_S = 3600.0
_PATIENCE_S = 600.0  # for the lock: hundreds may come at once, on a slow file system
_OLD_S = 14 * 86400.0  # another allocation's ledger, untouched for so long, is removed


class Part(NamedTuple):
    """What an entry holds of one node. CPU ids are text such as `8-15,0-7`, in the order of the ranks."""

    name: str
    cpus: str
    gpus: Sequence[str]
    memory: int


@dataclass
class Holding:
    """An assignment that was made. `owners` are the processes it stands for: see `processes.process_identity`."""

    owners: list[str]
    share: int | None
    parts: list[Part]
    since: float  # seconds since the epoch


@dataclass
class Ticket:
    """An entry of the wait queue: the requested shape, and what the requesting process sees of the allocation."""

    id: int  # the first, for `Ledger.place` finds it in the text
    owners: list[str]
    shape: list[int | None]
    spread: bool
    view: str


def _new_birth() -> str:
    return os.urandom(8).hex()


@dataclass
class LedgerState:
    """The content of the ledger. `born` changes when the ledger had to be begun again."""

    born: str = field(default_factory=_new_birth)
    last: int = 0  # the last id that was given out
    held: dict[int, Holding] = field(default_factory=dict)
    waiting: list[Ticket] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    changed: bool = False

    def place(self, ticket: int) -> int | None:
        """How many wait before that ticket; None if it does not wait."""
        return next((at for at, other in enumerate(self.waiting) if other.id == ticket), None)

    def withdraw(self, ticket: int) -> bool:
        """Take a ticket out of the queue; False if it was not there."""
        before = len(self.waiting)
        self.waiting = [other for other in self.waiting if other.id != ticket]
        return len(self.waiting) < before

    def reap(self) -> None:
        """Drop the entries whose processes have all ended."""
        is_alive: dict[str, bool] = {}

        def alive(owners: list[str]) -> bool:
            for owner in owners:
                if owner not in is_alive:
                    is_alive[owner] = process_has_ended(owner) is not True
            return any(is_alive[owner] for owner in owners)

        held = {key: holding for key, holding in self.held.items() if alive(holding.owners)}
        waiting = [ticket for ticket in self.waiting if alive(ticket.owners)]
        if len(held) < len(self.held) or len(waiting) < len(self.waiting):
            self.held, self.waiting, self.changed = held, waiting, True

    def dumped(self) -> str:
        data = {"format": FORMAT, **vars(self)}
        del data["changed"]
        return json.dumps(data, separators=(",", ":"), default=vars)

    @classmethod
    def loaded(cls, text: bytes) -> LedgerState:
        """The inverse of `dumped`. Raises ValueError for anything else."""
        try:
            data = json.loads(text)
            if data["format"] != FORMAT:
                raise ValueError(f"format {data['format']}")
            held = {
                int(key): Holding(
                    list(map(str, fields["owners"])),
                    fields["share"],
                    [Part(*part) for part in fields["parts"]],
                    float(fields["since"]),
                )
                for key, fields in data["held"].items()
            }
            waiting = [Ticket(**fields) for fields in data["waiting"]]
            return cls(str(data["born"]), int(data["last"]), held, waiting, list(map(str, data["released"])))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a ledger: {error!r}") from error


class QueuePlace(NamedTuple):
    """How many tickets are before one in the queue, in the ledger with that stamp."""

    before: int
    stamp: tuple[int, int, int]


class Ledger:
    """The ledger's file, its lock, and the copy of the previous state."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        """`durable`: also safe against a power cut, as it must be where processes on other nodes outlive us."""
        self.path, self._before = folder / "ledger.json", folder / "ledger.before.json"
        self._reaped = folder / f"reaped.{host_name()}"
        self._durable = durable
        self._lock = lock(folder / "lock")
        for left in folder.glob(".ledger*"):  # by writers that were killed
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > _LEFT_S:
                    left.unlink()

    @contextmanager
    def transaction(self) -> Iterator[LedgerState]:
        """The book, for a change that is written if the block ends well and says that it `changed` something."""
        with hold_lock(self._lock, timeout_s=_PATIENCE_S):
            book = self._read()
            yield book
            self.write(book)

    # Three looks without the lock, for hundreds who wait and look often.

    def place(self, ticket: int, seen: QueuePlace | None) -> QueuePlace | None:
        """The place of a ticket, which was `seen` there; None if it does not wait (any more), or that is unknown."""
        try:
            status = os.stat(self.path)
            stamp = status.st_mtime_ns, status.st_ino, status.st_size
            if seen is not None and seen.stamp == stamp:
                return seen
            text = self.path.read_bytes()
        except OSError:
            return None
        at = text.find(b'{"id":%d,' % ticket)
        return None if at < 0 else QueuePlace(text.count(b'{"id":', 0, at), stamp)

    def released(self) -> list[str]:
        """The nodes that were given back."""
        try:
            return LedgerState.loaded(self.path.read_bytes()).released
        except (OSError, ValueError):
            return []  # who next takes the lock mends it

    def reap_due(self, every_s: float) -> bool:
        """Whether no process of this host has looked for dead holders for so many seconds; this counts as a look."""
        now = time.time()
        try:
            if 0 <= now - os.stat(self._reaped).st_mtime < every_s:
                return False
        except FileNotFoundError:
            with suppress(OSError):
                self._reaped.touch(mode=0o600)
        with suppress(OSError):
            os.utime(self._reaped, (now, now))  # this host's clock, not that of the file system
        return True

    def _read(self) -> LedgerState:
        damaged = False
        for path in (self.path, self._before):
            try:
                book = LedgerState.loaded(path.read_bytes())
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                if getattr(error, "errno", None) in files.SHORT:  # we are short of something; the file is not damaged
                    raise
                log.warning("the ledger %s is damaged (%s); going on from the one before", path, error)
                damaged = True
                continue
            if damaged or path is self._before:
                book.born, book.changed = _new_birth(), True
            return book
        return LedgerState(changed=True)

    def write(self, book: LedgerState) -> None:
        """Write the book if it was changed. Within a transaction only."""
        if not book.changed:
            return
        files.private_folder(self.path.parent)
        with suppress(OSError):  # the copy before is for repairs only
            spare = self._before.with_suffix(".new")
            spare.unlink(missing_ok=True)
            os.link(self.path, spare)
            os.replace(spare, self._before)
        files.write_whole(self.path, book.dumped(), durable=self._durable)
        book.changed = False


def folder(allocation: Allocation, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the ledger of an allocation lies: the same for all its processes, and for no other allocation's.

    In our state directory if PSIJ_PARSL_HOME says where that is, or if there are several nodes, for then it must
    be on a shared file system; a single node's lies in /tmp, which is faster and can always be written.
    Raises `JournalError` where that is impossible.
    """
    where = [allocation.platform, allocation.id, allocation.cluster, allocation.attempt, str(os.getuid())]
    if not allocation.id:
        where.append(host_name())
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{allocation.platform}-{allocation.id or host_name()}")[:60]
    name = f"{readable}-{fingerprint('|'.join(where))}"
    if environ.get("PSIJ_PARSL_HOME") or len(allocation.nodes) > 1:
        base = files.home(environ) / "allocations"
    else:
        base = Path(f"/tmp/psij-parsl-{os.getuid()}")  # not $TMPDIR: all must find the same one
    path = base / name
    if not path.is_dir():
        files.private_folder(path)
        _forget_old(base)
    if not allocation.id or base.parent == Path("/tmp"):
        _must_be_ours(base)
    return path


def _must_be_ours(path: Path) -> None:
    """/tmp is shared: another user may have made that directory to read, or write, in our name."""
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise JournalError(
            f"{path} is not a directory of yours alone", hint="set PSIJ_PARSL_HOME to a directory that is"
        )


def _forget_old(base: Path) -> None:
    """Remove ledgers that were not changed for weeks and that name no living process."""
    for file in base.glob("*/ledger.json"):
        with suppress(OSError, ValueError):
            if time.time() - file.stat().st_mtime < _OLD_S:
                continue
            book = LedgerState.loaded(file.read_bytes())
            entries: list[Holding | Ticket] = [*book.held.values(), *book.waiting]
            owners = [owner for entry in entries for owner in entry.owners]
            if not any(process_has_ended(owner) is False for owner in owners):
                shutil.rmtree(file.parent, ignore_errors=True)


def unpacked(text: str, _cache: dict[str, tuple[int, ...]] = {}) -> tuple[int, ...]:  # noqa: B006 - a memory
    """CPU ids of `format_ranges` text, remembered: the same few come again and again."""
    ids = _cache.get(text)
    if ids is None:
        if len(_cache) > 4096:
            _cache.clear()
        ids = _cache[text] = numbers(text)
    return ids


def signature(*parts: Any) -> str:
    """A short name for what a process sees of its allocation: those with the same one can act for each other."""
    return fingerprint(repr(parts))
