"""For each shipped site, the option lines of a typical job of each of its queues.

`GOLDEN=write pytest tests/sites/test_golden_sites.py` writes them anew, to `tests/golden/sites/`: hold them against the
machine's own documentation.
"""

from __future__ import annotations

import os
import re
import tomllib
from datetime import date
from pathlib import Path

import pytest

from psij_parsl.api import Machine
from psij_parsl.cli.bash_syntax import bash_errors
from tests.sites.typical_jobs import CONFIGS, MACHINES, completed_job, machine, option_lines, typical_jobs

__all__ = ["machine"]

GOLDEN = Path(__file__).parents[1] / "golden" / "sites"
_DATED = re.compile(r"\b20\d\d\b|undated")


@pytest.mark.parametrize("machine", MACHINES, indirect=True)
def test_typical_jobs_have_the_golden_option_lines(machine: Machine) -> None:
    parts, executor = [], machine.executor()
    for typical in typical_jobs(machine):
        job, findings = completed_job(machine, typical.ask)
        assert not findings, (typical.ask, *map(str, findings))
        script = executor.render(job)
        assert bash_errors([script]) == {}
        parts.append("\n".join([f"psij-run submit --site {machine.name} {typical.ask}", *option_lines(script), ""]))
    text = "\n".join(parts)
    golden = GOLDEN / f"{machine.name}.txt"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def test_each_golden_file_is_a_site() -> None:
    assert sorted(path.stem for path in GOLDEN.iterdir()) == sorted(MACHINES)


@pytest.mark.parametrize("site", MACHINES)
def test_each_file_says_where_its_values_come_from(site: str) -> None:
    """The page, the day on which somebody held the file against its sources, and a source of each table."""
    lines = (CONFIGS / f"{site}.toml").read_text().splitlines()
    content = tomllib.loads("\n".join(lines))
    assert content["url"].startswith("http")
    assert date.fromisoformat(content["verified"]) >= date(2026, 1, 1)
    sources = content["sources"]
    tables = {"nodes": content.get("nodes", {}), "queues": content["queues"]}
    if "node" in content:
        tables[""] = {"node": content["node"]}
    for kind, tables_of_kind in tables.items():
        for name, table in tables_of_kind.items():
            head = next(line for line in lines if line.startswith(f"[{kind}.{name}]".replace("[.", "[")))
            assert "source" in table or "  # " in head, head
    named = set(re.findall(r'^source = "([\w-]+)"', "\n".join(lines), re.MULTILINE))
    assert named <= set(sources)
    told = " ".join(line.rpartition("# ")[2] for line in lines if "# " in line)
    for name, text in sources.items():
        assert name in named or re.search(rf"\b{name}\b", told), f"nothing comes from {name}"
        assert _DATED.search(text), f"{name}: no date, and not told undated"
