"""Parameters, their validators, and how managers write wall time and memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psij_parsl.errors import InvalidRequest, TemplateError
from psij_parsl.platforms.templates import formatters
from psij_parsl.platforms.templates.parameters import (
    Parameter,
    Validator,
    describe,
    duration,
    list_of,
    matching,
    memory,
    non_negative_int,
    one_of,
    positive_int,
    str2bool,
    wall_time,
    word,
)


@pytest.mark.parametrize("value", [True, "yes", "on", "1", "true", "TRUE", "Yes", 1])
def test_yes_in_every_spelling_is_true(value: Any) -> None:
    assert str2bool(value) is True


@pytest.mark.parametrize("value", [False, "no", "off", "0", "false", "False", "NO", 0])
def test_no_in_every_spelling_is_false(value: Any) -> None:
    assert str2bool(value) is False


@pytest.mark.parametrize("value", ["", "maybe", 2, 1.0, None, [], "truee"])
def test_what_is_neither_yes_nor_no_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="yes or no"):
        str2bool(value)


@pytest.mark.parametrize(("value", "number"), [(1, 1), ("12", 12), (" 3 ", 3), (4.0, 4)])
def test_a_positive_whole_number_passes(value: Any, number: int) -> None:
    assert positive_int(value) == number


@pytest.mark.parametrize("value", [0, -1, "0", 1.5, "1.5", True, None, "1_0", "٣", "", float("inf"), float("nan")])
def test_what_is_no_positive_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="above 0"):
        positive_int(value)


def test_zero_is_a_non_negative_number() -> None:
    assert non_negative_int("0") == 0
    with pytest.raises(ValueError, match="0 or more"):
        non_negative_int(-1)


@pytest.mark.parametrize(
    ("text", "megabytes"),
    [
        ("4G", 4096),
        ("512MB", 512),
        ("4GiB", 4096),
        ("1.5 GB", 1536),
        ("4096", 4096),
        (4096, 4096),
        ("1T", 1024**2),
        ("4g", 4096),
        ("100K", 1),
        ("1025k", 2),
        ("2048KiB", 2),
        (".5G", 512),
        (0.5, 1),
    ],
)
def test_memory_is_read_in_every_common_spelling(text: Any, megabytes: int) -> None:
    assert memory(text) == megabytes


@pytest.mark.parametrize("value", ["0", "-1G", "4X", "G", "", "4 4G", None, True, "1e3", "inf", float("nan")])
def test_what_is_no_memory_size_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="memory size"):
        memory(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        (90, 5400),
        ("1:30:00", 5400),
        ("90:00", 5400),
        ("1h30m", 5400),
        ("90s", 90),
        ("2-0", 172800),
        ("2d", 172800),
        ("1-12", 129600),
        ("1-12:30", 131400),
        ("1-12:30:15", 131415),
        ("1.5h", 5400),
        (0.5, 30),
        ("1:30", 90),
        ("1H", 3600),
        ("0.1s", 1),
        (timedelta(hours=1), 3600),
        ("100:00:00", 360000),
    ],
)
def test_a_duration_is_read_as_slurm_reads_it(text: Any, seconds: int) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "0",
        0,
        -5,
        "-5",
        "",
        "1:90:00",
        "1:00:90",
        "1-24",
        "1-0:60",
        "1:2:3:4",
        "soon",
        "0:00",
        None,
        True,
        "m",
        "1h 30m",
        timedelta(0),
        timedelta(-1),
        float("nan"),
        float("inf"),
        "1-",
        ":30",
    ],
)
def test_what_is_no_duration_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"duration|longer"):
        duration(value)


def test_wall_time_is_whole_minutes_rounded_up() -> None:
    assert [wall_time(value) for value in ("1", "1:30", "61s", "1s", "2d")] == [1, 2, 2, 1, 2880]


@pytest.mark.parametrize("value", ["debug", "gpu_a100", "a-b.c:d@e%f,g/h+i=j", "1abc", 42])
def test_a_plain_word_passes(value: Any) -> None:
    assert word(value) == str(value)


@pytest.mark.parametrize(
    "value", ["", "-A", "a b", "a'b", 'a"b', "a\\b", "a\n", "a#b", "a;b", "é", "$x", "a\u2028", "`"]
)
def test_what_is_no_plain_word_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="must"):
        word(value)


def test_a_list_may_be_written_with_commas() -> None:
    numbers = list_of(positive_int)
    assert numbers("1, 2,3") == numbers([1, "2", 3]) == (1, 2, 3)
    assert numbers("") == ()


def test_the_wrong_item_of_a_list_is_named() -> None:
    with pytest.raises(ValueError, match="'x'.*above 0"):
        list_of(positive_int)(["1", "x"])
    with pytest.raises(ValueError, match="list"):
        list_of(str)({"a": 1})


def test_one_of_and_matching_say_what_they_take() -> None:
    assert one_of("a", "b")("a") == "a"
    with pytest.raises(ValueError, match="one of a, b"):
        one_of("a", "b")("c")
    with pytest.raises(ValueError, match="a day of the week"):
        matching("Mon|Tue", "a day of the week")("Monday")


@pytest.mark.parametrize(
    ("validator", "text"),
    [
        (str2bool, "yes or no"),
        (str, "text"),
        (int, "a whole number"),
        (one_of("a", "b"), "one of a, b"),
        (list_of(word), "a list, each item a plain word"),
        (matching("x", "an x"), "an x"),
        (len, "len"),
    ],
)
def test_each_validator_can_be_described_to_people(validator: Validator, text: str) -> None:
    assert describe(validator) == text


def test_a_parameter_may_be_declared_as_a_dict() -> None:
    declared = {"name": "use_ssd", "validators": [str2bool], "default": True}
    assert Parameter.of(declared) == Parameter("use_ssd", True, [str2bool])


def test_an_unknown_key_of_a_declaration_is_refused_with_the_nearest() -> None:
    with pytest.raises(TemplateError, match=r"'validator'.*did you mean 'validators'"):
        Parameter.of({"name": "x", "validator": str2bool})


@pytest.mark.parametrize(
    "declared",
    [
        {"default": 1},
        {"name": "a b"},
        {"name": "x", "validators": str},
        "x",
        {"name": "x", "validators": ["str"]},
        {"name": 3},
    ],
)
def test_a_declaration_that_says_too_little_is_refused(declared: Any) -> None:
    with pytest.raises(TemplateError):
        Parameter.of(declared)


def test_validators_run_in_their_order() -> None:
    assert Parameter("x", None, [positive_int, lambda number: number * 60]).convert("2") == 120


def test_a_refusal_names_parameter_value_rule_and_help() -> None:
    parameter = Parameter("use_ssd", True, [str2bool], "node-local disk")
    with pytest.raises(InvalidRequest) as error:
        parameter.convert("perhaps")
    assert str(error.value) == (
        "use_ssd='perhaps' is refused: must be yes or no (node-local disk; the default is True)"
    )


def test_none_means_not_set_only_where_it_is_the_default() -> None:
    assert Parameter("x", None, [positive_int]).convert(None) is None
    with pytest.raises(InvalidRequest):
        Parameter("x", 1, [positive_int]).convert(None)


@pytest.mark.parametrize(
    ("filter", "value", "text"),
    [
        (formatters.hms, 90, "1:30:00"),
        (formatters.hms, 1500, "25:00:00"),
        (formatters.hms, 5, "0:05:00"),
        (formatters.dhms, 90, "01:30:00"),
        (formatters.dhms, 1530, "1-01:30:00"),
        (formatters.hm, 90, "1:30"),
        (formatters.minutes, 90, 90),
        (formatters.seconds, 90, 5400),
        (formatters.mb, 1025, 1025),
        (formatters.gb, 1025, 2),
        (formatters.gb, 1024, 1),
        (formatters.kb, 2, 2048),
        (formatters.in_bytes, 1, 1048576),
    ],
)
def test_each_manager_gets_time_and_memory_as_it_writes_them(filter: Any, value: int, text: Any) -> None:
    assert filter(value) == text


@given(st.integers(1, 10**6))
def test_what_the_time_formatters_write_is_read_back(minutes: int) -> None:
    assert wall_time(formatters.hms(minutes)) == wall_time(formatters.dhms(minutes)) == minutes


@pytest.mark.parametrize("value", [None, "90", 1.5, True, -1])
def test_a_formatter_takes_whole_numbers_only(value: Any) -> None:
    with pytest.raises(TypeError):
        formatters.hms(value)
