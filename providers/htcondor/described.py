"""The jobs that a description makes: what each of them runs, where, and with which files and variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from psij_parsl.platforms.directives import NoEquivalent

from .macros import AUTOMATIC, OF_EACH_JOB, expanded, names_in
from .queueing import Queue

HAS_MACRO = "has a macro, of which only HTCondor knows the value"
_ONE = Queue(1)
_CLUSTER = re.compile(r"\$\(cluster(?:id)?\)", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\$\((\w+)\)")
_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_FILES = ("stdin", "stdout", "stderr")
_COPIED = (
    "has files copied to where others stand, and here nothing is copied: do that first, or name them by their paths"
)


def words_of_jobs(words: Mapping[str, Any]) -> dict[str, Any]:
    """Our words for the command, the environment, the directory, the files and the array of a description.

    What its `_` words say as texts may have macros. In `elements` are the words that are not the same in all jobs, for
    each index. Raises `NoEquivalent` with the word that is at fault.
    """
    statements: Sequence[Queue] = words.get("_queue", (_ONE,))
    if len(statements) > 1:
        raise NoEquivalent("is one of several, and each makes jobs of its own", "_queue")
    statement = statements[0]
    texts = {name: words[name] for name in _READERS if name in words}
    jobs, indices = statement.jobs(), statement.indices
    if not indices:
        return _job(texts, jobs[0], {})
    places = {*indices} == {*range(len(indices))} and [*indices] == sorted(indices)
    index = dict.fromkeys(("process", "procid"), "{index}") if places else {}
    if statement.has_indices:
        index |= dict.fromkeys(statement.names, "{index}")
    of_each = OF_EACH_JOB | {*statement.names}
    found: dict[str, Any] = {"array": f"0-{len(indices) - 1}" if places else ",".join(map(str, indices))}
    if not any(names_in(text) & of_each for text in texts.values()):
        return found | _job(texts, jobs[0], index)
    every = [_job(texts, job, index) for job in jobs]
    common = {name: value for name, value in every[0].items() if all(one.get(name) == value for one in every)}
    own = [{name: value for name, value in one.items() if name not in common} for one in every]
    if any(own):
        found["elements"] = dict(zip(indices, own, strict=True))
    return found | common


def _job(texts: Mapping[str, str], values: Mapping[str, str], index: Mapping[str, str]) -> dict[str, Any]:
    """The words of one job, with these values of macros; in the names of files the `index` has a place of its own."""
    found: dict[str, Any] = {}
    for name, text in texts.items():
        kept = index if name[1:] in _FILES and "$F" not in text else {}
        whole = expanded(text, {key: value for key, value in values.items() if key not in kept}, others=True)
        try:
            _READERS[name](whole, found, kept)
        except ValueError as error:
            word = getattr(error, "word", "") or name
            raise NoEquivalent(str(error), word) from error
    if found.get("command", ("x",))[0] == "":
        raise NoEquivalent("names no program", "_program" if "_program" in texts else "_arguments")
    return found


def plain(text: str) -> str:
    """The text, which must have no macros any more."""
    if _CLUSTER.search(text):
        raise NoEquivalent(
            "has the number of the cluster, which is known when the job runs: its program reads $PSIJ_NATIVE_ID"
        )
    if unknown := names_in(text) - AUTOMATIC:
        raise NoEquivalent(f"has the macro $({min(unknown)}), of which no value is known")
    if "$(" in text or re.search(r"\$[A-Za-z_]+\(", text):
        raise NoEquivalent(HAS_MACRO)
    return text


def arguments(text: str) -> tuple[str, ...]:
    """`"a 'b c'"`, or `a b` without quotes. A quote in quotes is doubled; without, it has a backslash before it."""
    text = plain(text.strip())
    if text.startswith('"'):
        return tuple(_quoted_words(text))
    if re.search(r'(?<!\\)"', text):
        raise ValueError("must have a backslash before each double quote, or stand in double quotes as a whole")
    return tuple(word.replace('\\"', '"') for word in text.split())


def environment(text: str) -> dict[str, str]:
    """`"A=1 B='x y'"`, or `A=1;B=2` without quotes."""
    text = plain(text.strip())
    pairs = (
        _quoted_words(text) if text.startswith('"') else [pair.lstrip() for pair in text.split(";") if pair.strip()]
    )
    if not all(re.match(r"[^\s=]+=", pair) for pair in pairs):
        raise ValueError(f"must be variables with values, not {text!r}")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _quoted_words(text: str) -> list[str]:
    """The words between double quotes; single quotes hold blanks together, and a quote in quotes is doubled."""
    inner = re.fullmatch(r'"((?:[^"]|"")*)"', text)
    if inner is None or inner[1].count("'") % 2:
        raise ValueError("must close its quotes")
    words = re.findall(r"(?:'(?:[^']|'')*'|[^\s'])+", inner[1].replace('""', '"'))
    return [_QUOTED.sub(lambda match: match[1].replace("''", "'"), word) for word in words]


def file_name(text: str, index: Mapping[str, str]) -> str:
    """A file's name with our placeholders; `index` are those of macros by their names in lower case."""
    macros = {**index, "cluster": "{array}", "clusterid": "{array}"}

    def ours(match: re.Match[str]) -> str:
        return macros.get(match[1].lower(), match[0])

    whole = _PLACEHOLDER.sub(ours, text.replace("{", "{{").replace("}", "}}"))
    if "$" in whole:
        plain(whole)
        raise NoEquivalent(HAS_MACRO)
    return whole


# ---- what each text adds to the words of a job ----------------------------------------------------------------------

_Reader = Callable[[str, dict[str, Any], Mapping[str, str]], None]


def _of_file(word: str) -> _Reader:
    def read(text: str, found: dict[str, Any], index: Mapping[str, str]) -> None:
        found[word] = file_name(text, index)

    return read


def _program(text: str, found: dict[str, Any], index: Mapping[str, str]) -> None:
    found["command"] = (plain(text.strip().strip('"')),)


def _shell(text: str, found: dict[str, Any], index: Mapping[str, str]) -> None:
    found["command"] = ("/bin/sh", "-c", plain(text))


def _arguments(text: str, found: dict[str, Any], index: Mapping[str, str]) -> None:
    found["command"] = (*found.get("command", ("",)), *arguments(text))


def _environment(text: str, found: dict[str, Any], index: Mapping[str, str]) -> None:
    found["environment"] = environment(text)


def _directory(text: str, found: dict[str, Any], index: Mapping[str, str]) -> None:
    found["directory"] = plain(text)


def _copied(text: str, found: dict[str, Any], index: Mapping[str, str]) -> None:
    """Files that are in the same place if nothing is copied."""
    for name in re.split(r"[,\s]+", plain(text.strip('"'))):
        if "/" in name.removeprefix("./") or name in (".", ".."):
            raise NoEquivalent(_COPIED)


_READERS: Mapping[str, _Reader] = {
    "_program": _program,
    "_shell": _shell,
    "_arguments": _arguments,
    "_environment": _environment,
    "_directory": _directory,
    "_stdin": _of_file("stdin"),
    "_stdout": _of_file("stdout"),
    "_stderr": _of_file("stderr"),
    "_copied": _copied,
    "_brought_back": _copied,
}
