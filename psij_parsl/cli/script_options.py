"""What the option lines of a manager in a script come to where its job goes: `#SBATCH` on Slurm, or on another manager.

On its own manager a line stays as it is, but for what a job of ours says itself. On another one each option is
translated into flags and parameters, left out with a remark, or refused by line and word.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ..errors import InvalidRequest, nearest
from ..platforms.directives.option import WAITS, Elsewhere
from ..platforms.directives.reading import Directive, Reading
from ..platforms.directives.script import OURS, PassedOn, ScriptLines, by_lines, families, said_by
from ..platforms.directives.words import FIELDS, SHAPE, SIZE, is_own
from .flags import FlagValues
from .job_description import described
from .job_table import Target
from .options_said import ScriptOptions
from .script_remarks import calls, line_numbers, named_options, refusal, starts_here
from .script_translation import meant_by, parameter_of, said_together_by, translated
from .script_words import PARAMETERS, WORDS_OF_FLAG, flag_values, lone_memory, said_together


def script_options(path: str, text: str, target: Target, typed: FlagValues, chosen: str = "") -> ScriptOptions:
    """What the option lines of the script come to. `typed`: what is said by stronger sources; `chosen`: a family's name.

    Raises `InvalidRequest` for what the job cannot be asked for, with the lines.
    """
    lines, notes = _counting(path, text, target, chosen)
    if lines is None:
        return ScriptOptions(notes=tuple(notes))
    if late := lines.table.unread(text):
        notes.append(
            f"{path}: {line_numbers(late)} below the first command, where {lines.table.command} reads no options"
        )
    if refused := lines.refused():
        raise refusal(path, refused, f"a job of psij-run cannot have {'it' if len(refused) == 1 else 'them'}")
    taken = {word for flag in typed for word in WORDS_OF_FLAG.get(flag, ())}
    site_parameters = target.site.parameters if target.site is not None else {}
    queue_word = target.executor.platform.template_class.queue_word(
        {**site_parameters, **typed.get("parameters", {})}
    )
    taken |= {queue_word} if "queue" in typed else set()
    own = lines.table.prefix == _prefix(target)
    reading, passed_on, unknown = lines.reading, None, frozenset[str]()
    notes += [*starts_here(path, lines), *_waiting(path, reading)]
    if own:
        passed_on = lines.passed_on(taken, typed.get("parameters", {}))
        if wrong := [
            (one, one.fault)
            for one in passed_on.removed
            if one.fault and one.option and not ({*OURS, *taken, "cpus_per_rank"} >= said_by(one.option))
        ]:
            raise refusal(path, wrong, "what is typed cannot change it")
        _refuse_half_a_size(path, reading, passed_on, taken)
        parameters = _own_parameters(reading, target, passed_on.removed)
    else:
        notes += _left_out(path, reading, target)
        parameters, unknown = translated(path, lines, target, taken, typed)
        if unknown:
            places = named_options(one for one in reading.directives if one.words and unknown.issuperset(one.words))
            notes += (
                [f"{path}: left out on {target.executor.platform.name}, which has no such places: {places}"]
                if places
                else []
            )
    words = {name: value for name, value in reading.words.items() if name not in unknown | taken}
    if own and queue_word in words:
        words["queue"] = words[queue_word]
        parameters.pop(queue_word, None)
        passed_on = passed_on and passed_on._replace(words=passed_on.words | {"queue"})
    told = said_together(words, passed_on.words) if passed_on else lone_memory(words)
    values = flag_values(told, lines.table, path)
    if parameters:
        values["parameters"] = parameters
    if not own:
        notes += calls(path, lines, typed.get("compat", ""))
    jobs = described(path, lines, words, taken) if lines.describe else None
    words_of = [(one, _fields(reading, one) - unknown) for one in reading.directives if not one.superseded]
    return ScriptOptions(
        lines,
        values,
        passed_on,
        tuple(notes),
        reading.words.get("shell", ""),
        path,
        said=tuple((one, fields - taken) for one, fields in words_of),
        replaced=tuple((one, fields & taken) for one, fields in words_of),
        described=jobs,
    )


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
            which = "; ".join(f"{line_numbers(group[0].numbers)} of {group[0].platform.name}" for group in groups)
            names = " or ".join(f"--directives {group[0].platform.name}" for group in groups)
            raise InvalidRequest(
                f"{path} has option lines of several managers, none of them {name}'s: {which}",
                hint=f"choose: {names}",
            )
        counting = own[0] if own else _likeliest(groups[0])
    ignored = [group[0] for group in groups if group[0].numbers != counting.numbers]
    notes = [f"{path}: {line_numbers(lines.numbers)} of {lines.platform.name} ignored" for lines in ignored]
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
        if one.option and one.option.sets and not any(map(is_own, one.option.sets))
    }
    found = said_together_by(reading, (), target) if any(one.is_part for one in removed) else {}
    for one in removed:  # such as that hosts are the job's alone, which a placement says
        words = {word for word, value in one.words.items() if word in PARAMETERS and value is True}
        found |= {name: "yes" for word in words if (name := parameter_of(word, target.executor.platform))}
    for name, value in reading.parameters().items():
        try:
            if name in declared and name not in replaced:
                found[name] = declared[name].convert([*value] if isinstance(value, tuple) else value)
        except InvalidRequest:
            continue
    return found


def _refuse_half_a_size(path: str, reading: Reading, passed_on: PassedOn, taken: Collection[str]) -> None:
    """Refuse to change a part of what an option says as a whole, where the rest has no word of ours."""
    whole = [one for one in passed_on.removed if one.words and not (one.words.keys() & OURS) and one.is_part]
    sized = SIZE & {*reading.derived}
    if whole and sized and SHAPE.isdisjoint(reading.words) and SHAPE.isdisjoint(taken):
        raise refusal(
            path, [(one, "says no number of nodes or ranks") for one in whole], "what is typed cannot change it"
        )


def _left_out(path: str, reading: Reading, target: Target) -> list[str]:
    dropped = [one for one in reading.dropped() if not one.superseded]
    if not dropped:
        return []
    return [f"{path}: left out on {target.executor.platform.name}: {named_options(dropped)}"]


def _waiting(path: str, reading: Reading) -> list[str]:
    """A remark on options that have the submit command wait: `submit` does not."""
    said = [one for one in reading.directives if one.option and one.option.instead == WAITS and not one.superseded]
    return [f"{path}: {named_options(said)}: `submit` waits with --wait only"] if said else []


def _fields(reading: Reading, one: Directive) -> frozenset[str]:
    """The fields of a job that an option says."""
    ours = OURS.intersection(one.words)  # such as whether stdout and stderr are joined: then it is about nothing else
    words = ours or (meant_by(reading, one) if one.words else ())
    return frozenset(FIELDS.get(word, word) for word in words)
