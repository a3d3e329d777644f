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
from pathlib import Path

from bench.tools import interleaved, report

EMPTY = "import typer\napp = typer.Typer(add_completion=False)\n@app.command()\ndef main() -> None: ...\napp()"


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

    def call(*argv: str, home: str = "") -> None:
        environ = {**os.environ, "PSIJ_PARSL_HOME": home}
        subprocess.run(argv, env=environ, capture_output=True, check=True)

    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        recorded(Path(many), 10_000)
        job = subprocess.run(
            [command, "submit", "--", "true"],
            env={**os.environ, "PSIJ_PARSL_HOME": few},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        call(command, "wait", job, home=few)
        medians = interleaved(
            {
                "python -c pass": lambda: call(sys.executable, "-c", "pass"),
                "empty typer command": lambda: call(sys.executable, "-c", EMPTY),
                "psij-run --version": lambda: call(command, "--version"),
                "psij-run status": lambda: call(command, "status", job, home=few),
                "psij-run submit": lambda: call(command, "submit", "--", "true", home=few),
                "psij-run list, none": lambda: call(command, "list", home=few),
                "psij-run list, 10,000": lambda: call(command, "list", home=many),
                "psij-run list --all, 10,000": lambda: call(command, "list", "--all", home=many),
            },
            15,
        )
    report(
        "cli_startup",
        {name: seconds * 1000 for name, seconds in medians.items()},
        unit="ms",
        promise="status <= 60 ms above an empty typer command; list of 10,000 <= 300 ms above none",
        facts={
            "status above typer": f"{(medians['psij-run status'] - medians['empty typer command']) * 1000:.0f} ms",
            "list above none": f"{(medians['psij-run list, 10,000'] - medians['psij-run list, none']) * 1000:.0f} ms",
        },
    )


if __name__ == "__main__":
    main()
