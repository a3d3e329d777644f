"""What the tests of modules share: a prompt that has a module system, module files, and a stand-in for conda."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def prompt(init: Path, modulefiles: Path) -> dict[str, str]:
    """The environment of somebody whose shell has read that init file and uses a directory of module files."""
    text = '. "$0" && module use "$1" && env -0'
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MODULE", "LMOD"))}
    done = subprocess.run(
        ["bash", "-c", text, str(init), str(modulefiles)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return dict(pair.split("=", 1) for pair in done.stdout.rstrip("\0").split("\0"))


def modulefile(folder: Path, name: str) -> Path:
    """Write a module that sets LOADED_<NAME> and puts a directory first on PATH; returns that directory."""
    program = folder / f"{name}-bin"
    program.mkdir(parents=True)
    (program / f"tool-of-{name}").write_text(f"#!/bin/sh\necho the tool of {name}\n")
    (program / f"tool-of-{name}").chmod(0o755)
    text = f"#%Module1.0\nsetenv LOADED_{name.upper()} yes\nprepend-path PATH {program}\n"
    (folder / "files").mkdir(exist_ok=True)
    (folder / "files" / name).write_text(text)
    return program


def conda(folder: Path) -> dict[str, str]:
    """A stand-in for conda, as its `conda init` leaves a shell: a function, of which only variables are inherited."""
    (folder / "bin").mkdir(parents=True)
    (folder / "etc" / "profile.d").mkdir(parents=True)
    (folder / "bin" / "conda").write_text("#!/bin/sh\necho 'conda: the program cannot activate' >&2\nexit 1\n")
    (folder / "bin" / "conda").chmod(0o755)
    (folder / "etc" / "profile.d" / "conda.sh").write_text(
        '__conda_activate() { export CONDA_DEFAULT_ENV="$1"; }\n'
        'conda() { case $1 in activate) __conda_activate "$2" ;; *) "$CONDA_EXE" "$@" ;; esac; }\n'
    )
    return {
        "CONDA_EXE": str(folder / "bin" / "conda"),
        "CONDA_SHLVL": "0",
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
    }
