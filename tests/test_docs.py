"""What README and the docs show is run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


def blocks(language: str) -> list[pytest.param]:  # type: ignore[valid-type]  # what pytest.param returns has no name
    found = []
    for page in PAGES:
        for number, text in enumerate(re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)):
            found.append(pytest.param(text, id=f"{page.name}-{number}"))
    return found


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


def expected(page: Path) -> list[str]:
    """What a page says that its commands print: the lines of each `text` block that follows one of `sh` at once.

    A dot line stands for lines left out. What differs from one time to the next is made a pattern.
    """
    shown = re.findall(r"^```sh\n(?:.*?)^```\n```text\n(.*?)^```$", page.read_text(), re.M | re.S)
    return [like(line) for text in shown for line in text.splitlines() if line not in ("", "...")]


def like(line: str) -> str:
    """A pattern for a line that was printed: ids, times, hosts and the width of columns may be others."""
    words = []
    for word in line.split():
        if re.fullmatch(r"[0-9a-z]{10}(_\d+)?\W?", word) and re.search(r"\d", word):
            words.append(r"[0-9a-z]{10}" + re.escape(word[10:]))
        elif re.fullmatch(r"\d+s|[\d:]{8}|\d{4}-\d\d-\d\d|\d+(_\d+)?|laptop", word):
            words.append(r"\S+")
        else:
            words.append(re.sub(r"[0-9a-z]*\d[0-9a-z]{3,}", "[0-9a-z]{10}", re.escape(word)))
    return r"\s+".join(words)


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
    missing = [line for line in expected(page) if not re.search(line, said)]
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


def test_every_flag_of_a_job_is_on_the_commands_page() -> None:
    from psij_parsl.cli.options import FLAGS

    page = (ROOT / "docs" / "reference" / "command.md").read_text()
    missing = [spelling for flag in FLAGS for spelling in flag.spellings if f"`{spelling}`" not in page]
    assert not missing


def test_every_command_is_on_some_page() -> None:
    from psij_parsl.cli.app import COMMANDS, HIDDEN

    pages = "".join(page.read_text() for page in PAGES)
    missing = [name for name in COMMANDS if name not in HIDDEN and not re.search(rf"`(psij-run )?{name}\b", pages)]
    assert not missing
