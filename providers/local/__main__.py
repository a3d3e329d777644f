"""Command-line entry of the local manager (``python -I -S .../providers/local list``) and of its supervisors.

This file is run by its path, and makes its folder a package with a name of its own. So a supervisor imports
neither the packages around it nor ``site``, which would cost every job ten times its own start-up time, and it
needs no environment."""

import os
import sys

_NAME = "psij_local"


def _run() -> int:
    package = type(sys)(_NAME)
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules[_NAME] = package
    if len(sys.argv) > 1 and sys.argv[1] in ("--psij-local-supervisor", "--psij-local-waker"):
        __import__(f"{_NAME}.supervisor", fromlist=["start"]).start(*sys.argv[1:])
        return 0
    stdin = sys.stdin.read() if sys.argv[1:2] == ["submit"] and sys.argv[-1] == "-" else ""
    code, out, errors = __import__(f"{_NAME}.manager", fromlist=["main"]).main(sys.argv[1:], stdin=stdin)
    sys.stdout.write(out)
    sys.stderr.write(errors)
    return int(code)


if __name__ == "__main__":
    sys.exit(_run())
