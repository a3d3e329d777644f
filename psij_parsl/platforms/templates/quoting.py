"""Shell quoting of template output: each printed value comes out as one word, whatever is in it.

Three kinds of text live in a rendering:

- `Quoted`, the value of a parameter. `if`, `==`, `len`, slices and `in` see it as it is; it knows its name.
- any other `str`: what operations on values and literals made (`"afterok:" ~ ids | join(":")`).
- `Shell`: text that is script already: raw parameters, and what macros and `{% set %}` blocks rendered.

`Quoting.show` is called for everything that an expression prints, and quotes every text that is not `Shell`.
Hence no operation can lose the quoting: there is nothing to lose, for quoting happens last. That `Quoted`
also survives most operations serves the error messages alone.

How a text is quoted depends on the section of the script: its body is shell, its directives are the manager's
own language. One `Quoting` belongs to one rendering, which is sequential; so the template switches it as it
goes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

from ...errors import InvalidRequest

BODY, DIRECTIVES = "body", "directives"
SECTIONS = (BODY, DIRECTIVES)

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_BREAK = re.compile("[\r\n]")
_COMMENT = re.compile(r"(?:^|[\s;|&()<>`])#")


class UnprintableError(Exception):
    """A template prints, or glues, what has no place in a script: None, a list, a boolean."""


class Quoted(str):
    """Text of a parameter: a `str` that keeps the parameter's name."""

    __slots__ = ("name",)
    name: str

    def __new__(cls, text: str, name: str = "") -> Quoted:
        instance = super().__new__(cls, text)
        instance.name = name
        return instance

    def __str__(self) -> str:  # so that jinja's `str(value).replace(...)` keeps the name
        return self

    def __radd__(self, left: str) -> Quoted:
        return Quoted(str.__add__(left, self), self.name)

    def __rmod__(self, left: str) -> Quoted:
        return Quoted(str.__mod__(left, plain(self)), self.name)


def _keeping_name(method: str) -> Callable[..., Any]:
    original: Callable[..., Any] = getattr(str, method)

    def call(self: Quoted, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        return Quoted(result, self.name) if isinstance(result, str) else result

    call.__name__ = method
    return call


for _method in (
    *("__add__", "__getitem__", "__mod__", "__mul__", "__rmul__", "capitalize", "casefold", "center", "expandtabs"),
    *("format", "ljust", "lower", "lstrip", "removeprefix", "removesuffix", "replace", "rjust", "rstrip", "strip"),
    *("swapcase", "title", "translate", "upper", "zfill"),
):
    setattr(Quoted, _method, _keeping_name(_method))


class Shell(str):
    """Script: printed as it stands. Operations on it give plain `str`, which is quoted again.

    `section` is the one whose quoting it was made with, "" where it holds no quoted text.
    """

    __slots__ = ("section",)
    section: str

    def __new__(cls, text: str, section: str = "") -> Shell:
        instance = super().__new__(cls, text)
        instance.section = section
        return instance

    def __str__(self) -> str:  # jinja wraps what it prints in str()
        return self


class Raw(Shell):
    """Script that came in by a parameter declared as raw, or that the core gave as `Shell`."""

    __slots__ = ("name",)
    name: str

    def __new__(cls, text: str, name: str = "") -> Raw:
        instance = str.__new__(cls, text)
        instance.section, instance.name = "", name
        return instance


def plain(text: str) -> str:
    """The text as an exact `str`, without name or section."""
    return str.__str__(text)


def wrap(name: str, value: Any, *, raw: bool = False) -> Any:
    """The value as a template sees it. Text, alone or in lists and mappings, becomes `Quoted` (`Raw` if
    `raw`).
    """
    if isinstance(value, str):
        kind = Raw if raw or isinstance(value, Shell) else Quoted
        return kind(value if type(value) is str else plain(value), name)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, list | tuple):
        return [wrap(name, item, raw=raw) for item in value]
    if isinstance(value, PurePath):
        return Quoted(str(value), name)
    if isinstance(value, Mapping):
        return {wrap(name, key): wrap(name, item, raw=raw) for key, item in value.items()}
    return value


