"""Both real `module` commands, as the tests find them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clusters.modules import ModuleSystem

pytestmark = pytest.mark.every_slurm


def test_each_module_command_loads_a_module_of_ours(module_command: ModuleSystem, tmp_path: Path) -> None:
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "1.0").write_text("#%Module1.0\nsetenv TOOL_HOME /opt/tool\n")
    text = f'. {module_command.init}; module use {tmp_path}; module load tool/1.0; echo "$TOOL_HOME $MODULESHOME"'
    done = subprocess.run(
        ["bash", "--norc", "-c", text],
        env={"PATH": "/usr/bin:/bin"},  # no developer's own module command
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert (done.stdout.split(), done.stderr) == (["/opt/tool", str(module_command.home)], "")
