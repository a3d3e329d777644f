"""Resource management inside an allocation: which nodes, CPUs and GPUs are assigned to whom, and which are free.

`NodeResources.discover()` is the way in. From the environment (`discover.py`, and each platform's `allocation`)
comes an `Allocation`; `pool.py` keeps its cores and GPUs in bit masks (`node_types.py`); `ledger_books.py` and
`ledger.py` do so for many processes at once. The names are loaded when they are first used, for the host lists
alone serve others too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy_names import lazy_names

if TYPE_CHECKING:
    from .allocation import Allocation as Allocation
    from .node import Assignment as Assignment
    from .node import Hardware as Hardware
    from .node import Holder as Holder
    from .node import Node as Node
    from .nodes import NodeResources as NodeResources

_WHERE = {
    "Allocation": ".allocation",
    "Assignment": ".node",
    "Hardware": ".node",
    "Holder": ".node",
    "Node": ".node",
    "NodeResources": ".nodes",
}
__all__ = list(_WHERE)
__getattr__ = lazy_names(__name__, _WHERE)
