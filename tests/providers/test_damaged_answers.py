"""Every recorded answer of every manager, damaged: cut short, doubled, with other columns or fields.

Whatever arrives, a job's state is what a whole record says, or nothing new: never another one.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.queries import SchedulerRecord
from psij_parsl.states import JobState
from psij_parsl.system.commands import Output
from psij_parsl.testing.replay import Replay
from tests.providers.readings import FILES, Reading, readings

READINGS = [pytest.param(reading, id=reading.name) for platform in FILES for reading in readings(platform)]


def records(reading: Reading, text: str) -> list[SchedulerRecord]:
    """The records of an answer with that text; none where it counts as no answer."""
    query = reading.query
    scheduler = reading.scheduler(run=Replay(lambda argv: Output(tuple(argv), 0, text, "")))
    try:
        return list(scheduler.ask(query))
    except Unavailable:
        return []


def what(record: SchedulerRecord) -> tuple[object, ...]:
    """All that decides what becomes of a job."""
    status = record.status
    return record.id, status.state, status.exit_code, status.signal, status.reason, status.held, record.leftover


def says_nothing_else(reading: Reading, text: str) -> None:
    whole = {what(record) for record in records(reading, reading.text)}
    for record in records(reading, text):
        assert record.status.state is JobState.UNKNOWN or what(record) in whole, f"{record} in {text!r}"


@pytest.mark.parametrize("platform", FILES)
def test_there_are_answers_that_show_jobs(platform: str) -> None:
    assert len([reading for reading in readings(platform) if records(reading, reading.text)]) >= 4


@pytest.mark.parametrize("reading", READINGS)
def test_an_answer_that_is_cut_anywhere_says_nothing_else(reading: Reading) -> None:
    text = reading.text
    step = max(1, len(text) // 400)  # a long one not at each of its characters, but at the ends of its lines, too
    ends = [place + 1 for place, character in enumerate(text) if character in "\n|>}"][-60:]
    for place in {*range(0, len(text), step), *range(max(0, len(text) - 80), len(text)), *ends}:
        says_nothing_else(reading, text[:place])


@pytest.mark.parametrize("reading", READINGS)
def test_an_answer_that_arrives_twice_says_nothing_else(reading: Reading) -> None:
    says_nothing_else(reading, reading.text * 2)


@pytest.mark.parametrize("reading", READINGS)
def test_lines_that_are_doubled_or_missing_say_nothing_else(reading: Reading) -> None:
    lines = reading.text.splitlines(keepends=True)
    step = max(1, len(lines) // 60)
    for place in range(0, len(lines), step):
        says_nothing_else(reading, "".join([*lines[:place], lines[place], *lines[place:]]))


@pytest.mark.parametrize("reading", READINGS)
@given(data=st.data())
def test_a_notice_among_the_lines_costs_at_most_the_answer(reading: Reading, data: st.DataObject) -> None:
    lines = reading.text.splitlines(keepends=True)
    place = data.draw(st.integers(0, len(lines)))
    notice = data.draw(
        st.sampled_from(["*** maintenance on Monday, 8:00 ***\n", "\n", "# 12 jobs|R|0\n", "{\n", "<x>\n"])
    )
    says_nothing_else(reading, "".join([*lines[:place], notice, *lines[place:]]))
