"""Option lines of one manager on another: what each becomes, and what has no equivalent there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ..errors import Error
from ..platforms.directives.reading import Directive, Reading
from ..platforms.directives.script import OURS, ScriptLines
from ..platforms.directives.words import PLACES, SHAPE, WORDS, is_own
from ..platforms.platform import Platform
from .flags import FlagValues
from .job_flags import shown
from .job_table import Target
from .script_remarks import refusal
from .script_words import PARAMETERS, WORDS_OF_FLAG

#: Words that other managers are asked for by flags.
_BY_FLAGS = frozenset(word for words in WORDS_OF_FLAG.values() for word in words) | OURS


def translated(
    path: str, lines: ScriptLines, target: Target, taken: Collection[str], typed: FlagValues
) -> tuple[dict[str, Any], frozenset[str]]:
    """The parameters of the other manager that stand for options, and the words that mean nothing there.

    What has no equivalent is refused.
    """
    platform, reading = target.executor.platform, lines.reading
    declared = platform.template_class.params
    sized = SHAPE.issubset(taken)  # -N and -n count, whatever else an option says that is not understood
    unknown = frozenset({*PLACES, "exclusive"} if not platform.places else ())
    known = {word for word in WORDS if word in {*_BY_FLAGS, *unknown} or PARAMETERS.get(word, "") in declared}
    said = {word for word, name in PARAMETERS.items() if name in typed.get("parameters", {})} | {*taken}
    untranslatable = {id(one): why for one, why in reading.untranslatable(known)}
    parameters: dict[str, Any] = {}
    refused: list[tuple[Directive, str]] = []
    for one in reading.directives:
        meant = meant_by(reading, one)
        replaced = (bool(meant) and meant <= said) or (sized and bool(one.fault) and not meant.isdisjoint(SHAPE))
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
    parameters |= said_together_by(reading, said, target)
    if refused:
        raise refusal(path, refused, f"{platform.name} cannot be asked for {'it' if len(refused) == 1 else 'them'}")
    return parameters, unknown


def said_together_by(reading: Reading, said: Collection[str], target: Target) -> dict[str, Any]:
    """The parameters for words that options say only together, such as that nodes are whole."""
    platform = target.executor.platform
    found = {}
    for word, value in reading.derived.items():
        name = parameter_of(word, platform)
        if word in PARAMETERS and word not in said and value and name:
            found[name] = "yes" if value is True else value
    return found


def parameter_of(word: str, platform: Platform) -> str:
    """The platform's parameter for a word: by the table of its options, or by the name that several have; '' for none."""
    declared = platform.template_class.params
    rows = platform.directive_table.options if platform.directives else ()
    by_table = (row.parameter for row in rows if row.sets == (word,) and row.parameter)
    return next(by_table, PARAMETERS[word] if PARAMETERS.get(word) in declared else "")


def meant_by(reading: Reading, one: Directive) -> set[str]:
    """The words that an option means, or would mean if its value were understood."""
    words = {*one.words} if one.words and not one.fault else {*(one.option.sets if one.option else ())}
    whole = {word for word in words if not is_own(word)}
    return whole if whole == words else whole | {*reading.derived}


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
