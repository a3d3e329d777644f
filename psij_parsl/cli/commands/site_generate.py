"""`site generate`: a first site file, from what the resource manager says of itself."""

from __future__ import annotations

import os
from pathlib import Path

from ...errors import InvalidRequest, SiteError
from ...platforms.registry import platform as find_platform
from ...sites import find, look
from ...sites.generation.generating import generated, site_name
from ...sites.site import LAPTOP
from ...system.files import write_whole
from ..command import Command, Invocation
from ..flags import JSON, Flag
from ..output import Renderer

_MODE = 0o644


def _generate(out: Renderer, invocation: Invocation) -> int:
    texts = invocation.texts
    path = Path(texts["output"]) if "output" in texts else None
    name = texts.get("name", "")
    _check(path, name, force=bool(texts.get("force")))
    platform = find_platform(texts.get("platform") or _platform_here())
    made = generated(platform, name, file=path.stem if path is not None else "")
    data = {"name": made.name, "platform": platform.name, "file": str(path) if path is not None else None}
    if path is None:
        out.answer(made.text.rstrip("\n"), {**data, "text": made.text})
        return 0
    write_whole(path, made.text, mode=_MODE)
    out.answer(str(path), {**data, "text": made.text})
    out.note(
        f"queues: {made.queues}, node types: {made.node_types}; next: read it, fill in what is marked, and"
        f" `psij-run site check {path}`"
    )
    return 0


def _check(path: Path | None, name: str, *, force: bool) -> None:
    """Whether the file can be written at all, before the manager is asked. Raises `InvalidRequest`."""
    if name and site_name(name) != name.lower():
        raise InvalidRequest(f"{name!r} cannot be a site's name", hint="letters, digits, . _ and - only")
    if path is None:
        return
    if path.suffix != ".toml" or site_name(path.stem) != path.stem.lower():
        raise InvalidRequest(f"{path} cannot be a site's file", hint="its name is the site's, and ends with .toml")
    if path.is_dir() or (path.exists() and not force):
        raise InvalidRequest(f"{path} exists already", hint="choose another file, or overwrite it with --force")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InvalidRequest(f"{path.parent} is no folder that can be written to", hint="choose another -o/--output")


def _platform_here() -> str:
    """The platform of this host: of its site, if a file describes it, else of the manager that is at home here."""
    try:
        seen, site = look(), find(placing=False)
    except SiteError as error:
        raise SiteError(error.message, hint="say which manager is to be asked: --platform") from error
    if site.name == LAPTOP.name and seen.remark:
        raise InvalidRequest(f"which manager is to be asked is not certain: {seen.remark}", hint="say --platform")
    return site.platform


GENERATE = Command(
    "generate",
    "Write a first site file, from what the resource manager says of itself.",
    _generate,
    (
        Flag(
            "platform", ("--platform",), "NAME", "Platform to ask (default: that of this host).", complete="platforms"
        ),
        Flag("name", ("--name",), "NAME", "The site's name (default: the file's, the cluster's, or this host's)."),
        Flag("output", ("-o", "--output"), "FILE", "File to write, NAME.toml (default: standard output)."),
        Flag("force", ("--force",), "", "Overwrite the file if it exists.", switch=True),
        JSON,
    ),
    details=(
        "Run it on a login node; on a compute node it also finds which CPUs are next to each GPU of nodes of its type."
        " Nothing is submitted. Comments mark what no manager tells and a person should fill in."
    ),
    examples=("psij-run site generate -o mycluster.toml", "psij-run site generate --platform slurm"),
)
