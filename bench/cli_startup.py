"""Start to end of psij-run commands beside `python -c pass` and an empty typer command in the same environment.

python -m bench.cli_startup
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.tools import Took, measured, report

EMPTY = "import typer\napp = typer.Typer(add_completion=False)\n@app.command()\ndef main() -> None: ...\napp()"

ABOVE_VERSION = ("psij-run status", "psij-run list, none", "psij-run list, one waits", "psij-run submit")


def recorded(place: Path, jobs: int) -> None:
    """A journal of so many jobs that have ended."""
    status = {"state": "COMPLETED", "exit_code": 0, "native": "DONE", "started": time.time(), "ended": time.time()}
    with open(place / "journal.jsonl", "w") as log:
        for number in range(jobs):
            entry = {
                "e": "job",
                "id": f"abc{number:07d}",
                "platform": "local",
                "place": f"{place}/jobs/abc{number:07d}",
                "native": str(number),
                "intended": time.time(),
                "committed": time.time(),
                "name": "bench",
                "command": "true",
                "ended": {"": status},
            }
            log.write(json.dumps(entry) + "\n")


def main() -> None:
    command = str(Path(sys.executable).parent / "psij-run")

    def call(*argv: str, home: str = "") -> str:
        environ = {**os.environ, "PSIJ_PARSL_HOME": home}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has been compiled
        return subprocess.run(argv, env=environ, capture_output=True, text=True, check=True).stdout.strip()

    with (
        tempfile.TemporaryDirectory() as few,
        tempfile.TemporaryDirectory() as many,
        tempfile.TemporaryDirectory() as waiting,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as other,  # whose last job may still run
    ):
        recorded(Path(many), 10_000)
        job = call(command, "submit", "--", "true", home=few)
        call(command, "wait", job, home=few)
        call(command, "submit", "--hold", "--", "true", home=waiting)
        took = measured(
            {
                "python -c pass": lambda: call(sys.executable, "-c", "pass"),
                "empty typer command": lambda: call(sys.executable, "-c", EMPTY),
                "psij-run --version": lambda: call(command, "--version"),
                "psij-run status": lambda: call(command, "status", job, home=few),
                "psij-run list, none": lambda: call(command, "list", home=few),
                "psij-run list, one waits": lambda: call(command, "list", home=waiting),
                "psij-run submit": lambda: call(command, "submit", "--", "true", home=other),
                "psij-run list, 10,000": lambda: call(command, "list", home=many),
                "psij-run list --all, 10,000": lambda: call(command, "list", "--all", home=many),
            },
            15,
        )
    report(
        "cli_startup",
        {name: each.wall * 1000 for name, each in took.items()},
        unit="ms",
        promise="status, list and submit <= 60 ms above --version and the manager's own time;"
        " status <= 60 ms above an empty typer command; list of 10,000 <= 300 ms above none",
        facts={
            **above(took, "psij-run --version", ABOVE_VERSION),
            **above(took, "empty typer command", ("psij-run status",)),
            **above(took, "psij-run list, none", ("psij-run list, 10,000",)),
        },
    )


def above(took: Mapping[str, Took], base: str, names: Iterable[str]) -> Mapping[str, str]:
    """How much more than another each takes."""
    return {
        f"{name} above {base}": f"{(took[name].wall - took[base].wall) * 1000:.0f} ms,"
        f" of CPUs {(took[name].cpu - took[base].cpu) * 1000:.0f} ms"
        for name in names
    }


if __name__ == "__main__":
    main()
