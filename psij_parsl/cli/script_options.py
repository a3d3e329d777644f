"""What the option lines of a manager in a script come to where its job goes: `#SBATCH` on Slurm, or on another manager.

On its own manager a line stays as it is, but for what a job of ours says itself. On another one each option is
translated into flags and parameters, left out with a remark, or refused by line and word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..errors import Error, InvalidRequest, Rejected, nearest
from ..platforms.directives.option import Elsewhere
from ..platforms.directives.reading import Directive, Reading
from ..platforms.directives.script import OURS, PassedOn, ScriptLines, by_lines, families
from ..platforms.directives.words import PLACES, WORDS
from .flags import FlagValues
from .job_flags import shown
from .job_table import Target
from .jobscript import JobScript
from .script_remarks import calls, starts_here
from .script_words import PARAMETERS, WORDS_OF_FLAG, flag_values, lone_memory, said_together

#: The fields of a job that lines of its own manager may say in its place.
_SIZE = ("num_nodes", "ranks", "ranks_per_node", "cpus_per_rank", "threads_per_core")
_IMPLIED = frozenset(
    (
        *_SIZE,
        *("gpus_per_rank", "gpus_per_node", "gpu_kind", "memory_per_node", "memory_per_core", "memory_per_gpu"),
        *("wall_time_min", "queue", "project", "begin"),
    )
)
#: The words that -N and -n take the place of, whatever else an option says that is not understood.
_SHAPE = frozenset(("num_nodes", "ranks", "ranks_per_node"))
_FIELDS = {"gpus": "gpus_per_node", "memory": "memory_per_node", "memory_per_rank": "memory_per_core"}
#: Words that other managers are asked for by flags.
_BY_FLAGS = frozenset(word for words in WORDS_OF_FLAG.values() for word in words) | OURS


@dataclass(frozen=True)
class ScriptOptions:
    """The option lines of a script as its job has them.

    `values` are those of flags, weaker than what is typed and what `#PSIJ` lines say. `passed_on` are the lines that go
    to their own manager; None on another one, where `lines` says whose they are. `said` are the options that count, with
    the fields of the job that each says. `notes` are remarks for people.
    """

    lines: ScriptLines | None = None
    values: FlagValues = field(default_factory=dict)
    passed_on: PassedOn | None = None
    notes: tuple[str, ...] = ()
    shell: str = ""
    path: str = ""
    said: tuple[tuple[Directive, frozenset[str]], ...] = ()

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
            about = error.about if isinstance(error, InvalidRequest) else {error.limit}
            if found := [one for one, names in self.said if not names.isdisjoint(about)]:
                error.message = f"{self.path}, {_named(found)}: {error.message}"
                error.args = (error.message,)
            raise

    def complete(self, said: Mapping[str, Any], filled: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of the job: those that were `said`, `filled` up by the site, and what the lines make of them."""
        fields = dict(filled)
        if self.lines is None:
            return fields
        fields.setdefault("wall_time_min", None)
        if said.get("ranks") and said.get("num_nodes", 1) is None:
            fields["num_nodes"] = None
        if self.passed_on is None:
            return {**fields, "script_of": self.script_of}
        kept = {_FIELDS.get(word, word) for word in self.passed_on.words}
        if not kept.isdisjoint(_SHAPE):
            kept |= _SHAPE
        if not kept.isdisjoint(_SIZE) or said.keys().isdisjoint(_SIZE):
            kept |= {name for name in _SIZE if name not in said}
        if "num_nodes" not in said:
            kept.add("num_nodes")
        fields["implied"] = tuple(sorted({*fields.get("implied", ()), *(kept & _IMPLIED)}))
        fields["option_lines"] = self.passed_on.lines
        fields["script_of"] = self.lines.platform.name
        fields["parameters"] = {
            name: value
            for name, value in fields.get("parameters", {}).items()
            if name not in self.passed_on.parameters
        }
        return fields


