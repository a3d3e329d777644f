"""`psij-run`: submit, watch, cancel and collect jobs the same way on every machine.

Nothing is imported here but what the answer to `--version` takes.
"""

from __future__ import annotations

import sys


def program() -> int:
    """`psij-run` as a process of its own: as `main`, whatever our parent has left of streams and signals."""
    import signal

    try:
        from .stdio import adopt

        return adopt() or main()
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left to be put in order: no traceback any more


def main() -> int:
    """Run our command line and return its exit code. Errors are one sentence and a hint, never a traceback."""
    words = sys.argv[1:]
    if words in (["--version"], ["-V"]):
        from .. import __version__

        try:
            sys.stdout.write(f"psij-run {__version__}\n")
            sys.stdout.flush()
        except OSError as error:
            from .app import left_unwritten

            return left_unwritten(error, words)
        return 0
    from .app import run

    return run(words)
