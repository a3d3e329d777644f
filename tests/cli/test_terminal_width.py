"""Tables that explain something at 80 columns: texts go on in the next lines, and nothing is cut."""

from __future__ import annotations

import pytest

from psij_parsl.cli.wrapping import display_width
from tests.cli.terminals import on_terminal


@pytest.mark.parametrize(
    "words",
    [
        "doctor",
        "platform list",
        "platform show slurm",
        "platform options slurm",
        "site list",
        "site show perlmutter",
        "site path",
        "site queues perlmutter",
        "site match perlmutter -N 2",
        "resources show",
    ],
)
def test_no_text_is_cut_or_longer_than_the_terminal_is_wide(words: str) -> None:
    lines = on_terminal(80, *words.split())
    assert len(lines) > 1
    assert [line for line in lines if line.endswith("…")] == []
    assert [line for line in lines if display_width(line) > 80 and len(line.split()) > 2] == []
