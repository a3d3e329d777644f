"""What README and the docs show is run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def blocks(language: str) -> list[pytest.param]:  # type: ignore[valid-type]  # what pytest.param returns has no name
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for number, text in enumerate(re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)):
            found.append(pytest.param(text, id=f"{page.name}-{number}"))
    return found


@pytest.mark.parametrize("text", blocks("python"))
def test_python_in_the_docs_runs(text: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(text)
    ran = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr


def commands() -> list[str]:
    return [line for text in (block.values[0] for block in blocks("sh")) for line in text.splitlines()]


def test_the_commands_in_the_docs_run(tmp_path: Path) -> None:
    """All of them in one shell session, but for the two that set things up, which CI and the packaging test run."""
    lines = [line for line in commands() if "venv" not in line and not line.startswith("tests/run")]
    assert len(lines) >= 4
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_page_is_linked_and_every_link_leads_somewhere() -> None:
    pages = {ROOT / "README.md", *(ROOT / "docs").glob("*.md")}
    linked: set[Path] = set()
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                path = (page.parent / target).resolve()
                assert path.exists(), f"{page.name} links to {target}"
                linked.add(path)
    assert pages - linked <= {ROOT / "README.md"}


def test_every_flag_of_a_job_is_on_the_commands_page() -> None:
    from psij_parsl.cli.job_flags import JOB_FLAGS

    page = (ROOT / "docs" / "command.md").read_text()
    missing = [spelling for flag in JOB_FLAGS for spelling in flag.spellings if f"`{spelling}`" not in page]
    assert not missing


def test_every_command_is_on_some_page() -> None:
    from psij_parsl.cli.commands import COMMANDS, HIDDEN

    pages = "".join(page.read_text() for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    missing = [name for name in COMMANDS if name not in HIDDEN and not re.search(rf"`(psij-run )?{name}\b", pages)]
    assert not missing
