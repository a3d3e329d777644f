"""Answers that are lost on their way: what was asked is done, and called refused.

Slurm's commands sign each question by munged, over a socket that their slurm.conf names. Up to 23.02 they check each
answer by it, too: there the socket goes away between question and answer. Since then they check none (a flag of the
header says so): there the connection to the controller goes away. What stands between passes on all else.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_SILENCE = 30.0  # seconds
_MAGIC = bytes.fromhex("00606d4b")  # munge's m_msg.h: magic 4 bytes, version 1, type 1
_CHECK = 4  # MUNGE_MSG_DEC_REQ
_HEAD = 6  # bytes, up to the type
_SUBMIT = 4003  # REQUEST_SUBMIT_BATCH_JOB, in all versions of Slurm's protocol
_TYPE_WITHIN = 16  # bytes of a message's header, after the four of its length


class Between:
    """A listener that stands before a server; `cut_off` says how many answers it has kept back so far.

    Args:
        listener: a bound socket, which becomes its own.
        env: what makes Slurm's commands use it.
    """

    def __init__(self, listener: socket.socket, env: Mapping[str, str]) -> None:
        self.env = env
        self.cut_off = 0
        self._listener = listener
        self._listener.listen(64)
        self._acceptor = threading.Thread(target=self._accept, name="between", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Listen no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self._acceptor.join(_SILENCE)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One question and its answer, which is all that a connection is for here."""
        with client, suppress(OSError):
            client.settimeout(_SILENCE)
            self.pass_on(client)

    def pass_on(self, client: socket.socket) -> None:
        """Serve a client, or not."""
        raise NotImplementedError


class MungeBetween(Between):
    """Stands before munged: one program, such as sbatch, cannot check its answers."""

    def __init__(self, munged: Path, path: Path, program: str, processes: int, env: Mapping[str, str]) -> None:
        self._munged = munged
        self._program = program
        self._processes = processes
        self._lock = threading.Lock()
        self._known: list[int] = []
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        path.chmod(0o666)
        super().__init__(listener, env)

    def pass_on(self, client: socket.socket) -> None:
        head = client.recv(_HEAD, socket.MSG_WAITALL)
        if head[: len(_MAGIC)] == _MAGIC and head[-1] == _CHECK and self._is_to_be_cut_off(client):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as munged:
            munged.settimeout(_SILENCE)
            munged.connect(str(self._munged))
            munged.sendall(head)
            _relay(client, munged)

    def _is_to_be_cut_off(self, client: socket.socket) -> bool:
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid: int = struct.unpack("3i", credentials)[0]
        if Path(f"/proc/{pid}/comm").read_text().strip() != self._program:
            return False
        with self._lock:
            if pid not in self._known and len(self._known) < self._processes:
                self._known.append(pid)  # it tries several times
                self.cut_off += 1
            return pid in self._known


class ControllerBetween(Between):
    """Stands before the controller: the answers to the first so many submissions do not arrive."""

    def __init__(
        self, controller: tuple[str, int], listener: socket.socket, processes: int, env: Mapping[str, str]
    ) -> None:
        self._controller = controller
        self._processes = processes
        self._lock = threading.Lock()
        super().__init__(listener, env)

    def pass_on(self, client: socket.socket) -> None:
        head = client.recv(4 + _TYPE_WITHIN, socket.MSG_WAITALL)
        with socket.create_connection(self._controller, _SILENCE) as controller:
            controller.sendall(head)
            if self._is_to_be_cut_off(head):
                (length,) = struct.unpack(">I", head[:4])
                controller.sendall(client.recv(length - _TYPE_WITHIN, socket.MSG_WAITALL))
                controller.recv(1)  # the answer is there: so it was done
            else:
                _relay(client, controller)

    def _is_to_be_cut_off(self, head: bytes) -> bool:
        with self._lock:
            if _SUBMIT in struct.unpack(f">{_TYPE_WITHIN // 2}H", head[4:]) and self.cut_off < self._processes:
                self.cut_off += 1
                return True
        return False


@contextmanager
def standing(between: Between) -> Iterator[Between]:
    """It stands there for as long as the block lasts."""
    try:
        yield between
    finally:
        between.close()


def _relay(client: socket.socket, server: socket.socket) -> None:
    back = threading.Thread(target=_copy, args=(server, client), daemon=True)
    back.start()
    _copy(client, server)
    back.join(_SILENCE)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes, until no more does, and say so to the other side."""
    with suppress(OSError):
        while text := source.recv(65536):
            sink.sendall(text)
        sink.shutdown(socket.SHUT_WR)
