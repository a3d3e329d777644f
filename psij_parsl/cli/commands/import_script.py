"""`import`: a job script with `#PSIJ` lines in place of its manager's."""

from __future__ import annotations

from ...errors import InvalidRequest
from ...platforms.directives.script import by_lines, families
from ..command import Command, Invocation
from ..flags import JSON, Argument, Flag
from ..jobscript import read_script, read_stdin
from ..output import Renderer
from ..script_import import imported


def _import(out: Renderer, invocation: Invocation) -> int:
    path = invocation.arguments[0]
    text = read_stdin(out) if path == "-" else read_script(path)
    chosen = invocation.texts.get("directives", "")
    groups = by_lines([lines for lines in families(text) if not chosen or lines.platform.name == chosen])
    if not groups:
        raise InvalidRequest(
            f"{path} has no option lines{f' of {chosen}' if chosen else ' of a resource manager'}",
            hint="they begin with #SBATCH, #PBS, #BSUB, #$, # flux:, #OAR or #COBALT; HTCondor's are a description of a job",
        )
    if len(groups) > 1:
        names = " or ".join(f"--directives {group[0].platform.name}" for group in groups.values())
        raise InvalidRequest(f"{path} has option lines of several managers", hint=f"choose: {names}")
    ((lines, *_),) = groups.values()
    script, lost = imported(path, lines)
    for note in lost:
        out.note(f"{path}, {note} is not carried over")
    out.answer(script.removesuffix("\n"), {"script": script, "platform": lines.platform.name, "lost": lost})
    return 0


IMPORT = Command(
    "import",
    "Show a job script with #PSIJ lines in place of #SBATCH, #PBS and others.",
    _import,
    (
        Flag(
            "directives",
            ("--directives",),
            "PLATFORM",
            "Rewrite the lines of that resource manager, where the script has those of several.",
            complete="platforms",
        ),
        JSON,
    ),
    Argument(
        "script", "SCRIPT", "The job script; - reads it from stdin.", many=False, required=True, complete="files"
    ),
    details=(
        "#PSIJ lines mean the same on every manager, but for -X, which is that manager's own. What they cannot say"
        " becomes a comment, and a remark."
    ),
    examples=("psij-run import job.sh >new.sh",),
)
