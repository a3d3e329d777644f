"""Son of Grid Engine 8.1.9 of Debian 12, for the tests."""

from __future__ import annotations

PACKAGES = ("gridengine-master", "gridengine-exec", "gridengine-client")
#: Answers to the packages' questions: make the cell "default", whose master is the host "head".
ANSWERS = tuple(
    f"gridengine-{part} shared/gridengine{question}"
    for part in ("common", "client", "master", "exec")
    for question in ("config boolean true", "cell string default", "master string head")
)
