"""Job scripts: `#PSIJ` lines read as flags, and a copy of the file that stays as it was at submission."""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import InvalidRequest, PluginError
from ..sites.search import is_path
from ..system.files import private_folder, write_whole
from ..system.interpreters import first_line_words, program_of
from .command import Command, Invocation
from .flags import FlagTexts
from .output import Renderer
from .quick_parser import parse

_LONGEST = 4 * 1024 * 1024  # bytes; a longer file is no script
_HEAD = 64 * 1024  # bytes that are read first: most programs show there that they are no text
_HINT = "a #PSIJ line has flags of `psij-run submit`, e.g. #PSIJ -N 2 -t 30"
_DESCRIBES = 3  # options in a file that make it a description
_SHELLS = frozenset(("sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "csh", "tcsh", "fish"))
_COPIES = "scripts"
_COPY = re.compile(rf"/{_COPIES}/[0-9a-f]{{32}}\.sh$")
DIRECTIVE = re.compile(r"#PSIJ(?:\s+(.*))?")


class JobScript(NamedTuple):
    """A script that is copied into its job. `flags` are its `#PSIJ` lines: line number and arguments.

    `from_file`: `path` is that of a file, and no word for a text that was typed.
    """

    path: str
    text: str
    interpreter: tuple[str, ...]
    flags: tuple[tuple[int, tuple[str, ...]], ...]
    from_file: bool = True


def script_named(out: Renderer, invocation: Invocation) -> tuple[JobScript | None, list[str]]:
    """The job script that a command line names or says, None if it names a command; and the words of its command."""
    argv, texts = list(invocation.arguments), invocation.texts
    if "wrap" in texts:
        if argv:
            raise InvalidRequest(
                f"--wrap says the command, and {argv[0]!r} is another one", hint="leave out one of them"
            )
        return script_of("wrap", f"#!/bin/sh\n{texts['wrap']}\n")._replace(from_file=False), ["wrap"]
    if not argv:
        raise InvalidRequest(
            "there is no command to run",
            hint=f"put it after the flags: psij-run {invocation.command.name} -- hostname; `-` reads a script from stdin",
        )
    if argv[0] == "-" and not invocation.after_dashes:
        return script_of("stdin", read_stdin(out))._replace(from_file=False), argv
    script = recognize(argv[0], managers_lines=not texts.get("ignore_directives"))
    if script is None and not invocation.after_dashes and (why := no_text(argv[0])):
        out.note(f"{argv[0]} {why}: it is taken for a program, and no option line in it is read")
    return script, argv


def recognize(path: str, *, managers_lines: bool = True) -> JobScript | None:
    """The job script at that path; None for an ordinary command.

    A script is a text file with `#PSIJ` lines before its first command or, unless `managers_lines` are not looked for,
    with option lines of a resource manager, such as a description of a job; or one that starts with `#!` and could not
    be run as it is.
    """
    try:
        text = read_script(path)
    except InvalidRequest:
        return None  # a file that cannot be read may be an executable all the same
    runnable = os.access(path, os.X_OK) if "/" in path else shutil.which(path) is not None
    script = script_of(path, text)
    if script.flags or (text.startswith("#!") and not runnable):
        return script
    if not managers_lines:
        return None
    from ..platforms.directives.script import families

    return script if families(text) else None


def no_text(path: str) -> str:
    """Why a file that begins as a script is not read as one; '' for all others."""
    try:
        if not os.path.isfile(path):
            return ""
        with open(path, "rb") as file:
            if not (data := file.read(_HEAD)).startswith(b"#!"):
                return ""
            data += file.read(_LONGEST + 1 - _HEAD)
    except OSError:
        return ""
    return "has a NUL byte" if b"\0" in data else "is longer than 4 MB" if len(data) > _LONGEST else ""


def described_for(path: str) -> str:
    """The submit command whose description of a job a file is, such as one that no script starts; '' for other files."""
    from ..platforms.registry import platforms

    try:
        text = read_script(path)
    except InvalidRequest:
        return ""
    for _, one in platforms(plugins=False):
        if isinstance(one, PluginError) or not one.directives or not one.directive_table.without_prefix:
            continue
        known = [said for said in one.directive_table.read(text).directives if said.option]
        if len(known) >= _DESCRIBES:
            return one.directive_table.command
    return ""


def script_of(path: str, text: str) -> JobScript:
    """The job script with that text. Raises `InvalidRequest` for a wrong `#PSIJ` line."""
    return JobScript(path, text, _interpreter(text), tuple(_directives(path, text)))


def runs_once(program: str) -> bool:
    """Whether a program is a shell script, by its first line."""
    path = program if "/" in program else shutil.which(program)
    return program_of(first_line_words(path or "")) in _SHELLS


def read_script(path: str) -> str:
    """The text of a script. Raises `InvalidRequest` for a file that cannot be read, or is no script."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
            raise OSError(errno.EINVAL, "it is no regular file")
        with open(path, "rb") as file:
            data = file.read(_HEAD)
            if b"\0" not in data:
                data += file.read(_LONGEST + 1 - _HEAD)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}", hint="give the path of a script") from error
    return _text(path, data)


def read_stdin(out: Renderer) -> str:
    """The text of a script on stdin. Raises `InvalidRequest` where there is none."""
    from .job_input import stdin_chunks

    data = b""
    for chunk in stdin_chunks(out, "the script"):
        data += chunk
        if len(data) > _LONGEST:
            break
    text = _text("stdin", data)
    if not text.strip():
        raise InvalidRequest("there is no script on stdin", hint="psij-run submit - <job.sh")
    return text


def _text(path: str, data: bytes) -> str:
    if b"\0" in data or len(data) > _LONGEST:
        raise InvalidRequest(f"{path} is no script: it is no text, or too long", hint="give the path of a script")
    return data.decode("utf-8", "surrogateescape")


def _directives(path: str, text: str) -> list[tuple[int, tuple[str, ...]]]:
    directives = []
    for number, line in head(text):
        if match := DIRECTIVE.fullmatch(line.rstrip()):
            try:
                directives.append((number, tuple(shlex.split(match[1] or "", comments=False))))
            except ValueError as error:
                raise InvalidRequest(
                    f"{path}, line {number}: cannot be split into arguments ({error})", hint="check its quotes"
                ) from error
    return directives


def head(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a script before its first command, with their numbers."""
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            return
        yield number, line


def _interpreter(text: str) -> tuple[str, ...]:
    """The interpreter as the kernel reads a `#!` line: a path, and the rest as one argument."""
    first = text.partition("\n")[0]
    argv = first[2:].strip().split(None, 1) if first.startswith("#!") else []
    return tuple(argv) or ("/bin/bash",)


def flags(script: JobScript, command: Command) -> list[tuple[FlagTexts, str]]:
    """The flags of each `#PSIJ` line, the last line first, with its place for messages.

    `command` is the one that was typed. Raises `InvalidRequest` with file and line.
    """
    lines = []
    for number, args in reversed(script.flags):
        where = f"{script.path}, line {number}"
        try:
            if {"-h", "--help"} & set(args):
                raise InvalidRequest("--help cannot stand in a script", hint="use it on the command line")
            invocation = parse(command, args) or _parse_with_errors(command, args, where)
        except InvalidRequest as error:
            raise InvalidRequest(f"{where}: {error.message}", hint=error.hint) from error
        if invocation.arguments:
            raise InvalidRequest(f"{where}: {invocation.arguments[0]!r} is not a flag", hint=_HINT)
        for flag in command.flags:
            if flag.name in invocation.texts and not flag.in_script:
                raise InvalidRequest(
                    f"{where}: {flag.spellings[-1]} cannot stand in a script", hint="use it on the command line"
                )
        if is_path(invocation.texts.get("site", "")):
            raise InvalidRequest(
                f"{where}: in a script --site takes a name, not a file", hint="name the file on the command line"
            )
        lines.append((invocation.texts, where))
    return lines


def _parse_with_errors(command: Command, args: Sequence[str], where: str) -> Invocation:
    """The same by typer, which tells what is wrong."""
    from .typer_app import parse
    from .usage_errors import is_usage, usage

    try:
        return parse(command, args, name=where)
    except Exception as error:
        if is_usage(error):
            raise usage(error, ["submit"], hint=_HINT) from error
        raise


def copy_of(script: JobScript, folder: Path) -> Path:
    """The path of its copy: below `folder`, named after its content."""
    import hashlib

    data = _copied(script).encode("utf-8", "surrogateescape")
    return folder / _COPIES / f"{hashlib.sha256(data).hexdigest()[:32]}.sh"


def copy_in(command: Sequence[str]) -> str:
    """The path of a script's copy in the words of a job's command; '' if there is none."""
    return next((word for word in command if _COPY.search(word)), "")


def write_copy(script: JobScript, path: Path) -> None:
    """Write that copy, which is not changed afterwards."""
    private_folder(path.parent)
    try:
        os.utime(path)  # it exists, and is used again: `clean` looks at this time
    except OSError:
        write_whole(path, _copied(script), durable=True)


def _copied(script: JobScript) -> str:
    """The text as a shell reads it: with the line ends of Windows it would not."""
    return script.text.removeprefix("\ufeff").replace("\r\n", "\n")
