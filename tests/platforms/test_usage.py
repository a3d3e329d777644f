"""Figures of what jobs have used: percents, sums over arrays, what is not known, the managers' texts."""

from __future__ import annotations

from typing import Any

import pytest

from psij_parsl.platforms.usage import MemoryOf, Usage, clock_seconds, held, size_bytes, total

MIB = 1024**2


def test_percents_are_of_what_was_held_and_of_what_was_asked_for() -> None:
    usage = Usage(92.0, 380.0, 4, 812 * MIB, 1024 * MIB)
    assert usage.cpu_percent == pytest.approx(24.2, abs=0.1)
    assert usage.memory_percent == pytest.approx(79.3, abs=0.1)
    assert Usage().cpu_percent is None
    assert Usage(1.0).cpu_percent is None
    assert Usage(memory_bytes=1).memory_percent is None


def test_an_array_is_the_sum_of_its_elements_and_no_mean_of_percents() -> None:
    long_and_idle, short_and_busy = Usage(10.0, 1000.0, 1), Usage(9.0, 10.0, 1)
    both = total([long_and_idle, short_and_busy, Usage()])
    assert (both.cpu_s, both.core_s, both.elements) == (19.0, 1010.0, 2)
    assert both.cpu_percent == pytest.approx(1.9, abs=0.1)


def test_an_element_of_which_only_one_figure_is_known_is_in_neither_sum() -> None:
    found = total([Usage(10.0, 20.0), Usage(None, 1000.0), Usage(50.0, None)])
    assert (found.cpu_s, found.core_s, found.elements) == (10.0, 20.0, 1)


def test_the_memory_of_an_array_is_that_of_the_element_that_used_the_greatest_part() -> None:
    small, large = Usage(memory_bytes=90, memory_asked_bytes=100), Usage(memory_bytes=200, memory_asked_bytes=1000)
    assert total([large, small]).memory_bytes == 90


def test_nothing_known_of_any_element_is_nothing_known() -> None:
    assert not total([Usage(), Usage()]).known
    assert not total([]).known


def test_what_one_answer_lacks_another_fills_in_and_what_is_known_stays() -> None:
    sampled = Usage(cpu_s=3.0, memory_bytes=5, memory_of=MemoryOf.NODE)
    accounted = Usage(core_s=20.0, cores=2, memory_asked_bytes=9, memory_of=MemoryOf.NODE, at_least="x")
    assert sampled.or_else(accounted) == Usage(3.0, 20.0, 2, 5, 9, MemoryOf.NODE)
    of_first_node = Usage(1.0, memory_bytes=7, memory_of=MemoryOf.FIRST_NODE, at_least="first node only")
    assert Usage().or_else(of_first_node) == of_first_node
    assert sampled.or_else(of_first_node) == sampled
    assert Usage(memory_bytes=5).or_else(accounted).memory_asked_bytes is None, (
        "what was asked of a node is not of a job"
    )


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(1.5, 3.0, 2, 10, 20, MemoryOf.NODE, "first node only", 3),
        Usage(memory_bytes=4, memory_of=MemoryOf.PROCESS),
    ],
)
def test_figures_come_back_from_the_journal(usage: Usage) -> None:
    assert Usage.from_plain(usage.to_plain()) == usage


@pytest.mark.parametrize(
    "data",
    [{"cpu_s": "1"}, {"cpu_s": -1}, {"cpu_s": float("nan")}, {"cores": True}, {"memory_of": "X"}, {"memory_of": []}],
)
def test_damaged_figures_are_no_figures(data: dict[str, Any]) -> None:
    assert Usage.from_plain(data) is None


def test_figures_of_a_later_version_are_passed_over() -> None:
    assert Usage.from_plain({"cpu_s": 2.0, "joules": 5}) == Usage(2.0)


@pytest.mark.parametrize(("cores", "seconds"), [(None, 5.0), (4, None), (0, 5.0), (4, 0.0), (4, -1.0)])
def test_who_held_nothing_or_for_no_time_held_nothing_that_is_known(
    cores: float | None, seconds: float | None
) -> None:
    assert held(cores, seconds) == Usage()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:00:00", 0),
        ("00:03.242", 3.242),
        ("01:02:03", 3723),
        ("1-02:03:04", 93784),
        ("1:02:03:04", 93784),
        ("", None),
        ("5", None),
        ("a:b", None),
        ("INVALID", None),
        ("-1:00", None),
    ],
)
def test_clocks(text: str, seconds: float | None) -> None:
    assert clock_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "unit", "number"),
    [
        ("1024kb", 1, 1024**2),
        ("4.797KB", 1, 4912),
        ("1.5G", 1, 3 * 512 * MIB),
        ("2gb", 1, 2048 * MIB),
        ("0b", 1, 0),
        ("0.000B", 1, 0),
        ("512", MIB, 512 * MIB),
        ("674570240", 1, 674570240),
        ("", 1, None),
        ("-5M", 1, None),
        ("nan", 1, None),
        ("many", 1, None),
    ],
)
def test_sizes(text: str, unit: int, number: int | None) -> None:
    assert size_bytes(text, unit) == number
