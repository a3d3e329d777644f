"""What admins read and copy: the shipped files' first line, which points editors to the schema, and the examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from psij_parsl import sites
from psij_parsl.sites.layers import PACKAGE

ROOT = Path(__file__).resolve().parents[2]
#: Taplo's directive: https://taplo.tamasfe.dev/configuration/directives.html
SCHEMA_LINE = "#:schema https://raw.githubusercontent.com/psij-parsl/psij-parsl/main/psij_parsl/sites/schema.json"
FILES = (*sorted(PACKAGE.glob("*.toml")), *sorted((ROOT / "examples").rglob("*.toml")))


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.name != "pyproject.toml"], ids=lambda file: file.stem
)
def test_a_first_line_points_editors_to_the_schema(file: Path) -> None:
    assert file.read_text().splitlines()[0] == SCHEMA_LINE


def test_the_schema_is_where_that_line_says() -> None:
    place = SCHEMA_LINE.partition("/main/")[2]
    assert (ROOT / place).samefile(Path(sites.__file__).parent / "schema.json")