def script_options(path: str, text: str, target: Target, typed: FlagValues, chosen: str = "") -> ScriptOptions:
    """What the option lines of the script come to. `typed`: what is said by stronger sources; `chosen`: a family's name.

    Raises `InvalidRequest` for what the job cannot be asked for, with the lines.
    """
    lines, notes = _counting(path, text, target, chosen)
    if lines is None:
        return ScriptOptions(notes=tuple(notes))
    if late := lines.table.unread(text):
        notes.append(f"{path}: {_lines(late)} below the first command, where {lines.table.command} reads no options")
    if refused := lines.refused():
        raise _refusal(path, refused, f"a job of psij-run cannot have {'it' if len(refused) == 1 else 'them'}")
    taken = {word for flag in typed for word in WORDS_OF_FLAG.get(flag, ())}
    own = lines.table.prefix == _prefix(target)
    reading, passed_on, unknown = lines.reading, None, frozenset[str]()
    notes += starts_here(path, lines)
    if own:
        passed_on = lines.passed_on(taken, typed.get("parameters", {}))
        if wrong := [
            (one, one.fault)
            for one in passed_on.removed
            if one.fault and one.option and not OURS.issuperset(one.option.sets)
        ]:
            raise _refusal(path, wrong, "what is typed cannot change it")
        parameters = _own_parameters(reading, target, passed_on.removed)
    else:
        notes += _left_out(path, reading, target)
        parameters, unknown = _translated(path, lines, target, taken, typed)
        if unknown:
            places = _named(one for one in reading.directives if one.words and unknown.issuperset(one.words))
            notes += (
                [f"{path}: left out on {target.executor.platform.name}, which has no such places: {places}"]
                if places
                else []
            )
    words = {name: value for name, value in reading.words.items() if name not in unknown | taken}
    values = flag_values(said_together(words) if own else lone_memory(words), lines.table, path)
    if parameters:
        values["parameters"] = parameters
    if not own:
        notes += calls(path, lines, typed.get("compat", ""))
    said = [(one, _fields(reading, one) - unknown - taken) for one in reading.directives if not one.superseded]
    return ScriptOptions(lines, values, passed_on, tuple(notes), reading.words.get("shell", ""), path, tuple(said))


def _prefix(target: Target) -> str:
    platform = target.executor.platform
    return platform.directive_table.prefix if platform.option_lines else ""


def _counting(path: str, text: str, target: Target, chosen: str) -> tuple[ScriptLines | None, list[str]]:
    """The lines that count, and remarks on those that do not."""
    found = families(text, target.executor.platform)
    groups = [*by_lines(found).values()]
    if chosen:
        of_name = [lines for lines in found if lines.platform.name == chosen]
        if not of_name:
            there = sorted(lines.platform.name for lines in found)
            raise InvalidRequest(
                f"{path} has no option lines of {chosen}",
                hint=nearest(chosen, there) if there else "leave out --directives",
            )
        counting = of_name[0]
    elif not groups:
        return None, []
    else:
        name = target.executor.platform.name
        own = [lines for lines in found if lines.platform.name == name]
        if not own and len(groups) > 1:
            which = "; ".join(f"{_lines(group[0].numbers)} of {group[0].platform.name}" for group in groups)
            names = " or ".join(f"--directives {group[0].platform.name}" for group in groups)
            raise InvalidRequest(
                f"{path} has option lines of several managers, none of them {name}'s: {which}",
                hint=f"choose: {names}",
            )
        counting = own[0] if own else _likeliest(groups[0])
    ignored = [group[0] for group in groups if group[0].numbers != counting.numbers]
    notes = [f"{path}: {_lines(lines.numbers)} of {lines.platform.name} ignored" for lines in ignored]
    return counting, notes


def _likeliest(group: Sequence[ScriptLines]) -> ScriptLines:
    """Of managers whose lines begin alike, the one that knows most of what they say."""

    def unknown(one: Directive) -> int:
        return 2 if one.option is None or one.option.elsewhere is Elsewhere.REFUSED else bool(one.fault)

    return min(group, key=lambda lines: sum(map(unknown, lines.reading.directives)))


def _own_parameters(reading: Reading, target: Target, removed: Collection[Directive]) -> dict[str, Any]:
    """The platform's parameters for what the lines say, as far as they take it: for a site's rules about them.

    Without those of options that something else takes the place of, unless they say more than that.
    """
    declared = target.executor.platform.template_class.params
    replaced = {
        one.option.parameter
        for one in removed
        if one.option and one.option.sets and not any(word.startswith("_") for word in one.option.sets)
    }
    found = {}
    for name, value in reading.parameters().items():
        try:
            if name in declared and name not in replaced:
                found[name] = declared[name].convert([*value] if isinstance(value, tuple) else value)
        except InvalidRequest:
            continue
    return found


def _left_out(path: str, reading: Reading, target: Target) -> list[str]:
    dropped = [one for one in reading.dropped() if not one.superseded]
    if not dropped:
        return []
    return [f"{path}: left out on {target.executor.platform.name}: {_named(dropped)}"]


