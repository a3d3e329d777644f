"""Launch lines: what is read without jinja2 comes out as jinja2 has it."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psij_parsl.errors import TemplateError
from psij_parsl.runs import argument_template as words
from psij_parsl.runs.mpirun import MODES, WORDS
from psij_parsl.runs.registry import launchers

NAMES = sorted(set(WORDS) - {"env_names"})
VALUES = st.fixed_dictionaries(
    {name: st.sampled_from(["", "n1,n2", 0, 1, 128, None, True, False]) for name in NAMES}
    | {"env_names": st.lists(st.sampled_from(["A", "B"]))}
)
LINES = [
    getattr(method, mode)
    for _, method in launchers()
    if isinstance(method, type)
    for mode in MODES
    if getattr(method, mode)
]
PIECES = st.recursive(
    st.sampled_from(
        ["-n", "{{ num_ranks }}", "{{ hosts }}", "{{ true }}", "}", "%}", "{", "{# x #}", "{{hosts}}", "\n"]
    )
    | st.text("abc ={}%", max_size=4),
    lambda inner: (
        st.builds(
            "{{% if {}{} %}}{}{}{{% endif %}}".format,
            st.sampled_from(["", "not "]),
            st.sampled_from(NAMES),
            inner,
            st.sampled_from(["", "{% else %}no", "{% else %}{{ name }}", "{% else %}{% else %}"]),
        )
        | st.lists(inner, max_size=3).map("".join)
    ),
)


def by_jinja(word: str, values: dict[str, Any]) -> str | None:
    try:
        return jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(word).render(values)
    except jinja2.TemplateError:
        return None


@given(word=PIECES, values=VALUES)
def test_a_word_is_what_jinja2_makes_of_it(word: str, values: dict[str, Any]) -> None:
    expected = by_jinja(word, values)
    if expected is None:
        with pytest.raises((TemplateError, jinja2.TemplateError)):
            words.used([word], "x")
            words.rendered([word], values)
    else:
        assert words.rendered([word], values) == ([expected] if expected else [])


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
@given(values=VALUES)
def test_so_are_the_lines_of_all_methods(line: tuple[str, ...], values: dict[str, Any]) -> None:
    plain = [word for word in line if "each(" not in word]
    assert words.rendered(plain, values) == [said for word in plain if (said := by_jinja(word, values))]


def test_each_gives_an_option_before_every_name() -> None:
    line = ["run", "{{ each('-x', env_names) }}", "{{ hosts }}"]
    assert words.rendered(line, {"env_names": ["A", "B"], "hosts": "n1"}) == ["run", "-x", "A", "-x", "B", "n1"]
    assert words.used(line) == {"env_names", "hosts"}
