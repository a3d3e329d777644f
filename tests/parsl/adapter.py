"""A pytest plug-in for Parsl's own tests: what they import as Parsl's LocalProvider is ours.

    pytest -p tests.parsl.adapter --pyargs parsl.tests.test_scaling --config local

The one setting that they need: our embedded manager lets jobs queue for the machine's cores, where Parsl's
LocalProvider starts as many blocks as it is told. So $PSIJ_LOCAL_CORES_TOTAL must be at least their max_blocks.
"""

from __future__ import annotations

import parsl.providers
import parsl.tests.conftest

from psij_parsl.providers import LocalProvider

parsl.providers.LocalProvider = LocalProvider

if hasattr(parsl.tests.conftest, "pytest_ignore_collect"):  # in a form that pytest 9 took away; for other folders
    del parsl.tests.conftest.pytest_ignore_collect
