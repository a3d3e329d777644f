"""Site detection: by variables with a value first, then by the cluster's name, by host name, by variables that are
merely set, by a file, and then by resource manager.

Only the detection rules are read, without validation, so that detection is cheap on a host that has no site. Nothing is
run but in the last step: a command that waits for a dead server would stall every call.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from ..errors import SiteError
from ..platforms import registry
from ..system.processes import host_name
from .catalogue import Catalogue
from .host_name import HostName
from .layers import PACKAGE, SYSTEM_LABEL, SiteFile, under_root

log = logging.getLogger(__name__)

_CONFIGURATION = 1 << 20  # characters of a manager's configuration that are read


class Detected(NamedTuple):
    """The detected site; `sign` says in words which detection rule matched."""

    name: str
    sign: str


class Look(NamedTuple):
    """The result of a detection: the site; if none matched, `remark` says which managers are here all the same."""

    site: Detected | None
    remark: str = ""


def look(catalogue: Catalogue, environ: Mapping[str, str], hostname: str | None = None) -> Look:
    """The site of this host, or a remark on the managers that are here where there is none.

    A file of a higher layer wins over one of a lower layer. Raises `SiteError` where rules of the same
    kind match for two sites of one layer, and where none match and the system's files cannot all be read.
    """
    name = HostName(host_name() if hostname is None else hostname, catalogue.cache)
    here = _Host(environ, name)
    unknown = [*_places(catalogue)]
    rules = [(file, rule) for file in _candidates(catalogue, unknown) for rule in _rules(catalogue, file)]
    for sign_of in _KINDS:
        matches: dict[str, tuple[SiteFile, str]] = {}
        for file, rule in rules:
            if sign := sign_of(rule, here):
                matches.setdefault(file.name, (file, sign))
        if matches:
            break
    name.save()
    _tell(unknown, found=bool(matches))
    return Look(_highest(catalogue, matches)) if matches else _by_manager(catalogue, rules, environ)


class _Unknown(NamedTuple):
    """A site, or a folder of such, of which it cannot be told for which hosts it is, and what to say of it."""

    layer: str
    remark: str
    error: SiteError
    may_be_here: bool = True


def _tell(unknown: Iterable[_Unknown], *, found: bool) -> None:
    """Warn of what may be for this host. What its administrators have for it is not passed over for a general site."""
    for layer, remark, error, may_be_here in unknown:
        if layer == SYSTEM_LABEL and may_be_here and not found:
            hint = "it may be for this host, so jobs wait for its administrators; --site with a name goes on without"
            raise SiteError(f"{remark}{error.message}", hint="; ".join(filter(None, (error.hint, hint))))
        log.warning("%s%s", remark, error)


def _places(catalogue: Catalogue) -> Iterator[_Unknown]:
    labels = {str(layer.directory): layer.label for layer in catalogue.layers}
    for place, error in catalogue.places.items():
        yield _Unknown(labels.get(place, ""), "", error)


def clusters_here(environ: Mapping[str, str]) -> list[str]:
    """The names of clusters in managers' configurations on this host, by which a rule can recognize it."""
    return [name for name, _ in _Host(environ, HostName("")).clusters]


def _by_manager(
    catalogue: Catalogue, rules: Sequence[tuple[SiteFile, dict[str, Any]]], environ: Mapping[str, str]
) -> Look:
    """By the manager that is at home here. Where several are, or one is here and not at home, it is unknown."""
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


def _candidates(catalogue: Catalogue, unknown: list[_Unknown]) -> Iterator[SiteFile]:
    """The file of each site that counts. One that cannot be used may still be that of this host, if it says so; of
    others it is unknown."""
    for name in catalogue:
        file = catalogue.top(name)
        if file is None:
            continue
        for each in _of_one_name(catalogue, file):
            try:
                if each.error is not None:
                    raise each.error
                if each.layer.directory != PACKAGE:
                    each.check_toml()  # it may be broken where its head is not
                if not _are_rules(each.head.get("detect", [])):
                    raise SiteError(f"{each.path}: detect: must be a list of tables")
            except SiteError as error:
                if not each.head or not _are_rules(each.head.get("detect", [])):
                    remark = f"the site {name} cannot be detected: "
                    unknown.append(_Unknown(each.layer.label, remark, error, each.may_have_rules))
        yield file


