"""Shell text for job scripts: the launch line, and lines that find the launcher and see that it serves the program.

These do, where the script runs, what `mpi_detection` does for a run that is started at once.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from .mpi_libraries import LIBRARIES, NAMES

# These stand for what is known only where a script runs, while arguments are quoted; no shell changes them.
HOSTS = "psij-hosts-known-there"
SLOTS = "psij-slots-known-there"
LAUNCHER = "psij-launcher-found-there"
IF_SET = "psij-if-set-there:"


def shell_text(args: Sequence[str], hosts: str) -> str:
    """Argv elements as shell text. An option and its value stand together where the value may turn out not to be there."""
    parts: list[str] = []
    for arg in args:
        if arg.startswith(IF_SET) and parts:
            name = arg.removeprefix(IF_SET)
            parts.append(f"${{{name}+{parts.pop()} {name}}}")
        elif arg == SLOTS and parts:
            parts.append(f'${{psij_slots:+{parts.pop()} "$psij_slots"}}')
        elif arg == LAUNCHER:
            parts.append('"$psij_launcher"')
        else:
            parts.append(shlex.quote(arg).replace(HOSTS, hosts).replace(IF_SET, ""))
    return " ".join(parts)


def version_pattern(version_texts: Sequence[str]) -> str:
    """What a launcher says of itself, as patterns of a shell's `case`."""
    return " | ".join(f"*{shlex.quote(text)}*" for text in version_texts)


def find_lines(programs: Sequence[str], version_texts: Sequence[str], what: str) -> str:
    """`find_launcher` as lines of bash, which set psij_launcher; they end the script with 127 where there is none."""
    return search_lines(programs, [f"{version_pattern(version_texts)}) break 2 ;;"], what)


def search_lines(programs: Sequence[str], cases: Sequence[str], what: str) -> str:
    """Lines of bash that look, as `everywhere` does, at what each program says of itself, until one will do.

    `cases` are branches, in which `break 2` says that this one will.
    """
    message = shlex.quote(f"psij: {what} is not on PATH here: load its module, or choose another --launcher")
    return "\n".join(
        [
            "psij_limit=$(type -P timeout)",
            "while IFS= read -r -d : psij_folder || { psij_launcher=; break; }; do",
            f"  for psij_launcher in {shlex.join(programs)}; do",
            "    psij_launcher=${psij_folder:-.}/$psij_launcher",
            '    [ -f "$psij_launcher" ] && [ -x "$psij_launcher" ] || continue',
            '    case $(${psij_limit:+"$psij_limit" 10} "$psij_launcher" --version 2>&1 </dev/null) in',
            *(f"    {case}" for case in cases),
            "    esac",
            "  done",
            'done <<<"$PATH:"',
            f'[ -n "$psij_launcher" ] || {{ echo {message} >&2; exit 127; }}',
        ]
    )


def check_lines(mpi_families: Sequence[str], num_ranks: int, launcher: str) -> str:
    """`check` as lines of shell, for a job script whose "$@" is the command; '' where it cannot fail.

    `launcher` is the name by which people know it.
    """
    if num_ranks < 2 or "*" in mpi_families:
        return ""
    cases = []
    for mpi, libraries in LIBRARIES.items():
        action = ":"
        if mpi not in mpi_families:
            message = (
                f" is built with {NAMES[mpi]}, and the launcher {launcher} does not serve that: it would be"
                f" {num_ranks} runs of one rank each; choose --launcher {mpi}, or --mode serial"
            )
            action = f'echo "psij: $1"{shlex.quote(message)} >&2; exit 125'
        cases.append(f"{' | '.join(f'*{library}*' for library in libraries)}) {action} ;;")
    return "\n".join(['case $(ldd "$(command -v -- "$1")" 2>/dev/null) in', *cases, "esac"])
