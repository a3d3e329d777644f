"""OAR 2.5.9 of Debian 12, for the tests."""

from __future__ import annotations

PACKAGES = (
    "oar-server",
    "oar-server-pgsql",
    "oar-node",
    "oar-user",
    "oar-user-pgsql",
    "openssh-server",
    "postgresql",
)
