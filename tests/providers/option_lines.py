"""Tests of a platform's table of option lines, that each platform's tests subclass.

    class TestOptionLines(OptionLines):
        platform = "slurm"
        ...

The scripts of `tests/scripts/PLATFORM` are as people write them. What each of them asks was written down from its
lines and the manager's documentation, not from what the table said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.directives.reading import Reading
from psij_parsl.platforms.directives.table import DirectiveTable
from psij_parsl.platforms.directives.words import WORDS
from psij_parsl.platforms.registry import platform as registered

SCRIPTS = Path(__file__).parents[1] / "scripts"


class Asked(NamedTuple):
    """What a script asks: our words, the numbers of the lines that are left out elsewhere, those that are refused.

    Lines with ids of other jobs are refused, too, and need not be named.
    """

    words: Mapping[str, Any]
    dropped: Sequence[int] = ()
    untranslatable: Sequence[int] = ()


def meaning(reading: Reading) -> Mapping[str, Any]:
    """The words of lines that mean the same on every manager, but for ids of jobs, which are that manager's."""
    assert [one.said for one, _ in reading.untranslatable() if "after" not in one.words] == []
    return reading.words


#: What else a job can ask, one thing at a time.
ASKED: Mapping[str, Mapping[str, Any]] = {
    "number of nodes left": {"num_nodes": None, "ranks": 5, "job_mode": "script"},
    "wall time left": {"wall_time_min": None},
    "uneven ranks": {"num_nodes": 2, "ranks": 5},
    "GPUs of a node": {"num_nodes": 2, "ranks_per_node": 2, "gpus_per_node": 2},
    "GPUs of a kind": {"gpus_per_node": 2, "gpu_kind": "a100"},
    "memory of a node": {"memory_per_node": "2G", "num_nodes": 2},
    "all memory": {"memory_per_node": 0},
    "memory of a core": {"memory_per_core": "1G", "cpus_per_rank": 4},
    "memory of a thread's core": {"memory_per_core": "1G", "cpus_per_rank": 4, "threads_per_core": 2},
    "memory of a GPU": {"memory_per_gpu": "1G", "gpus_per_node": 2},
    "array limit": {"array": "0-9%4"},
    "begin": {"begin": "2027-01-02T03:04:05"},
}


