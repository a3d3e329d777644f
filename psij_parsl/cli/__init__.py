"""`psij-run`: submit, watch, cancel and collect jobs the same way on every machine.

Nothing is imported here but what the answer to `--version` takes.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run our command line and return its exit code. Errors are one sentence and a hint, never a traceback."""
    words = sys.argv[1:]
    if words in (["--version"], ["-V"]):
        from .. import __version__

        sys.stdout.write(f"psij-run {__version__}\n")
        return 0
    from .app import run

    return run(words)
