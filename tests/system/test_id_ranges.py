"""Numbers as short text, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psij_parsl.system.id_ranges import format_ranges, parse_ranges


@pytest.mark.parametrize(
    ("ids", "text"),
    [((), ""), ((5,), "5"), ((0, 1, 2, 3, 8), "0-3,8"), ((24, 25, 0, 1), "24-25,0-1"), ((3, 2, 1), "3,2,1")],
)
def test_neighbours_become_ranges_and_the_order_stays(ids: tuple[int, ...], text: str) -> None:
    assert format_ranges(ids) == text


@given(st.lists(st.integers(0, 50)))
def test_what_is_formatted_is_parsed_as_it_was(ids: list[int]) -> None:
    assert parse_ranges(format_ranges(ids)) == tuple(ids)


@pytest.mark.parametrize("text", ["x", "1-x", "1,,2", "-"])
def test_no_ranges_are_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parse_ranges(text)
