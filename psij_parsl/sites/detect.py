"""On which machine we are: by environment variables first, then by host name, then by a file, then by its manager.

Only the signs are read, without validation, so that looking for a site is cheap on a host that has none.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import SiteError
from .catalogue import Catalogue
from .layers import PACKAGE, SiteFile, under_root

log = logging.getLogger(__name__)


class Detected(NamedTuple):
    """The site that was recognised, and the sign."""

    name: str
    sign: str


class Look(NamedTuple):
    """The site that was recognised; if none was, `remark` tells which managers are here all the same."""

    site: Detected | None
    remark: str = ""


def look(catalogue: Catalogue, environ: Mapping[str, str], hostname: str | None = None) -> Look:
    """The site of this host, and what is here where there is none.

    A file of a higher layer wins over one of a lower layer. Raises `SiteError` where two sites of one layer have
    the same kind of sign here.
    """
    host = socket.gethostname() if hostname is None else hostname
    rules = [(file, rule) for file in _candidates(catalogue) for rule in _rules(catalogue, file)]
    for kind in ("env", "hostname", "file"):
        matches: dict[str, tuple[SiteFile, str]] = {}
        for file, rule in rules:
            if sign := _sign(kind, rule.get(kind), environ, host):
                matches.setdefault(file.name, (file, sign))
        if matches:
            return Look(_highest(catalogue, matches))
    return _by_manager(catalogue, rules, environ)


def _by_manager(
    catalogue: Catalogue, rules: Sequence[tuple[SiteFile, dict[str, Any]]], environ: Mapping[str, str]
) -> Look:
    """By the manager that is at home here. Where several are, or one is here and not at home, nobody can tell."""
    from .manager_detection import at_home, remark

    files_by_platform: dict[str, list[SiteFile]] = {}
    for file, rule in rules:
        if isinstance(name := rule.get("manager"), str):
            files_by_platform.setdefault(name, []).append(file)
    home, here = at_home(files_by_platform, environ)
    matches = [(file, manager) for manager in home for file in files_by_platform[manager.platform]]
    best = max((catalogue.layers.index(file.layer) for file, _ in matches), default=0)
    top = [(file, manager) for file, manager in matches if catalogue.layers.index(file.layer) == best]
    if len({manager.platform for _, manager in top}) == 1:
        return Look(_highest(catalogue, {file.name: (file, manager.about) for file, manager in top}))
    sites = [(file.name, manager) for file, manager in top] or [
        (file.name, manager) for manager in here if manager.platform for file in files_by_platform[manager.platform]
    ]
    return Look(None, remark(sites, here, environ))


def _candidates(catalogue: Catalogue) -> Iterator[SiteFile]:
    for name in catalogue:
        file = catalogue.top(name)
        if file is None:
            continue
        try:
            if file.error is not None:
                raise file.error
            if file.layer.directory != PACKAGE:
                _ = file.data  # it may be broken where its head is not
            yield file
        except SiteError as error:
            log.warning("the site %s cannot be detected: %s", name, error)


def _rules(catalogue: Catalogue, file: SiteFile) -> list[dict[str, Any]]:
    """The signs of a file: its own, or those of the lower layer's file that it builds on."""
    rules = file.head.get("detect")
    if rules is None and file.extends == file.name:
        below = catalogue.below(file)
        return _rules(catalogue, below) if below is not None else []
    return [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []


def _sign(kind: str, condition: Any, environ: Mapping[str, str], host: str) -> str:
    """The sign in words where it is there; what is no proper rule is no sign."""
    if kind == "env" and isinstance(condition, dict):
        holds = condition and all(environ.get(name) == str(value) for name, value in condition.items())
        return " ".join(f"${name} is {value}" for name, value in condition.items()) if holds else ""
    if kind == "hostname" and isinstance(condition, str):
        try:
            return f"the host name {host} matches {condition}" if re.fullmatch(condition, host) else ""
        except re.error:
            return ""
    if kind == "file" and isinstance(condition, str):
        holds = os.path.isabs(condition) and os.path.exists(under_root(condition, environ))
        return f"{condition} exists" if holds else ""
    return ""


def _highest(catalogue: Catalogue, matches: Mapping[str, tuple[SiteFile, str]]) -> Detected:
    rank = max(catalogue.layers.index(file.layer) for file, _ in matches.values())
    top = {name: sign for name, (file, sign) in matches.items() if catalogue.layers.index(file.layer) == rank}
    if len(top) > 1:
        described = "; ".join(f"{name}: {sign}" for name, sign in top.items())
        raise SiteError(
            f"this host looks like {len(top)} sites of {catalogue.layers[rank].directory}: {described}",
            hint="say which with --site or $PSIJ_SITE",
        )
    return Detected(*next(iter(top.items())))