def _of_one_name(catalogue: Catalogue, file: SiteFile) -> Iterator[SiteFile]:
    """A file, and those of the same name in lower layers whose rules it takes over."""
    yield file
    while "detect" not in file.head and file.extends == file.name and (below := catalogue.below(file)) is not None:
        file = below
        yield file


def _are_rules(rules: Any) -> bool:
    return isinstance(rules, list) and all(isinstance(rule, dict) for rule in rules)


def _rules(catalogue: Catalogue, file: SiteFile) -> list[dict[str, Any]]:
    """The detection rules of a file: its own, or those of the lower layer's file that it builds on."""
    rules = file.head.get("detect")
    if rules is None and file.extends == file.name:
        below = catalogue.below(file)
        return _rules(catalogue, below) if below is not None else []
    return [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []


class _Host:
    """What the rules look at on this host."""

    def __init__(self, environ: Mapping[str, str], name: HostName) -> None:
        self.environ, self.name = environ, name

    @cached_property
    def clusters(self) -> list[tuple[str, str]]:
        """The names of clusters in managers' configurations on this host, each with the path."""
        found = []
        for signs in (manager.signs for manager in registry.managers() if manager.signs.cluster):
            named = [path for name in signs.variables if os.path.isabs(path := self.environ.get(name, ""))]
            for path in (*named, *(under_root(path, self.environ) for path in signs.files)):
                try:
                    with open(path, encoding="utf-8", errors="replace") as file:
                        text = file.read(_CONFIGURATION)
                except OSError:
                    continue
                if match := re.search(signs.cluster, text, re.MULTILINE | re.IGNORECASE):
                    found.append((match[1], path))
                    break
        return found


def _by_values(rule: Mapping[str, Any], host: _Host) -> str:
    """Says in words that variables have these values; '' where they have not, or where the rule is malformed."""
    signs = rule.get("env")
    if not isinstance(signs, dict) or all(value is True for value in signs.values()):
        return ""
    holds = all(
        name in host.environ if value is True else host.environ.get(name) == str(value)
        for name, value in signs.items()
    )
    return " ".join(f"${name} is {host.environ[name]}" for name in signs) if holds else ""


def _by_cluster(rule: Mapping[str, Any], host: _Host) -> str:
    """The same of the cluster's name in a manager's configuration."""
    name = rule.get("cluster")
    if not isinstance(name, str):
        return ""
    return next(
        (f"{path} names the cluster {found}" for found, path in host.clusters if found.lower() == name.lower()), ""
    )


def _by_host(rule: Mapping[str, Any], host: _Host) -> str:
    """The same of the host name."""
    pattern = rule.get("hostname")
    matches = isinstance(pattern, str) and host.name.matches(pattern)
    return f"the host name {host.name.name} matches {pattern}" if matches else ""


def _by_variables(rule: Mapping[str, Any], host: _Host) -> str:
    """The same of variables that are set, whatever their values."""
    signs = rule.get("env")
    if not isinstance(signs, dict) or not signs or any(value is not True for value in signs.values()):
        return ""
    return " ".join(f"${name} is set" for name in signs) if all(name in host.environ for name in signs) else ""


def _by_file(rule: Mapping[str, Any], host: _Host) -> str:
    """The same of a file that exists."""
    path = rule.get("file")
    holds = isinstance(path, str) and os.path.isabs(path) and os.path.exists(under_root(path, host.environ))
    return f"{path} exists" if holds else ""


_KINDS = (_by_values, _by_cluster, _by_host, _by_variables, _by_file)


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
