"""The contract suite: tests that every platform passes, with an executor whose manager really runs jobs.

    from psij_parsl import BatchSchedulerExecutor
    from psij_parsl.testing import PlatformContract


    class TestMine(PlatformContract):
        @pytest.fixture
        def executor(self):
            return BatchSchedulerExecutor("mine", poll_s=0.5)

What the platform cannot be asked for (arrays, holding, following another job), and what the machine has not (a second
node, GPUs), is skipped, with the word for it; a test of what is named in `must_have` is not.
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
    elements the largest array has; `must_have`, what must be there: "nodes" (two), "memory", "gpus".
    """

    @pytest.fixture(autouse=True)
    def own_state(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each test has a state directory of its own."""
        monkeypatch.setenv("PSIJ_PARSL_HOME", str(tmp_path_factory.mktemp("psij") / "state"))
