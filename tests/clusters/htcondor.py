"""HTCondor of Debian 13 and later, for the tests."""

from __future__ import annotations

PACKAGES = ("minicondor",)
