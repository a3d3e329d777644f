"""Start of a job's script: the supervisor's child sets up the process and executes the script."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from .dispatch import TOKEN

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from .records import LocalJob

_SHELLS = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/run/current-system/sw/bin/bash")


def become_script(
    job: LocalJob, nonce: str, limit: float, path: str, environ: dict[bytes, bytes], errors: int
) -> None:
    """In the child: restore the submitter's settings and execute the script. A failure is written to `errors`."""
    spec = job.spec
    try:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if signal.getsignal(number) is not None:
                signal.signal(number, signal.SIG_DFL)
        os.setsid()
        environ[b"PSIJ_LOCAL_JOB_ID"] = job.id.encode()
        environ[b"PSIJ_LOCAL_CORES"] = str(spec.cores).encode()
        environ[b"PSIJ_LOCAL_ATTEMPT"] = b"0"
        if limit:
            environ[b"PSIJ_LOCAL_END"] = str(int(time.time() + limit)).encode()
        environ[TOKEN.encode()] = nonce.encode()
        if job.index is not None:
            environ[b"PSIJ_LOCAL_ARRAY_INDEX"] = str(job.index).encode()
        with suppress(OSError, AttributeError):  # these cores are no longer ours to use; or not Linux
            os.sched_setaffinity(0, spec.affinity or range(os.cpu_count() or 1))
        os.chdir(spec.cwd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(_output(job), 1)
        os.dup2(1, 2)
        os.umask(spec.umask)
        shell = next((shell for shell in _SHELLS if os.path.exists(shell)), "/bin/sh")
        os.execve(shell, [shell, path], environ)
    except (OSError, ValueError) as error:
        os.write(errors, str(error).encode())
    finally:  # whatever went wrong, this must not run on as a second supervisor
        os._exit(127)


def _output(job: LocalJob) -> int:
    """Open the output file. With ``%a`` in its name each element of an array has its own; else all append to one."""
    name, flags = job.spec.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND
    if job.index is None:
        flags |= os.O_TRUNC
    elif "%a" in name:
        name, flags = name.replace("%a", str(job.index)), flags | os.O_TRUNC
    return os.open(name, flags, 0o600)
