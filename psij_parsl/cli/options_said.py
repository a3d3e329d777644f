"""The option lines of a script as its job has them; for a job without a script, that there are none.

What reads such lines is imported by `script_options`, where there are any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InvalidRequest, Rejected

if TYPE_CHECKING:
    from ..platforms.directives.reading import Directive
    from ..platforms.directives.script import PassedOn, ScriptLines
    from .job_description import Described
    from .jobscript import JobScript

#: The fields of a job that lines of its own manager may say in its place.
_SIZE = ("num_nodes", "ranks", "ranks_per_node", "cpus_per_rank", "threads_per_core")
_IMPLIED = frozenset(
    (
        *_SIZE,
        *("gpus_per_rank", "gpus_per_node", "gpu_kind", "memory_per_node", "memory_per_core", "memory_per_gpu"),
        *("wall_time_min", "queue", "project", "begin", "signal_before_end"),
    )
)


class ScriptOptions(NamedTuple):
    """The option lines of a script as its job has them.

    `values` are those of flags, weaker than what is typed and what `#PSIJ` lines say. `passed_on` are the lines that go
    to their own manager; None on another one, where `lines` says whose they are. `said` are the options that count, with
    the fields of the job that each says, and `replaced` those that stronger sources say. `notes` are remarks for people.
    `described` is what is to run, where the file is a description of a job, not a script.
    """

    lines: ScriptLines | None = None
    values: Mapping[str, Any] = MappingProxyType({})
    passed_on: PassedOn | None = None
    notes: tuple[str, ...] = ()
    shell: str = ""
    path: str = ""
    said: tuple[tuple[Directive, frozenset[str]], ...] = ()
    replaced: tuple[tuple[Directive, frozenset[str]], ...] = ()
    described: Described | None = None

    @property
    def script_of(self) -> str:
        """The platform whose lines were translated; '' if none were."""
        return self.lines.platform.name if self.lines and self.passed_on is None else ""

    def interpreter(self, script: JobScript) -> tuple[str, ...]:
        """What reads the script: what its first line names, or else an option."""
        named = script.text.startswith("#!") and not (self.lines and self.lines.table.habits.shell_wins)
        return script.interpreter if named or not self.shell else (self.shell,)

    @contextmanager
    def named(self) -> Iterator[None]:
        """An error that is about what lines of the script say names these lines."""
        try:
            yield
        except (InvalidRequest, Rejected) as error:
            from .script_remarks import named_options

            about = error.about if isinstance(error, InvalidRequest) else {error.limit}
            if found := [one for one, names in self.said if not names.isdisjoint(about)]:
                error.message = f"{self.path}, {named_options(found)}: {error.message}"
                error.args = (error.message,)
            elif found := [one for one, names in self.replaced if not names.isdisjoint(about)]:
                error.message += f"; what is typed takes the place of {self.path}, {named_options(found)}"
                error.args = (error.message,)
            raise

    def complete(self, said: Mapping[str, Any], filled: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of the job: those that were `said`, `filled` up by the site, and what the lines make of them."""
        fields = dict(filled)
        if self.lines is None:
            return fields
        fields.setdefault("wall_time_min", None)
        if self.passed_on is not None:
            fields.setdefault("num_nodes", None)
        if said.get("ranks") and said.get("num_nodes", 1) is None:
            fields["num_nodes"] = None
        if self.passed_on is None:
            return {**fields, "script_of": self.script_of}
        from ..platforms.directives.words import FIELDS, SHAPE

        kept = {FIELDS.get(word, word) for word in self.passed_on.words}
        if not kept.isdisjoint(SHAPE):
            kept |= SHAPE
        if not kept.isdisjoint(_SIZE) or said.keys().isdisjoint(_SIZE):
            kept |= {name for name in _SIZE if name not in said}
        if "num_nodes" not in said:
            kept.add("num_nodes")
        if "gpus" in self.passed_on.words and "gpus" not in self.values:
            fields["gpus_per_node"] = None  # it was said for the site's choice of nodes alone
        fields["implied"] = tuple(sorted({*fields.get("implied", ()), *(kept & _IMPLIED)}))
        fields["option_lines"] = self.passed_on.lines
        fields["script_of"] = self.lines.platform.name
        fields["parameters"] = {
            name: value
            for name, value in fields.get("parameters", {}).items()
            if name not in self.passed_on.parameters
        }
        return fields
