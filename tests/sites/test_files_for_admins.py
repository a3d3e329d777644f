"""What admins read and copy: the shipped files' first line, which points editors to the schema, and the examples."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest

from psij_parsl import sites
from psij_parsl.cli.command import Group
from psij_parsl.cli.commands import COMMANDS
from psij_parsl.cli.site_checks import faults
from psij_parsl.sites.generation.site_text import SCHEMA_LINE
from psij_parsl.sites.layers import PACKAGE
from psij_parsl.sites.models.site_model import SiteModel
from psij_parsl.sites.models.tables import SettingsTable, Table

ROOT = Path(__file__).resolve().parents[2]
SITES_PAGE = (ROOT / "docs" / "how-to" / "sites.md").read_text()
FILES = (*sorted(PACKAGE.glob("*.toml")), *sorted((ROOT / "examples").rglob("*.toml")))


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.name != "pyproject.toml"], ids=lambda file: file.stem
)
def test_a_first_line_points_editors_to_the_schema(file: Path) -> None:
    assert file.read_text().splitlines()[0] == SCHEMA_LINE


def test_the_schema_is_where_that_line_says() -> None:
    place = SCHEMA_LINE.partition("/main/")[2]
    assert (ROOT / place).samefile(Path(sites.__file__).parent / "schema.json")


# ---- the pages -------------------------------------------------------------------------------------------------


def tables_of(model: type[Table]) -> Iterator[type[Table]]:
    """A model, and those of the tables in it."""
    yield model
    for field in model.model_fields.values():
        for part in parts_of(field.annotation):
            yield from tables_of(part)


def parts_of(annotation: Any) -> Iterator[type[Table]]:
    """The models in an annotation such as `Mapping[str, NodeModel] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        yield annotation
    for part in get_args(annotation):
        yield from parts_of(part)


TABLES = list(dict.fromkeys(tables_of(SiteModel)))
KEYS = {name for table in TABLES for name in table.model_fields}


def test_the_reference_has_a_row_for_each_key_of_each_table() -> None:
    """In the order of the schema: the file, the settings that three tables share, and each table without those."""
    page = "\n".join(generator().TEXTS["site file"]())
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    rows = {section.partition("\n")[0]: re.findall(r"^\* - `(\w+)`$", section, re.MULTILINE) for section in sections}
    assert len(rows) == len(sections) == len(TABLES) + 1
    shared = [*SettingsTable.model_fields]
    assert sorted(rows.pop("Settings of jobs")) == sorted(shared)
    of_models = [sorted({*table.model_fields} - {*shared}) for table in TABLES]
    assert sorted(map(sorted, rows.values())) == sorted(of_models)
    for heading in rows:
        assert heading == "The file itself" or f"](#{anchor(heading)})" in page, heading


def generator() -> ModuleType:
    """What fills the pages where they say so."""
    path = ROOT / "docs" / "_ext" / "from_code.py"
    spec = importlib.util.spec_from_file_location("psij_docs_from_code", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_the_page_on_site_files_tells_of_each_key() -> None:
    tables = re.findall(r"^```toml\n(.*?)^```$", SITES_PAGE, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```$", "", SITES_PAGE, flags=re.MULTILINE | re.DOTALL)
    code = " ".join([*tables, *re.findall(r"`[^`]+`", prose)])
    assert not KEYS - set(re.findall(r"\w+", code))


def test_the_tables_on_the_page_on_site_files_are_in_order(tmp_path: Path) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```$", SITES_PAGE, re.MULTILINE | re.DOTALL)
    tables = [block for block in blocks if block.startswith("[")]
    assert len(tables) == 3
    file = tmp_path / "page.toml"
    file.write_text('platform = "slurm"\n' + "\n".join(tables))
    assert faults(sites.find(file=file)) == []


def test_the_page_on_site_files_lists_each_command_of_site() -> None:
    group = COMMANDS["site"]
    assert isinstance(group, Group)
    assert set(group.commands) == set(re.findall(r"^\| `site (\w+)\b", SITES_PAGE, re.MULTILINE))


def test_the_list_of_machines_is_that_of_the_shipped_files() -> None:
    listed = set(re.findall(r"^\* - `([\w-]+)`$", "\n".join(generator().TEXTS["sites"]()), re.MULTILINE))
    assert listed == {path.stem for path in PACKAGE.glob("*.toml")}


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md"])
def test_the_number_of_machines_is_that_of_the_files_with_queues(page: str) -> None:
    machines = [file for file in PACKAGE.glob("*.toml") if tomllib.loads(file.read_text()).get("queues")]
    assert re.findall(r"(\d+) machines come with", (ROOT / page).read_text()) == [str(len(machines))]
