"""The addresses of this host at which workers on other nodes reach it. They are determined when needed, never at import.

Parsl's own default asks a server on the internet, and waits for it where there is no connection.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import InvalidRequest

if TYPE_CHECKING:
    from ..sites import Site

log = logging.getLogger("parsl.psij")  # below Parsl's logger, so that it is written to parsl.log

LOOPBACK = "127.0.0.1"


def address(machine: Site, name: str | None = None, interface: str | None = None, *, local: bool) -> str:
    """The IP address to use: of that interface, or name, else what is found. `local`: all workers are on this host."""
    if interface is not None:
        return _of_interface(interface)
    if name is not None:
        return _resolved(name, lambda: InvalidRequest(f"address={name!r} is no address that is known here"))
    if local:
        return LOOPBACK
    if (known := _of_site(machine, inside=bool(os.environ.get("PSIJ_JOB_ID")))) is not None:
        return known
    try:
        own = _resolved(socket.gethostname(), LookupError)
        return own if not own.startswith("127.") else _by_route()
    except (LookupError, OSError):
        return LOOPBACK


def addresses_of_node(machine: Site) -> list[str]:
    """Those of this compute node, of which workers on other nodes may try each: the site's, else all that it has."""
    if (known := _of_site(machine, inside=True)) is not None:
        return [known]
    import psutil  # Parsl needs it too

    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found = [
        each.address
        for name, addresses in psutil.net_if_addrs().items()
        for each in addresses
        if name in up and each.family == socket.AF_INET and not each.address.startswith("127.")
    ]
    return list(dict.fromkeys(found)) or [LOOPBACK]


def _of_site(machine: Site, *, inside: bool) -> str | None:
    """The address that the site says: of a compute node inside a job, else of a login node. None if it is not one here."""
    network = machine.network
    text = network.compute if inside or not network.login else network.login
    if not text:
        return None
    try:
        if "{host}" in text:
            return _resolved(text.replace("{host}", socket.gethostname().partition(".")[0]), LookupError)
        if text in (name for _, name in socket.if_nameindex()):
            return _of_interface(text)
        raise LookupError(text)
    except (LookupError, InvalidRequest):
        log.info("%s is no address of this host, which %s names", text, machine.line_of(("network",)))
        return None


def _resolved(name: str, error: Callable[[], Exception]) -> str:
    try:
        return str(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        raise error() from None


def _by_route() -> str:
    """The address of the interface with the default route; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # RFC 5737: for documentation, of no host
        return str(probe.getsockname()[0])


def _of_interface(interface: str) -> str:
    from parsl.addresses import address_by_interface

    try:
        return str(address_by_interface(interface))
    except OSError as error:
        interfaces = ", ".join(name for _, name in socket.if_nameindex())
        raise InvalidRequest(
            f"interface={interface!r} has no address here: {os.strerror(error.errno or 0)}",
            hint=f"there are {interfaces}",
        ) from error
