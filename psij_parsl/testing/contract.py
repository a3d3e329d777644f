"""The contract suite: tests that every platform passes, with an executor whose manager really runs jobs.

    from psij_parsl import BatchSchedulerExecutor
    from psij_parsl.testing import PlatformContract


    class TestMine(PlatformContract):
        @pytest.fixture
        def executor(self):
            return BatchSchedulerExecutor("mine", poll_s=0.5)

A test is skipped, with the reason, if the platform lacks what it needs (arrays, hold, dependencies), or the machine
does (a second node, GPUs). A test of what `must_have` names is never skipped.
"""

from __future__ import annotations

import pytest

from .contract_arrays import Arrays
from .contract_ends import Ends
from .contract_life import Life
from .contract_records import Records
from .contract_start import Start


class PlatformContract(Ends, Start, Life, Arrays, Records):
    """The suite; a subclass gives the fixture `executor`.

    A subclass may set `samples`, a value for each parameter whose rule asks for a certain form; `array_size`, how many
    elements the largest array has; `script_options`, the option lines without which the manager takes no script at
    all; `must_have`, what must be there: "nodes" (two), "memory", "gpus".
    """

    @pytest.fixture(autouse=True)
    def own_state(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each test has a state directory of its own."""
        monkeypatch.setenv("PSIJ_PARSL_HOME", str(tmp_path_factory.mktemp("psij") / "state"))
