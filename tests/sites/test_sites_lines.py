"""The lines of a TOML document: every value has one, and it is the right one."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psij_parsl.sites.toml_positions import Key, lines


def paths(value: Any, key: Key = ()) -> Iterator[Key]:
    """The way to each value of a document, as `tomllib` sees it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, item in inner:
        yield (*key, part)
        yield from paths(item, (*key, part))


def test_each_kind_of_key_and_value_has_its_line() -> None:
    text = '''\
# [not.a.table]
plain = 1  # x = 2
"quoted.key" = "a # no comment"
'literal' = 'C:\\path'
dotted . "two words" . end = true
when = 1979-05-27 07:32:00Z
text = """
[not.a.table]
escaped \\""" x = 1
ends with two quotes"""""
raw = \'\'\'
y = 2\'\'\'
list = [  # a comment with ]
  1, [ 2, 3 ],

  { a = "}", b.c = [4] },
]

[ table . inner ]
x = 1

[[several]]
one = 1
[several.below]
two = 2
[[several]]
one = 3
[[several.below.deep]]
empty = {}
none = []
'''
    found = lines(text)
    assert set(found) == set(paths(tomllib.loads(text)))
    expected: dict[Key, int] = {
        ("plain",): 2,
        ("quoted.key",): 3,
        ("dotted", "two words", "end"): 5,
        ("when",): 6,
        ("text",): 7,
        ("raw",): 11,
        ("list",): 13,
        ("list", 0): 14,
        ("list", 1, 1): 14,
        ("list", 2, "b", "c", 0): 16,
        ("table",): 19,
        ("table", "inner", "x"): 20,
        ("several", 0): 22,
        ("several", 0, "below", "two"): 25,
        ("several", 1, "one"): 27,
        ("several", 1, "below", "deep", 0, "none"): 30,
    }
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    "text", ["", "\n", "# only a comment", "a=1", "a=1\r\nb=2\r\n", "a = '''''' # c", 'a=""', "[a]"]
)
def test_short_documents(text: str) -> None:
    found = lines(text)
    assert set(found) == set(paths(tomllib.loads(text)))
    assert found.get(("b",), 2) == 2


_names = st.sampled_from(["a", "b-1", '"c.d"', "'e f'", '"\\u0041"'])
_scalars = st.sampled_from(
    [
        "1",
        "-2.5e3",
        "true",
        "nan",
        "07:32:00",
        "2020-01-01 10:00:00",
        '"]}#\\""',
        "'[{'",
        '"""\n\\"x\n"""',
        "'''\n#'''",
    ]
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[\n" + ", # [\n".join([*items, ""]) + "]")
        | st.dictionaries(_names, inner, max_size=2).map(
            lambda table: "{" + ", ".join(f"{name} = {value}" for name, value in table.items()) + "}"
        )
    ),
    max_leaves=6,
)
_lines = st.tuples(st.lists(_names, min_size=1, max_size=3).map(" . ".join), _values).map(" = ".join)
_headers = st.lists(_names, min_size=1, max_size=2).map(".".join).map("[{}]".format)
_arrays = st.lists(_names, min_size=1, max_size=2).map(".".join).map("[[ {} ]]".format)


@given(st.lists(_lines | _headers | _arrays, max_size=12))
def test_every_value_that_tomllib_sees_has_a_line(parts: list[str]) -> None:
    document: list[str] = []
    for part in parts:  # keep what is still a valid document
        try:
            tomllib.loads("\n".join([*document, part]))
        except tomllib.TOMLDecodeError:
            continue
        document.append(part)
    text = "\n".join(document)
    found = lines(text)
    assert set(found) == set(paths(tomllib.loads(text)))
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())