def _translated(
    path: str, lines: ScriptLines, target: Target, taken: Collection[str], typed: FlagValues
) -> tuple[dict[str, Any], frozenset[str]]:
    """The parameters of the other manager that stand for options, and the words that mean nothing there.

    What has no equivalent is refused.
    """
    platform, reading = target.executor.platform, lines.reading
    declared = platform.template_class.params
    sized = _SHAPE.issubset(taken)
    unknown = frozenset({*PLACES, "exclusive"} if not platform.places else ())
    known = {word for word in WORDS if word in {*_BY_FLAGS, *unknown} or PARAMETERS.get(word, "") in declared}
    said = {word for word, name in PARAMETERS.items() if name in typed.get("parameters", {})} | {*taken}
    untranslatable = {id(one): why for one, why in reading.untranslatable(known)}
    parameters: dict[str, Any] = {}
    refused: list[tuple[Directive, str]] = []
    for one in reading.directives:
        meant = _meant(reading, one)
        replaced = (bool(meant) and meant <= said) or (sized and bool(one.fault) and not meant.isdisjoint(_SHAPE))
        left_out = bool(meant) and meant <= unknown and one.option is not None
        if id(one) in untranslatable and not replaced and not (left_out and not one.fault):
            refused.append((one, untranslatable[id(one)]))
        elif replaced or left_out or one.superseded:
            continue
        elif why := _place_fault(one, meant & PLACES - said - unknown, lines, target):
            refused.append((one, why))
        else:
            parameters |= {
                PARAMETERS[word]: "yes" if value is True else value
                for word, value in one.words.items()
                if PARAMETERS.get(word, "") in declared
            }
    if refused:
        raise _refusal(path, refused, f"{platform.name} cannot be asked for {'it' if len(refused) == 1 else 'them'}")
    return parameters, unknown


def _meant(reading: Reading, one: Directive) -> set[str]:
    """The words that an option means, or would mean if its value were understood."""
    words = {*one.words} if one.words and not one.fault else {*(one.option.sets if one.option else ())}
    whole = {word for word in words if not word.startswith("_")}
    return whole if whole == words else whole | {*reading.derived}


def _fields(reading: Reading, one: Directive) -> frozenset[str]:
    """The fields of a job that an option says."""
    ours = OURS.intersection(one.words)  # such as whether stdout and stderr are joined: then it is about nothing else
    words = ours or (_meant(reading, one) if one.words else ())
    return frozenset(_FIELDS.get(word, word) for word in words)


def _place_fault(one: Directive, places: Collection[str], lines: ScriptLines, target: Target) -> str:
    """What is wrong with the names of another machine, where an option says any; '' if this one has them."""
    if not places:
        return ""
    if "queue" in places:
        names = _queues(target)
        return "" if one.value in names else _unknown_queue(target, names)
    say = _say(min(places), target.executor.platform.template_class.params)
    return f"names what only {lines.platform.name}'s machine has; {say}"


def _say(word: str, declared: Collection[str]) -> str:
    if word == "project":
        return f"say {shown('account')}"
    if word == "gpu_kind":
        return "say -G"
    return f"say -X {PARAMETERS[word]}=VALUE" if PARAMETERS.get(word, "") in declared else "leave it out"


def _queues(target: Target) -> list[str]:
    if target.site is not None and target.site.queues:
        return [*target.site.queues]
    try:
        return [queue.name for queue in target.executor.scheduler.queues()]
    except Error:
        return []


def _unknown_queue(target: Target, names: Sequence[str]) -> str:
    where = target.site.name if target.site is not None else target.executor.platform.name
    there = f"; {where} has {', '.join(sorted(names))}" if names else ""
    return f"is no queue of {where}{there}: say {shown('queue')}"


def _refusal(path: str, refused: Sequence[tuple[Directive, str]], what: str) -> InvalidRequest:
    each = "; ".join(f"line {one.line}: {one.said} {_reason(why)}" for one, why in refused)
    return InvalidRequest(
        f"{path}, {each}: {what}",
        hint="change the line, or say it with flags; --ignore-directives reads none of these lines",
    )


def _reason(why: str) -> str:
    return (
        why
        if why.startswith(("has ", "is ", "names ", "asks ", "must ", "waits ", "stands ", "lacks ", "cannot "))
        else f"({why})"
    )


def _named(directives: Iterable[Directive]) -> str:
    return ", ".join(f"line {one.line} {one.said}" for one in directives)


def _lines(numbers: Sequence[int]) -> str:
    several = len(numbers) > 1
    shown_numbers = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    return f"line{'s' if several else ''} {shown_numbers}"
