"""Which texts bash can read, without running any of them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable

_ONE_S, _ALL_S = 10.0, 60.0
_PLAIN = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
_LINE = re.compile(r"^.*?: line (\d+): (.*)$", re.MULTILINE)
#: Reads texts that each end with a NUL, every one in a shell of its own after `set -n`; prints the numbers of the bad ones.
_READ_ALL = """
number=0
while IFS= read -r -d '' text; do
  said=$(eval "set -n"$'\\n'"$text" 2>&1) && [ -z "$said" ] || echo "$number"
  number=$((number + 1))
done
echo "of $number"
"""

BashError = tuple[int, str]


def bash_errors(texts: Iterable[str]) -> dict[str, BashError]:
    """The texts that bash cannot read, each with the line and the message of its first syntax error.

    One bash reads them all, as the start of each would take most of the time; only the bad ones are read again.
    """
    every = list(dict.fromkeys(texts))
    readable = [text for text in every if "\0" not in text]
    done = _bash(["-c", _READ_ALL], "".join(f"{text}\0" for text in readable), _ALL_S) if readable else None
    lines = done.stdout.splitlines() if done is not None else []
    suspects = every  # unless all of them were read
    if lines[-1:] == [f"of {len(readable)}"]:
        bad = {readable[int(number)] for number in lines[:-1]}
        suspects = [text for text in every if text in bad or "\0" in text]
    return {text: error for text in suspects if (error := _bash_error(text)) is not None}


def _bash_error(text: str) -> BashError | None:
    done = _bash(["-n"], text, _ONE_S)
    if done is None or (done.returncode == 0 and not done.stderr):
        return None
    found = _LINE.search(done.stderr)
    return (int(found[1]), found[2]) if found else (1, done.stderr.strip() or "syntax error")


def _bash(arguments: list[str], text: str, seconds: float) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            ["bash", *arguments], input=text, capture_output=True, text=True, timeout=seconds, env=_PLAIN, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def calls_of(text: str, programs: Iterable[str]) -> list[tuple[int, str]]:
    """The lines of a shell script that seem to call one of these programs: number and program."""
    names = "|".join(map(re.escape, programs))
    if not names:
        return []
    call = re.compile(
        rf"(?:^|[;&|(`]|\b(?:then|do|else|exec|time|if|while|until|env)\s|!)\s*(?:\w+=\S*\s+)*({names})(?=\s|;|$)"
    )
    lines = enumerate(text.splitlines(), 1)
    return [
        (number, match[1])
        for number, line in lines
        if not line.lstrip().startswith("#") and (match := call.search(line))
    ]
