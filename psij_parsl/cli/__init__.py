"""`psij-run`: submit, watch, cancel and collect jobs the same way on every machine.

Nothing is imported here but what the answer to `--version` takes.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_GC_THRESHOLD = 100_000  # most commands make fewer objects than this until they end, so nothing is collected in vain


def program() -> int:
    """`psij-run` as a process of its own: `main`, made safe against inherited streams and signals."""
    import signal

    sys.unraisablehook = _unraisable
    try:
        from .stdio import adopt

        return adopt() or main()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except RuntimeError as error:  # Python up to 3.11 makes one of whatever comes in a __set_name__
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left to clean up: no traceback from now on
        gc.freeze()  # nor is there any use in looking for garbage three times, as Python does when it ends


def _unraisable(told: UnraisableHookArgs) -> None:
    """An interrupt that came where nothing can be raised, as in the callback of a weak reference, comes again."""
    if not issubclass(told.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(told)
        return
    import _thread

    _thread.start_new_thread(_interrupt_soon, ())


def _interrupt_soon() -> None:
    import os
    import signal
    import time

    time.sleep(0.01)  # until that callback has ended
    os.kill(os.getpid(), signal.SIGINT)


def main() -> int:
    """Run our command line and return its exit code. Errors are one sentence and a hint, never a traceback."""
    args = sys.argv[1:]
    if args in (["--version"], ["-V"]):
        from .. import __version__

        try:
            sys.stdout.write(f"psij-run {__version__}\n")
            sys.stdout.flush()
        except OSError as error:
            from .app import stdout_failed

            return stdout_failed(error)
        return 0
    gc.set_threshold(_GC_THRESHOLD)
    from .app import run

    return run(args)
