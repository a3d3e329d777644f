"""Our own shell scripts, as the text that travels to where they run."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def shell_file(name: str) -> str:
    """A script of this folder without comments and blank lines: it is an argument that `ps` shows."""
    lines = (Path(__file__).parent / name).read_text().splitlines()
    code = (line.partition("  # ")[0].rstrip() for line in lines if not line.lstrip().startswith("#"))
    return "\n".join(line for line in code if line)
