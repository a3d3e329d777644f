"""The files of a farm's tasks, as flags of `psij-run launch` name them: a file of each task, or one for all."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..errors import InvalidRequest, LaunchError
from ..farm.output import Output, Stream, filled, others
from .file_patterns import pattern
from .flags import FlagValues
from .output import Renderer


class FarmFiles:
    """What -i, -o and -e say; relative names are taken from the tasks' `directory`.

    `goes_on`: an earlier farm of these tasks has written there. `clear` is called before anything is written to our
    own streams.
    """

    def __init__(self, values: FlagValues, directory: str, *, goes_on: bool, clear: Callable[[], object]) -> None:
        self._values, self._directory, self._clear = values, directory, clear
        self._mode = "ab" if goes_on or "append" in values else "wb"
        self._stdin = self._pattern("input")

    def stdin(self, index: int) -> str:
        """The file that a task reads; '' for none."""
        return filled(self._stdin, index) if self._stdin else ""

    def output(self, out: Renderer, folder: Path | None) -> Output:
        """Where the tasks write; a spool, where one is needed, is made in the folder. Raises `InvalidRequest`."""
        with ExitStack() as stack:
            stdout = self._stream(stack, "output", out.out)
            together = "output" in self._values and self._pattern("error") in ("", self._pattern("output"))
            stderr = None if together else self._stream(stack, "error", out.err)
            return Output(stdout, stderr, folder, closed=stack.pop_all())

    def _pattern(self, name: str) -> str:
        """The pattern of a file's name, absolute; '' if none was given."""
        if name not in self._values:
            return ""
        typed = self._values[name]
        path = pattern(os.path.normpath(os.path.join(self._directory, os.path.expanduser(typed))))
        if word := "{}" if "{}" in typed.replace("{{}}", "") else others(path):
            raise InvalidRequest(
                f"{typed}: there is no {word} of a task of many, it has an {{index}}",
                hint="for example 'out/{index}.txt'",
            )
        return path

    def _stream(self, stack: ExitStack, name: str, own: Any) -> Stream:
        path = self._pattern(name)
        label = "label" in self._values
        if path and filled(path, 1) != filled(path, 2):
            if label or "append" in self._values:
                raise InvalidRequest(
                    f"{'--label' if label else '--append'} is for output that is collected, and each task has a file",
                    hint="leave it out, or the {index} in the file's name",
                )
            return Stream(path, lambda data: None)
        if not path:
            return Stream("", self._write_to(own), label=label)
        file_name = filled(path, 0)
        try:
            file = Path(file_name).open(self._mode, buffering=0)  # noqa: SIM115 - the stack closes it
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            raise InvalidRequest(
                f"{file_name} cannot be written: {error.strerror}",
                hint=f"mkdir -p {shlex.quote(os.path.dirname(file_name))}" if missing else "choose another file",
            ) from error
        stack.callback(file.close)

        def write(data: bytes) -> None:
            try:
                while data:
                    data = data[file.write(data) :]
            except OSError as error:
                raise LaunchError(
                    f"{file_name} cannot be written: {error.strerror}", hint="make room there, or choose another file"
                ) from error

        return Stream("", write, label=label)

    def _write_to(self, own: Any) -> Any:
        def write(data: bytes) -> None:
            self._clear()
            own.buffer.write(data)
            own.flush()

        return write
