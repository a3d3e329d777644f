"""A munge socket that goes away between a question and its answer: what was asked is done, and called refused.

Slurm's commands sign each question and check each answer by munged, over a socket that their slurm.conf names. The
socket here stands before munged's, passes on what it is sent, and looks at two things: who is at the other end, and
what kind of message it is (munge's m_msg.h: magic 4 bytes, version 1, type 1; type 4 asks for a check).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_MAGIC = bytes.fromhex("00606d4b")
_CHECK = 4  # MUNGE_MSG_DEC_REQ
_HEAD = 6  # bytes, up to the type
_SILENCE = 30.0  # seconds


class MungeBetween:
    """Passes on what clients ask munged, but for the checks of one program's answers.

    Args:
        munged: the socket of the real one.
        path: where the socket between is to be.
        program: whose answers cannot be checked, such as "sbatch".
        processes: so many of them, the first that come; those after them are served.
        env: what makes clients use the socket between.
    """

    def __init__(self, munged: Path, path: Path, program: str, processes: int, env: Mapping[str, str]) -> None:
        self.env = env
        self._munged = munged
        self._program = program
        self._processes = processes
        self._lock = threading.Lock()
        self._cut_off: list[int] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen(64)
        self._acceptor = threading.Thread(target=self._accept, name="munge-between", daemon=True)
        self._acceptor.start()

    @property
    def cut_off(self) -> int:
        """How many processes could not check an answer so far."""
        return len(self._cut_off)

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
        """One question and its answer, which is all that a connection to munged is for."""
        with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as munged, suppress(OSError):
            client.settimeout(_SILENCE)
            head = client.recv(_HEAD, socket.MSG_WAITALL)
            if head[: len(_MAGIC)] == _MAGIC and head[-1] == _CHECK and self._is_to_be_cut_off(client):
                return
            munged.settimeout(_SILENCE)
            munged.connect(str(self._munged))
            munged.sendall(head)
            back = threading.Thread(target=_copy, args=(munged, client), daemon=True)
            back.start()
            _copy(client, munged)
            back.join(_SILENCE)

    def _is_to_be_cut_off(self, client: socket.socket) -> bool:
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid: int = struct.unpack("3i", credentials)[0]
        if Path(f"/proc/{pid}/comm").read_text().strip() != self._program:
            return False
        with self._lock:
            if pid not in self._cut_off and len(self._cut_off) < self._processes:
                self._cut_off.append(pid)
            return pid in self._cut_off


@contextmanager
def munge_between(
    munged: Path, path: Path, program: str, processes: int, env: Mapping[str, str]
) -> Iterator[MungeBetween]:
    """A socket between clients and munged, for as long as the block lasts."""
    between = MungeBetween(munged, path, program, processes, env)
    try:
        yield between
    finally:
        between.close()
        path.unlink()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes, until no more does, and say so to the other side."""
    with suppress(OSError):
        while text := source.recv(65536):
            sink.sendall(text)
        sink.shutdown(socket.SHUT_WR)
