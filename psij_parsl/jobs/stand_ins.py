"""The files and shell lines by which a job has stand-ins for another manager's commands: see `platforms.stand_in`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidRequest, nearest
from ..platforms.platform import Platform
from ..platforms.registry import platforms

if TYPE_CHECKING:
    from ..job import Job

FOLDER = "bin"  # in a job's folder
_START = """\
import sys
sys.path.append(sys.argv.pop(1))
try:
    from psij_parsl.cli.stand_in import program
except ImportError as error:
    print(f"psij-run: {sys.argv[2]}: {error}, as the node sees it", file=sys.stderr)
    sys.exit(125)
sys.exit(program())
"""
_SCRIPT = """\
#!/bin/sh
# {command} in a job that was submitted with --compat {platform}: `psij-run launch` by the Python that submitted it.
psij_python={python}
if [ ! -x "$psij_python" ]; then
  echo "psij-run: {command}: there is no $psij_python, which submitted this job, on $(uname -n)" >&2
  echo "hint: install psij-parsl where the nodes see it, too, and submit with that one" >&2
  exit 125
fi
exec "$psij_python" -P -c {start} {root} {platform} {command} "$@"
"""


def with_stand_ins() -> Iterator[Platform]:
    """The platforms that have commands with a stand-in."""
    for _, platform in platforms():
        if isinstance(platform, Platform) and platform.stand_ins:
            yield platform


def stand_ins(job: Job, platform: str) -> tuple[str, ...]:
    """The commands that are put on the PATH of a job which goes to that platform.

    Raises `InvalidRequest` for a platform that has none.
    """
    if not job.compat:
        return ()
    found = {each.name: tuple(each.stand_ins) for each in with_stand_ins()}
    if job.compat not in found:
        raise InvalidRequest(
            f"there are no stand-ins for the commands of {job.compat!r}", hint=nearest(job.compat, found)
        )
    if job.job_mode != "script":
        raise InvalidRequest(
            f"a job in mode {job.job_mode} calls no commands of {job.compat}: its ranks are started for it",
            hint="leave out --mode, or --compat",
        )
    return found[job.compat] if job.compat != platform else ()


def files(job: Job, platform: str) -> Mapping[str, str]:
    """The stand-ins' texts by their names in the job's folder."""
    texts = {}
    for command in stand_ins(job, platform):
        texts[f"{FOLDER}/{command}"] = _SCRIPT.format(
            command=command,
            platform=job.compat,
            python=shlex.quote(sys.executable),
            start=shlex.quote(_START),
            root=shlex.quote(str(Path(__file__).parents[2])),
        )
    return texts


def path_lines(job: Job, platform: str, folder: Path) -> str:
    """Shell lines that let the job's script find them, '' where it has none.

    They are functions as well: a login shell, `#!/bin/bash -l`, makes its PATH anew.
    """
    commands = stand_ins(job, platform)
    if not commands:
        return ""
    place = shlex.quote(str(folder / FOLDER))
    functions = [
        f'{command}() {{ {shlex.quote(str(folder / FOLDER / command))} "$@"; }}; export -f {command}'
        for command in commands
    ]
    return "\n".join([f'export PATH={place}:"$PATH"', *functions])
