"""What README and the docs show is run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


def blocks(language: str) -> list[pytest.param]:  # type: ignore[valid-type]  # what pytest.param returns has no name
    found = []
    for page in PAGES:
        for number, text in enumerate(re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)):
            found.append(pytest.param(text, id=f"{page.name}-{number}"))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("text", blocks("python"))
def test_python_in_the_docs_runs(text: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(text)
    ran = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr


def commands(page: Path) -> list[str]:
    """The shell lines of a page, but for the two that set things up, which CI and the packaging test run."""
    lines = [
        line
        for text in re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.M | re.S)
        for line in text.splitlines()
    ]
    return [line for line in lines if "venv" not in line and not line.startswith("tests/run")]


#: What is another one each time: ids of ours, lengths of time, dates and times.
_VARIES = re.compile(
    r"(?<![0-9a-z])(?=[a-z]*\d)[0-9a-z]{10}(?![0-9a-z])|\b\d+s\b|(?:\d{4}-)?\d\d-\d\d|\d\d:\d\d(?::\d\d)?"
)


def printed(page: Path) -> list[str]:
    """Patterns for what a page says that its commands print: in a `text` block that follows one of `sh` at once."""
    shown = re.findall(r"^```sh\n(?:(?!```)[^\n]*\n)*```\n```text\n(.*?)^```$", page.read_text(), re.M | re.S)
    lines = [line.strip() for text in shown for line in text.splitlines()]
    return [r"\S+".join(_spaced(part) for part in _VARIES.split(line)) for line in lines]


def _spaced(text: str) -> str:
    """The width of columns is as that of the longest value."""
    return re.sub(r"(\\ )+", r"\\s+", re.escape(text))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_and_print_what_it_says(page: Path, tmp_path: Path) -> None:
    """All of a page in one shell session."""
    lines = commands(page)
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120
    )
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said
    missing = [line for line in printed(page) if not re.search(line, said)]
    assert not missing, said


def test_every_page_is_linked_and_every_link_leads_somewhere() -> None:
    linked: set[Path] = set()
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                path = (page.parent / target).resolve()
                assert path.exists(), f"{page.name} links to {target}"
                linked.add(path)
    assert {*PAGES} - linked <= {ROOT / "README.md"}


def test_every_command_is_on_some_page() -> None:
    from psij_parsl.cli.commands import COMMANDS, HIDDEN

    pages = "".join(page.read_text() for page in PAGES)
    missing = [name for name in COMMANDS if name not in HIDDEN and not re.search(rf"`(psij-run )?{name}\b", pages)]
    assert not missing
