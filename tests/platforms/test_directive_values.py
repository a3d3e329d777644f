"""Readers of the values of options, and how a table goes through lines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from psij_parsl.platforms.directives import (
    DirectiveTable,
    NoEquivalent,
    count,
    dropped,
    file_name,
    means,
    megabytes,
    minutes,
    moment,
    needless,
    next_time,
    only_here,
    refused,
    switch,
    variables,
)
from psij_parsl.platforms.directives.passed_on import options_passed_on

BY_MINUTES, BY_SECONDS = minutes(bare=60, pair=(60, 1)), minutes(bare=1, pair=(3600, 60))


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (BY_MINUTES, "90", 90),
        (BY_MINUTES, "2:30", 3),
        (BY_MINUTES, "1:02:03", 63),
        (BY_MINUTES, "2-", None),
        (BY_MINUTES, "2-1:30", 2970),
        (BY_MINUTES, "unlimited", None),
        (BY_SECONDS, "90", 2),
        (BY_SECONDS, "2:30", 150),
        (BY_SECONDS, "1", 1),
        (megabytes(bare="M"), "1500", 1500),
        (megabytes(bare="M"), "1.5g", 1536),
        (megabytes(bare="B"), "1048577", 2),
        (megabytes(bare="K"), "4GiB", 4096),
        (megabytes(bare="M", all_at_0=True), "0", 0),
        (variables, "A=1,B,C=x=y", {"A": "1", "B": None, "C": "x=y"}),
        (
            file_name({"%%": "%", r"%(\d+)a": r"{index:\1}", "%j": "{id}"}),
            "a{b}-%j-%3a-100%%",
            "a{{b}}-{id}-{index:3}-100%",
        ),
        (moment, "1530", "15:30:00"),
        (moment, "0905.07", "09:05:07"),
        (moment, "203012241800", "2030-12-24T18:00:00"),
        (moment, "3012241800", "2030-12-24T18:00:00"),
    ],
)
def test_a_value_is_read(read: Callable[[str], Any], text: str, value: Any) -> None:
    if value is None and text == "2-":
        with pytest.raises(ValueError, match="length of time"):
            read(text)
    else:
        assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (count, "0"),
        (count, "-1"),
        (count, "4.5"),
        (BY_MINUTES, "soon"),
        (BY_MINUTES, ""),
        (megabytes(bare="M"), "lots"),
        (megabytes(bare="M"), "0"),
        (megabytes(bare="M"), "4X"),
        (moment, "25"),
        (moment, "2561"),
        (moment, "203002300000"),
    ],
)
def test_a_value_that_is_wrong_is_said_to_be(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match="must be|is no date|in range"):
        read(text)


def test_what_a_date_does_not_say_is_that_of_the_next_such_time() -> None:
    now = datetime.now()
    for later in (timedelta(hours=3), timedelta(days=40)):
        wanted = (now + later).replace(second=0, microsecond=0)
        assert next_time(None, wanted.month, wanted.day, wanted.hour, wanted.minute) == wanted.isoformat()
    passed = now - timedelta(days=40)
    assert next_time(None, passed.month, passed.day, 0, 0) > now.isoformat()
    assert next_time(None, None, 31, 0, 0) > now.isoformat()


def halves(words: dict[str, Any]) -> dict[str, Any]:
    if words.get("_pair", 0) % 2:
        raise NoEquivalent("is odd", "_pair")
    return {name: value for name, value in words.items() if name[0] != "_"} | {
        "num_nodes": words.get("_pair", 0) // 2
    }


TABLE = DirectiveTable(
    command="toy",
    prefix=r"#TOY(?=\s)",
    written="#TOY",
    one_dash=True,
    abbreviated=True,
    any_case=True,
    parts={"-l": lambda text: [tuple((*pair.split("="), "")[:2]) for pair in text.split(",")]},  # type: ignore[misc]
    settle=halves,
    options=(
        means("-n --name", "name"),
        means("-pe", "_pair", lambda text: int(text.split()[1]), arguments=2),
        means("-l time", "wall_time_min", minutes(bare=60, pair=(60, 1))),
        only_here("-l", parameter="resources"),
        switch("-h --hold", "hold"),
        switch("-x", "exclusive"),
        means("--often", "licenses", lambda text: (text,)),
        dropped("--nice", optional=True),
        needless("--quiet", "it is"),
        refused("--quirk", "do without"),
        means("+queue my.queue queue", "queue"),
        only_here("+* my.*", parameter="attributes"),
    ),
)


@pytest.mark.parametrize(
    ("line", "words", "untranslatable"),
    [
        ("-n a", {"name": "a"}, []),
        ("-na", {"name": "a"}, []),
        ("-n=a", {"name": "a"}, []),
        ("--name a -h", {"name": "a", "hold": True}, []),
        ("--na=a -hx", {"name": "a", "hold": True, "exclusive": True}, []),
        ("-n a -n b", {"name": "b"}, []),
        ("--often a --often b", {"licenses": ("a", "b")}, []),
        ("-pe mpi 8", {"num_nodes": 4}, []),
        ("-pe mpi 7", {}, [("-pe mpi 7", "is odd")]),
        ("-pe mpi", {}, [("-pe mpi", "lacks its value")]),
        ("-l TIME=5,foo=1", {"wall_time_min": 5}, [("-l foo=1", "has no equivalent")]),
        ("--nice --nice=3", {}, []),
        ("--qui", {}, [("--qui", "is no option of toy that is known here")]),
        ("--quie", {}, []),
        ("--quirk=1", {}, [("--quirk=1", "do without")]),
        ("--other 5 -h", {"hold": True}, [("--other 5", "is no option of toy that is known here")]),
        ("Queue=a", {"queue": "a"}, []),
        ("+Kind=3 My.Wants", {}, [("+Kind=3", "has no equivalent"), ("My.Wants", "has no equivalent")]),
        ("stray", {}, [("stray", "is no option of toy that is known here")]),
        ("-n 'x", {}, [("-n 'x", "cannot be split (No closing quotation)")]),
    ],
)
def test_a_line_is_taken_apart(line: str, words: dict[str, Any], untranslatable: list[tuple[str, str]]) -> None:
    reading = TABLE.read(f"#!/bin/sh\n#TOY {line}\ntrue\n#TOY -n never\n")
    assert {name: value for name, value in reading.words.items() if value != 0} == words
    assert [(one.said, why) for one, why in reading.untranslatable()] == untranslatable
    assert {one.line for one in reading.directives} == {2}


def test_another_manager_that_lacks_a_word_cannot_be_asked_for_its_options() -> None:
    reading = TABLE.read("#TOY -n a -pe mpi 8 -h\n")
    assert [one.said for one, _ in reading.untranslatable({"name", "hold"})] == ["-pe mpi 8"]
    assert reading.untranslatable({"name", "hold", "num_nodes"}) == []


def test_parameters_that_pass_options_on_are_looked_into() -> None:
    assert options_passed_on(TABLE, {"resources": ["time=5", "foo=1"], "other": "time=5"}) == {
        "wall_time_min": "-l time=5"
    }
    assert options_passed_on(TABLE, {"directives": "--hold"}) == {"hold": "--hold"}
    asked = options_passed_on(TABLE, {"attributes": ["Kind=3", "Queue=a"]})
    assert asked == options_passed_on(TABLE, {"attributes": "Kind=3,Queue=a"}) == {"queue": "+Queue=a"}


def test_what_follows_the_beginning_of_a_name_is_the_value() -> None:
    assert TABLE.read("#TOY +Kind=3 MY.Wants\n").parameters() == {"attributes": ("Kind=3", "Wants")}