def glue(parts: Iterable[Any]) -> str:
    """The template's `~`: one text, which will be quoted as one word.

    Raises UnprintableError for None, lists and booleans, and for script, which cannot be one word.
    """
    texts, names = [], []
    for part in parts:
        if isinstance(part, Shell):
            raise UnprintableError("glues script with ~: print it by itself")
        texts.append(plain(part) if isinstance(part, str) else _number(part))
        if isinstance(part, Quoted) and part.name and part.name not in names:
            names.append(part.name)
    return Quoted("".join(texts), ", ".join(names))


def join(values: Iterable[Any], separator: str = "") -> str:
    """The template's `join` filter: `glue` with something between."""
    parts: list[Any] = []
    for value in values:
        parts += [separator, value] if parts else [value]
    return glue(parts)


def _number(value: Any) -> str:
    if isinstance(value, bool):
        raise UnprintableError(f"prints {value}: say what it means, with {{% if %}}")
    if isinstance(value, int):
        return int.__str__(value)
    if isinstance(value, float):
        return float.__repr__(value)
    if value is None:
        raise UnprintableError("prints a value that is not set")
    if isinstance(value, list | tuple | Mapping | set | frozenset):
        raise UnprintableError(f"prints a whole {type(value).__name__}: take its items one by one, with {{% for %}}")
    raise UnprintableError(f"prints {value!r}, which is no text and no number")


class Rendered(Shell):
    """Script that a macro or a `{% set %}` block of the template made."""

    __slots__ = ()


def joined(pieces: Iterable[str]) -> Shell:
    """What a template rendered, put together; also what its macros and `{% set %}` blocks did.

    Raises InvalidRequest for a value with a line break on a comment or directive line: quoting is for shells,
    and no shell reads that line, so the value's second line would be run.
    """
    parts = list(pieces)
    sections = {part.section for part in parts if isinstance(part, Shell) and part.section}
    for number, part in enumerate(parts):
        if isinstance(part, Shell) and part.section and _LINE_BREAK.search(part):
            line = "".join("x" if _is_value(before) else before for before in parts[:number]).rpartition("\n")[2]
            if _COMMENT.search(line):
                raise InvalidRequest(f"{part!s} is refused: it has a line break and stands after {line.strip()!r}")
    return Rendered("".join(parts), sections.pop() if len(sections) == 1 else "mixed" if sections else "")


def _is_value(piece: str) -> bool:
    return isinstance(piece, Shell) and bool(piece.section) and not isinstance(piece, Rendered)


def shell_quote(text: str) -> str:
    """`shlex.quote`; ValueError for what no script can hold."""
    if "\0" in text:
        raise ValueError("a script cannot hold the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it is not valid UTF-8") from None
    return shlex.quote(text)


def _without_control(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("there must be no control characters or line breaks")
    return text


class Quoting:
    """The quoting of one rendering. `directive_quote` returns what a directive line shows, or raises
    ValueError.
    """

    __slots__ = ("_directive_quote", "section")

    def __init__(self, directive_quote: Callable[[str], str]) -> None:
        self._directive_quote = directive_quote
        self.section = BODY

    def show(self, value: Any) -> Shell:
        """What an expression prints. Raises UnprintableError (the template's fault) or InvalidRequest (the
        value's).
        """
        if isinstance(value, Shell):
            return self._script(value)
        if not isinstance(value, str):
            return Shell(_number(value))
        text = plain(value)
        try:
            if self.section == BODY:
                return Shell(shell_quote(text), BODY)
            shown = self._directive_quote(_without_control(text))
            return Shell(_without_control(shown), DIRECTIVES)
        except ValueError as error:
            where = "a directive" if self.section == DIRECTIVES else "the script"
            name = value.name if isinstance(value, Quoted) and value.name else "a value"
            raise InvalidRequest(f"{name}={text!r} is refused in {where}: {error}") from error

    def _script(self, text: Shell) -> Shell:
        if self.section == DIRECTIVES and isinstance(text, Raw):
            try:
                _without_control(text)
            except ValueError as error:
                raise InvalidRequest(f"{text.name}={plain(text)!r} is refused in a directive: {error}") from error
        if text.section and text.section != self.section:
            raise UnprintableError(f"prints in its {self.section} what was rendered for its {text.section}")
        return text
