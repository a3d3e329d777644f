"""Parsl over our platforms: providers, launchers and configurations. The only folder that imports Parsl.

Names are loaded when they are first used, so that importing this package imports no Parsl either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy_names import lazy_names

if TYPE_CHECKING:
    from .config import parsl_config as parsl_config
    from .error_handlers import consecutive_failures as consecutive_failures
    from .launcher import MPIRunLauncher as MPIRunLauncher
    from .provider import BlockProvider as BlockProvider
    from .registry import provider_class as provider_class
    from .registry import register as register

_WHERE = {
    "BlockProvider": ".provider",
    "MPIRunLauncher": ".launcher",
    "consecutive_failures": ".error_handlers",
    "parsl_config": ".config",
    "provider_class": ".registry",
    "register": ".registry",
}
__all__ = [*_WHERE]
__getattr__ = lazy_names(__name__, _WHERE)