class OptionLines:
    """A subclass names the platform, and what its scripts ask."""

    platform: ClassVar[str]
    #: What a job asks, and the words that its script is to be read as.
    fields: ClassVar[Mapping[str, Any]] = {
        "name": "relax",
        "num_nodes": 2,
        "ranks_per_node": 4,
        "cpus_per_rank": 2,
        "wall_time_min": 95,
        "queue": "debug",
        "project": "chem",
        "array": (0, 1, 2, 3),
        "hold": True,
    }
    words: ClassVar[Mapping[str, Any]] = {
        "name": "relax",
        "num_nodes": 2,
        "ranks_per_node": 4,
        "cpus_per_rank": 2,
        "wall_time_min": 95,
        "queue": "debug",
        "project": "chem",
        "array": "0-3",
        "hold": True,
    }
    #: What a job that asks one of `ASKED` is read back as, None for what its script must not say; or the sentence in
    #: which it is refused.
    answers: ClassVar[Mapping[str, Mapping[str, Any] | str]]
    #: Parameters with which the platform can be asked for it.
    asked_with: ClassVar[Mapping[str, Any]] = {}
    #: Parameters that a job has for its other fields, as a site gives them.
    parameters: ClassVar[Mapping[str, Any]] = {}
    #: A value of each parameter that an option has: as a person types it, and as the script's option has it.
    samples: ClassVar[Mapping[str, Any]] = {}
    #: Parameters that the submit command is given beside the script.
    beside: ClassVar[frozenset[str]] = frozenset()
    #: Parameters that say how something is asked for, and are no option of their own.
    no_option: ClassVar[frozenset[str]] = frozenset()
    #: What each script in `tests/scripts/PLATFORM` asks, by its name.
    scripts: ClassVar[Mapping[str, Asked]]
    #: Texts that may stand in an option line, for lines made by chance.
    bits: ClassVar[Sequence[str]] = ()

    @property
    def table(self) -> DirectiveTable:
        return registered(self.platform).directive_table

    def read(self, name: str, text: str) -> Reading:
        """What a file of this name asks."""
        return self.table.read(text)

    def script(self, parameters: Mapping[str, Any] | None = None, **fields: Any) -> str:
        """The script of a job of ours."""
        job = Job(command=["true"], parameters={**self.parameters, **(parameters or {})}, **fields)
        return BatchSchedulerExecutor(self.platform).render(job)

    def test_each_option_has_words_that_are_ours_and_parameters_that_are_the_platforms(self) -> None:
        declared = registered(self.platform).template_class.params
        for option in self.table.options:
            assert all(word in WORDS or word.startswith("_") for word in option.sets), option
            assert not option.parameter or option.parameter in declared, option

    def test_each_name_is_that_of_one_option(self) -> None:
        names = [name for option in self.table.options for name in option.names]
        assert len(names) == len({*names})

    def test_each_parameter_is_some_options(self) -> None:
        own = {parameter.name for parameter in registered(self.platform).template_class.optional_params}
        assert own - {option.parameter for option in self.table.options} == self.no_option

    def test_a_job_of_ours_is_read_back_from_its_script(self) -> None:
        reading = self.table.read(self.script(**self.fields))
        assert {**reading.words, **self.words} == reading.words
        assert not [one for one in reading.directives if one.option is None]

    @pytest.mark.parametrize("what", ASKED)
    def test_whatever_else_a_job_asks_is_read_back_from_its_script_or_refused(self, what: str) -> None:
        answer = self.answers[what]
        if isinstance(answer, str):
            with pytest.raises(InvalidRequest) as caught:
                self.script(self.asked_with, **ASKED[what])
            assert caught.value.message == f"the {self.platform} platform {answer}"
            assert caught.value.hint
            return
        reading = self.table.read(self.script(self.asked_with, **ASKED[what]))
        assert {word: reading.words.get(word) for word in answer} == answer
        assert not [one for one in reading.directives if one.option is None]

    def test_each_parameter_is_read_back_from_the_script(self) -> None:
        assert {option.parameter for option in self.table.options} - {"", *self.beside} == self.samples.keys()
        for name, value in self.samples.items():
            typed, told = value if isinstance(value, tuple) else (value, value)
            reading = self.table.read(self.script({name: typed}))
            assert reading.parameters().get(name) == told, name
            assert not [one for one in reading.directives if one.option is None], name

    def test_each_script_that_people_have_is_read(self) -> None:
        folder = SCRIPTS / self.platform
        assert {path.name for path in folder.iterdir()} == self.scripts.keys()
        for name, asked in self.scripts.items():
            reading = self.read(name, (folder / name).read_bytes().decode())
            assert reading.words == asked.words, name
            assert sorted({one.line for one in reading.dropped()}) == [*asked.dropped], name
            waiting = {one.line for one in reading.directives if "after" in one.words}
            assert {one.line for one, _ in reading.untranslatable()} == {*asked.untranslatable} | waiting, name
            assert all(why for _, why in reading.untranslatable()), name

    @settings(suppress_health_check=[HealthCheck.differing_executors])  # each subclass is one
    @given(st.data())
    def test_no_option_line_is_beyond_reading(self, data: st.DataObject) -> None:
        names = [name for option in self.table.options for name in option.names]
        bit = st.sampled_from([*names, *self.bits, "=", ":", ",", "%", "1", "a", '"', "'", "0-3", "[", "]", "(", " "])
        lines = data.draw(st.lists(st.lists(bit | st.text(max_size=4), max_size=6).map("".join), max_size=4))
        text = "#!/bin/sh\n" + "".join(f"{self.table.written} {line}\n" for line in lines)
        assert isinstance(self.table.read(text), Reading)
