"""Tests of the platforms; what several share is in `readings`, `real_manager` and `simulated_manager`."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.real_manager", f"{__name__}.simulated_manager")
