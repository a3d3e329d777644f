"""Parsl's own provider and scaling tests, with our LocalProvider where they import Parsl's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_parsls_own_provider_and_scaling_tests_pass_with_our_provider(tmp_path: Path) -> None:
    parsl_tests = pytest.importorskip("parsl.tests")
    folder = Path(parsl_tests.__file__).parent
    environment = {
        **os.environ,
        "PSIJ_LOCAL_CORES_TOTAL": "16",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.parsl.adapter",
        "-c",
        os.devnull,
        f"--rootdir={folder}",
        "-o",
        f"cache_dir={tmp_path}/cache",
        "--config",
        "local",
        "-W",
        "ignore",
        str(folder / "test_scaling"),
        str(folder / "test_providers" / "test_local_provider.py"),
    ]
    for again in ([], ["--last-failed"]):  # their deadlines are those of a machine that has nothing else to do
        answer = subprocess.run(
            [*words, *again], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        if answer.returncode == 0:
            break
    assert answer.returncode == 0, answer.stdout[-8000:] + answer.stderr[-2000:]
    assert " passed" in answer.stdout
    print(answer.stdout.splitlines()[-1])
