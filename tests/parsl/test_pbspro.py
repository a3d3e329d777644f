"""Blocks on a simulated PBS that really runs them: what Parsl's provider for it gets wrong, and a workflow over nodes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.errors import Rejected
from psij_parsl.testing.tools import PATIENCE_S, comes_true
from tests.parsl.helpers import PARSL_IS_UNTIDY, all_ended, apps, config, ended, loaded
from tests.simulated.server import Simulated

pytestmark = [*PARSL_IS_UNTIDY, pytest.mark.slow]


@pytest.fixture
def provider(pbs: Simulated, tmp_path: Path) -> Iterator[Any]:
    from psij_parsl.providers import PBSProProvider

    made = PBSProProvider(max_blocks=20, cores_per_node=1)
    made.script_dir = str(tmp_path / "run dir" / "submit_scripts")
    made.blocks.executor.snapshot.interval_s = 0.2
    yield made
    pbs.control(server="up", spoil={}, truncate=0)
    made.cancel(list(made.blocks.records))


def state(provider: Any, job_id: str) -> str:
    return str(provider.status([job_id])[0].state.name)


def running(provider: Any, text: str = "sleep 300") -> str:
    job_id = provider.submit(text, 1, "parsl.htex.block-0")
    comes_true(lambda: state(provider, job_id) == "RUNNING")
    return str(job_id)


def test_b10_a_block_that_was_deleted_or_killed_is_no_completed_one(provider: Any, pbs: Simulated) -> None:
    deleted = running(provider)
    pbs.run("qdel", provider.blocks.executor.journal.get(deleted).native)
    assert ended(provider, deleted).state.name == "CANCELLED"
    killed = ended(provider, provider.submit("kill -9 $PPID $$", 1))
    assert killed.state.name == "FAILED"
    assert "SIGKILL" in killed.message


def test_b10_b12_rubbish_and_silence_change_no_state_and_raise_nothing(provider: Any, pbs: Simulated) -> None:
    job_id = running(provider)
    native = provider.blocks.executor.journal.get(job_id).native
    for trouble in ({"spoil": {native: '"x": 007'}}, {"truncate": 200}, {"server": "down"}):
        pbs.control(**trouble)
        asked, states = len(pbs.calls("qstat")), set()
        while len(pbs.calls("qstat")) == asked:
            provider.blocks.poll([provider.blocks.records[job_id]], urgent=True)
            states.add(state(provider, job_id))
        assert states == {"RUNNING"}
        pbs.control(server="up", spoil={}, truncate=0)
    assert state(provider, job_id) == "RUNNING"


def test_b11_a_block_whose_id_is_how_anothers_begins_is_not_taken_for_it(provider: Any, pbs: Simulated) -> None:
    first = running(provider)
    while len(pbs.jobs()) < 11:  # 1.head, and 10.head and 11.head
        last = provider.submit("exit 3", 1)
    natives = [provider.blocks.executor.journal.get(job_id).native for job_id in (first, last)]
    assert natives[1].startswith(natives[0].partition(".")[0])
    assert ended(provider, last).exit_code == 3
    assert state(provider, first) == "RUNNING"


def test_b13_a_refused_block_tells_pbs_own_words(pbs: Simulated, tmp_path: Path) -> None:
    from psij_parsl.providers import PBSProProvider

    provider = PBSProProvider(queue="nope", cores_per_node=1)
    provider.script_dir = str(tmp_path)
    with pytest.raises(Rejected, match=r"Unknown queue.*choose another --queue"):
        provider.submit("true", 1)
    assert not pbs.jobs()


def test_b23_b27_a_workflow_over_nodes_has_each_once_and_knows_its_share(
    pbs: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script stands for mpiexec: it starts the pool once for each host that it is told, on this one."""
    from psij_parsl.providers import PBSProProvider

    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "mpiexec"
    fake.write_text(
        '#!/bin/bash\nif [ "$1" = --version ]; then echo HYDRA build details; exit; fi\nfor word; do [ "$last" != -hosts ] || hosts=$word; last=$word; done\n'
        'while [ "$1" != bash ]; do shift; done\n'
        'for host in ${hosts//,/ }; do HOST=$host "$@" & done\nwait\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    provider = PBSProProvider(nodes_per_block=2, cpus_per_node=4, launcher="mpich", walltime="00:10:00")
    with loaded(config(provider, tmp_path / "run dir", max_idletime=PATIENCE_S)) as kernel:
        where, nap = apps()
        comes_true(lambda: len(kernel.executors["htex"].connected_managers()) == 2, what="two pools")
        found: dict[str, dict[str, str]] = {}

        def both() -> bool:
            for told in [where(number) for number in range(4)]:
                env = told.result(PATIENCE_S)["env"]
                found[env["HOST"]] = env
            return len(found) == 2

        comes_true(both)
        assert {*found} == {"node01", "node02"}
        for env in found.values():
            assert env["PARSL_CORES"] == "4"
            assert Path(env["PBS_NODEFILE"]).read_text().split() == ["node01", "node02"]
        assert nap(0).result(PATIENCE_S)
    comes_true(lambda: all_ended(provider))
    assert {job["state"] for job in pbs.jobs().values()} == {"F"}
