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
    signs = [(file, rule) for file in _candidates(catalogue) for rule in _rules(catalogue, file)]
    for kind in ("env", "hostname", "file"):
        found: dict[str, tuple[SiteFile, str]] = {}
        for file, rule in signs:
            if sign := _sign(kind, rule.get(kind), environ, host):
                found.setdefault(file.name, (file, sign))
        if found:
            return Look(_highest(catalogue, found))
    return _by_manager(catalogue, signs, environ)


def _by_manager(
    catalogue: Catalogue, signs: Sequence[tuple[SiteFile, dict[str, Any]]], environ: Mapping[str, str]
) -> Look:
    """By the manager that is at home here. Where several are, or one is here and not at home, nobody can tell."""
    from .manager_detection import at_home, remark

    wanted: dict[str, list[SiteFile]] = {}
    for file, rule in signs:
        if isinstance(name := rule.get("manager"), str):
            wanted.setdefault(name, []).append(file)
    home, here = at_home(wanted, environ)
    found = [(file, manager) for manager in home for file in wanted[manager.platform]]
    best = max((catalogue.layers.index(file.layer) for file, _ in found), default=0)
    top = [(file, manager) for file, manager in found if catalogue.layers.index(file.layer) == best]
    if len({manager.platform for _, manager in top}) == 1:
        return Look(_highest(catalogue, {file.name: (file, manager.about) for file, manager in top}))
    sites = [(file.name, manager) for file, manager in top] or [
        (file.name, manager) for manager in here if manager.platform for file in wanted[manager.platform]
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
    given = file.head.get("detect")
    if given is None and file.extends == file.name:
        below = catalogue.below(file)
        return _rules(catalogue, below) if below is not None else []
    return [rule for rule in given if isinstance(rule, dict)] if isinstance(given, list) else []


def _sign(kind: str, wanted: Any, environ: Mapping[str, str], host: str) -> str:
    """The sign in words where it is there; what is no proper rule is no sign."""
    if kind == "env" and isinstance(wanted, dict):
        there = wanted and all(environ.get(name) == str(value) for name, value in wanted.items())
        return " ".join(f"${name} is {value}" for name, value in wanted.items()) if there else ""
    if kind == "hostname" and isinstance(wanted, str):
        try:
            return f"the host name {host} matches {wanted}" if re.fullmatch(wanted, host) else ""
        except re.error:
            return ""
    if kind == "file" and isinstance(wanted, str):
        there = os.path.isabs(wanted) and os.path.exists(under_root(wanted, environ))
        return f"{wanted} exists" if there else ""
    return ""


def _highest(catalogue: Catalogue, found: Mapping[str, tuple[SiteFile, str]]) -> Detected:
    rank = max(catalogue.layers.index(file.layer) for file, _ in found.values())
    top = {name: sign for name, (file, sign) in found.items() if catalogue.layers.index(file.layer) == rank}
    if len(top) > 1:
        said = "; ".join(f"{name}: {sign}" for name, sign in top.items())
        raise SiteError(
            f"this host looks like {len(top)} sites of {catalogue.layers[rank].directory}: {said}",
            hint="say which with --site or $PSIJ_SITE",
        )
    return Detected(*next(iter(top.items())))
