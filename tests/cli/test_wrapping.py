"""Tables on a terminal: what explains something is never cut."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from psij_parsl.cli.output import Column
from psij_parsl.cli.wrapping import wrapped, yielding
from tests.cli.helpers import COMMAND
from tests.cli.terminals import on_terminal

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_errors_of_a_site_file_are_whole_on_any_terminal(here: Path, columns: int) -> None:
    (here / "my.toml").write_text('platform = "slurm"\n[queues.gpu]\nmax_time = "long"\nmin_nodes = "none at all"\n')
    lines = on_terminal(columns, "site", "check", "./my.toml")
    assert max(map(len, lines)) <= columns
    begins = lines[0].index("ERRORS")
    said = "".join(line[begins:] for line in lines[1:]).replace(" ", "")
    plain = subprocess.run([*COMMAND, "site", "check", "./my.toml"], capture_output=True, text=True, check=False)
    assert said == "".join(line[begins:] for line in plain.stdout.splitlines()[1:]).replace(" ", "")
    assert "…" not in said


def test_the_origins_of_a_site_are_there_on_a_narrow_terminal() -> None:
    lines = on_terminal(80, "site", "show", "frontier", "--origin")
    assert lines[0].split() == ["SETTING", "VALUE", "FROM", "SOURCE"]
    assert max(map(len, lines)) <= 120  # names of settings do not wrap


def test_columns_share_what_is_left() -> None:
    columns = [["NAME", "a", "b"], ["TEXT", "word " * 8, "x"], ["MORE", "y", "other " * 20]]
    kinds = [Column("", ""), Column("", "", wraps=True), Column("", "", wraps=True)]
    fitted = wrapped(columns, kinds, 60)
    assert [max(map(len, texts)) for texts in fitted] == [4, 24, 23]
    assert " ".join(fitted[1][1:]).split() == ["word"] * 8 + ["x"]
    assert wrapped(columns, kinds, 1000) == columns
    kinds[1] = Column("", "", wraps=True, most=16)
    assert [max(map(len, texts)) for texts in wrapped(columns, kinds, 60)] == [4, 14, 35]
    assert wrapped(columns, kinds, 1000) == columns


def test_columns_of_less_importance_are_left_out_first_and_only_where_they_have_no_room() -> None:
    columns = [["ID", "x" * 10], ["NATIVE", "y" * 6], ["WAIT", "5s"], ["WHY", "word " * 20]]
    kinds = [Column("", ""), Column("", "", yields=2), Column("", "", yields=1), Column("", "", wraps=True)]
    for width, left_out in {200: set(), 50: set(), 49: {1}, 42: {1}, 41: {1, 2}, 5: {1, 2}}.items():
        assert yielding(columns, kinds, width) == left_out
    assert yielding([*columns[:3], ["WHY", "short"]], kinds, 30) == {1}
    assert yielding([*columns[:3], ["WHY", "short"]], kinds, 31) == set()
