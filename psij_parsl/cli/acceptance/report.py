"""The report of an acceptance: for people, as JSON, and as JUnit XML."""

from __future__ import annotations

import os
import re
import socket
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ...errors import Error, InvalidRequest, SiteError
from ...jobs.job_files import umask
from ...system.files import write_whole
from ..output import Column, Renderer, plain
from .results import CHECKS, FAILED, PASSED, SKIPPED, Result

_COLUMNS = (
    Column("check", "CHECK"),
    Column("where", "WHERE"),
    Column("state", "STATE"),
    Column("seconds", "SECONDS"),
    Column("text", "RESULT", wraps=True),
)
#: Characters that XML 1.0 cannot hold.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def show(out: Renderer, site: str, platform: str, results: Sequence[Result]) -> None:
    """Print the report; people get what explains each failure below the table."""
    rows = [_row(result) for result in results]
    if out.json:
        out.record({"site": site, "platform": platform, "state": _state(results), "checks": rows}, ())
        return
    out.table(_COLUMNS, rows)
    for alike in _failures(results):
        out.out.write(f"\n{plain(_explained(alike))}\n")
    counts = Counter(result.state for result in results)
    parts = [f"{counts[state]} {state.lower()}" for state in (PASSED, FAILED, SKIPPED) if counts[state]]
    out.out.write(f"\n{site}: {', '.join(parts)}\n")


def _row(result: Result) -> dict[str, Any]:
    verdict = result.verdict
    return {
        "check": verdict.check,
        "shows": CHECKS[verdict.check],
        "where": result.where,
        "state": verdict.state,
        "seconds": result.seconds,
        "text": verdict.text,
        "hint": verdict.hint,
        "details": verdict.details,
        "job": result.job,
        "native_id": result.native_id,
    }


def _state(results: Sequence[Result]) -> str:
    return FAILED if any(result.state == FAILED for result in results) else PASSED


def _failures(results: Sequence[Result]) -> list[list[Result]]:
    """The failures, those together that say the same."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.state == FAILED:
            groups.setdefault(result.verdict.text, []).append(result)
    return list(groups.values())


def _explained(alike: Sequence[Result]) -> str:
    """All that is known of failures that say the same."""
    verdict, job = alike[0].verdict, alike[0].job
    places: dict[str, list[str]] = {}
    for result in alike:
        places.setdefault(result.verdict.check, []).append(result.where)
    named = [f"{check} in {' and '.join(where)}" if any(where) else check for check, where in places.items()]
    lines = [f"{'; '.join(named)}: {verdict.text}"]
    if verdict.details:
        lines += [f"  {line}" for line in verdict.details.rstrip("\n").splitlines()]
    if verdict.hint:
        lines.append(f"hint: {verdict.hint}")
    if job:
        lines.append(f"`psij-run info {job}` shows its job")
    return "\n".join(lines)


def check_path(path: Path) -> Path:
    """The absolute path of a file to write at the end. Raises `InvalidRequest` if that cannot be done."""
    absolute = Path(os.path.abspath(path.expanduser()))
    if absolute.is_dir() or not os.access(absolute.parent, os.W_OK | os.X_OK):
        raise InvalidRequest(
            f"--junit {path} cannot be written", hint="name a file in a directory that you can write to"
        )
    return absolute


def write_junit(path: Path, site: str, platform: str, results: Sequence[Result]) -> None:
    """Write the report as JUnit XML, whole or not at all. Raises `SiteError` if it cannot be written."""
    try:
        write_whole(path, junit(site, platform, results), mode=0o666 & ~umask())
    except Error as error:
        raise SiteError(error.message, hint="name another file with --junit") from error


def junit(site: str, platform: str, results: Sequence[Result]) -> str:
    """The report as JUnit XML: a `testsuite` with a `testcase` for each check."""
    counts = Counter(result.state for result in results)
    suite = ElementTree.Element(
        "testsuite",
        {
            "name": _xml(f"psij-run site test {site}"),
            "tests": str(len(results)),
            "failures": str(counts[FAILED]),
            "errors": "0",
            "skipped": str(counts[SKIPPED]),
            "time": f"{sum(result.seconds for result in results):.1f}",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()),
            "hostname": _xml(socket.gethostname()),
        },
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("site", site), ("platform", platform)):
        ElementTree.SubElement(properties, "property", {"name": name, "value": _xml(value)})
    for result in results:
        verdict = result.verdict
        name = f"{verdict.check} [{result.where}]" if result.where else verdict.check
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {"classname": _xml(f"psij-run.site.{site}"), "name": _xml(name), "time": f"{result.seconds:.1f}"},
        )
        if verdict.state == FAILED:
            failure = ElementTree.SubElement(case, "failure", {"message": _xml(verdict.text), "type": verdict.check})
            failure.text = _xml(_explained([result]))
        elif verdict.state == SKIPPED:
            ElementTree.SubElement(case, "skipped", {"message": _xml(verdict.text)})
        else:
            ElementTree.SubElement(case, "system-out").text = _xml(verdict.text)
    ElementTree.indent(suite)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suite, encoding="unicode")}\n'


def _xml(text: str) -> str:
    return _NOT_XML.sub("?", text)
