"""Help for the tests of platforms, ours and third parties'.

`PlatformContract` is the suite that every platform passes; it needs pytest, and nothing else here does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .contract import PlatformContract as PlatformContract


def __getattr__(name: str) -> Any:
    if name != "PlatformContract":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    parts = ("contract_arrays", "contract_ends", "contract_life", "contract_records", "contract_start")
    pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in parts))
    from .contract import PlatformContract

    return PlatformContract
