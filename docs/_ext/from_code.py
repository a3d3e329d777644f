"""Text for pages, taken from the code: flags, parameters, site files, launch methods, ends and exit codes.

A page has a line such as `<!-- from the code: flags -->` where the text is to stand. It is Markdown, and is put there
before the page is read.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from psij_parsl import errors
from psij_parsl.cli.app import build
from psij_parsl.job_size import FLAGS
from psij_parsl.platforms.directives.words import WORDS
from psij_parsl.platforms.registry import platforms as installed
from psij_parsl.runs.mpirun import RunShape
from psij_parsl.runs.registry import launchers
from psij_parsl.sites import installed as installed_sites
from psij_parsl.sites import json_schema
from psij_parsl.sites.layers import PACKAGE
from psij_parsl.states import EndReason, JobState

_PLACE = re.compile(r"^<!-- from the code: ([a-z ]+) -->$", re.MULTILINE)
_JOB_COMMANDS = ("run", "submit", "render")


def setup(app: Any) -> dict[str, Any]:
    """What Sphinx asks of an extension."""
    app.connect("source-read", _fill)
    app.connect("autodoc-process-docstring", _readable)
    app.connect("autodoc-process-signature", _parsable)
    return {"parallel_read_safe": True}


def _fill(app: Any, page: str, source: list[str]) -> None:
    source[0] = _PLACE.sub(lambda found: "\n".join(TEXTS[found[1]]()), source[0])


def _readable(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with `code` in it. Sphinx reads them as reStructuredText: a letter may not follow code."""
    lines[:] = [re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", line) for line in lines]


def _parsable(
    app: Any, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """A default that a dataclass makes anew is shown as `<factory>`, which is no Python: nothing would be parted into lines."""
    return signature and signature.replace("<factory>", "..."), returns


def _entry(term: str, text: str) -> Iterator[str]:
    """A term and what it means."""
    yield from (term, f": {' '.join(text.split())}", "")


def _plain(text: str) -> str:
    """Text of a help line as Markdown: a star in it is no markup, code stands in backticks already, an address is a link."""
    parts = re.split(r"(`[^`]*`|https?://\S+)", text)
    return "".join(map(_escaped, parts))


def _begun(text: str) -> str:
    """The same as the beginning of a sentence."""
    return _plain(text[:1].upper() + text[1:])


def _escaped(part: str) -> str:
    if part.startswith("http"):
        return f"<{part}>"
    return part if part.startswith("`") else re.sub(r"([*_<>\[\]$|])", r"\\\1", part)


# Commands and their flags: from the tree of commands that the command line itself is made of.


def flags() -> Iterator[str]:
    """Every command with its flags; those that describe a job once, for the commands that have them all alike."""
    tree = build(None)
    shared = _shared(tree.commands)
    yield from ("## The commands at a glance", "")
    for name, command in _commands(tree):
        summary = (command.help or "").split("\n\n")[0]
        yield f"- [`psij-run {name}`](#psij-run-{name.replace(' ', '-')}): {_plain(' '.join(summary.split()))}"
    yield ""
    yield from ("## Flags that describe a job", "")
    yield from (f"`psij-run {'`, `psij-run '.join(_JOB_COMMANDS)}` have all of these.", "")
    yield from _options(option for option in tree.commands["submit"].params if _told(option) in shared)
    for name, command in _commands(tree):
        yield from (f"## psij-run {name}", "", _plain(command.help or ""), "")
        own = [each for each in command.params if name not in _JOB_COMMANDS or _told(each) not in shared]
        for each in own:
            if each.param_type_name == "argument":
                yield from _entry(f"`{each.metavar}`", _plain(each.help or ""))
        yield from _options(each for each in own if each.param_type_name == "option")
        if name in _JOB_COMMANDS:
            yield from ("And the [flags that describe a job](#flags-that-describe-a-job).", "")
        if command.epilog:
            lines = command.epilog.replace("\b", "").strip().splitlines()[1:]
            yield from ("```text", *(line.strip() for line in lines), "```", "")


def _commands(tree: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in tree.commands.items():
        if getattr(command, "commands", None):
            yield from _commands(command, f"{before}{name} ")
        elif not command.hidden:
            yield before + name, command


def _told(option: Any) -> tuple[Any, ...]:
    return (option.param_type_name, *option.opts, option.help)


def _shared(commands: Mapping[str, Any]) -> set[tuple[Any, ...]]:
    return set.intersection(*({_told(each) for each in commands[name].params[1:]} for name in _JOB_COMMANDS))


def _options(options: Iterable[Any]) -> Iterator[str]:
    for option in options:
        spelled = ", ".join(f"`{each}`" for each in (*option.opts, *option.secondary_opts))
        value = "" if option.is_flag else f" `{option.metavar or option.type.name.upper()}`"
        default = option.default if option.show_default and not option.is_flag else None
        told = f" (default: `{default}`)" if default not in (None, "", [], ()) and not callable(default) else ""
        yield from _entry(spelled + value, _plain(option.help or "") + told)


# Platforms: as `psij-run platform show` has them.


def platforms() -> Iterator[str]:
    """Each platform that comes with psij-parsl, and what it can be asked for beyond what all can."""
    shown = [_answer("platform", "show", each["name"]) for each in _answer("platform", "list")]
    shown = [each for each in shown if each["package"].startswith("psij_parsl.")]
    yield from ("## What every platform takes", "")
    yield from _parameters(each for each in shown[0]["parameters"] if each["fixed"])
    for platform in shown:
        yield from (f"## {platform['name']}", "", f"{_begun(platform['summary'])}.", "")
        yield from (f"It can: {', '.join(platform['can'])}. Its launch method is `{platform['launcher']}`.", "")
        own = [each for each in platform["parameters"] if not each["fixed"]]
        yield from _parameters(own) if own else ("It has no parameters of its own.", "")


def option_lines() -> Iterator[str]:
    """The options of each platform's submit command, as `psij-run platform options` has them."""
    for name, platform in installed(plugins=False):
        if isinstance(platform, Exception):
            raise platform
        if not platform.directives:
            continue
        told = _answer("platform", "options", name)
        yield from (f"## {name}: `{told['lines']}`", "", "```{list-table}", ":header-rows: 1", "")
        yield from ("* - option", "  - means", "  - here", "  - on another manager")
        for row in told["options"]:
            yield f"* - `{row['option']}`"
            yield f"  - {', '.join(f'`{word}`' for word in row['means'].split(', ')) if row['means'] else ''}".rstrip()
            yield f"  - {_plain(row['say'])}".rstrip()
            yield f"  - {row['elsewhere']}"
        yield from ("```", "")


def words() -> Iterator[str]:
    """What the words of option lines mean."""
    for name, meaning in WORDS.items():
        yield from _entry(f"`{name}`", _plain(meaning))


def _answer(*words: str) -> Any:
    command = [sys.executable, "-m", "psij_parsl.cli", *words, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _parameters(parameters: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for each in parameters:
        default = each["default"]
        told = "" if default in (None, [], "", {}) else f" Default: `{json.dumps(default).strip(chr(34))}`."
        how = "" if each["flag"].startswith("-X") else f", `{each['flag']}`"
        text = f"{_begun(each['help'].rstrip('.'))}. Takes {_plain(each['takes'])}.{told}"
        yield from _entry(f"`{each['name']}`{how}", text)


# Launch methods.


def launch_methods() -> Iterator[str]:
    """Each launch method: what it is, which program it starts, and how a signal comes to the ranks."""
    for name, method in launchers():
        if isinstance(method, Exception):
            raise method
        doc = inspect.getdoc(inspect.getmodule(method)) or ""
        yield from (f"## {name}", "", _plain(doc), "")
        if not method.program:
            binding = "There is nothing to bind to."
        elif method.follows_assignment:
            binding = "We bind the ranks to their cores, and show them their GPUs."
        else:
            binding = "The launcher manages the nodes, and binds the ranks, by itself."
        if method.program:
            yield from _entry("The program", f"`{method.program}`. {binding}")
        if method.signal_docs:
            yield from _entry("Signals", _plain(method.signal_docs))


def launch_words() -> Iterator[str]:
    """What a launch line may say."""
    for field in dataclasses.fields(RunShape):
        yield from _entry(f"`{field.name}`", _plain(field.metadata["help"]))


# Site files.


def site_file() -> Iterator[str]:
    """Every key of a site file, table by table, from the schema by which editors check it."""
    schema = json_schema()
    tables = {
        name: table for name, table in schema["$defs"].items() if "type" in table
    }  # others are a platform's rules
    top = {name: key for name, key in schema["properties"].items() if name not in _settings(schema)}
    places = {
        table: found for table in tables if (found := [*_places(schema["properties"], tables, table)])
    }  # the others are the platforms' parameters
    headings = {table: _heading(found) for table, found in places.items()}
    yield from ("## The file itself", "")
    yield from _keys(top, headings)
    yield from ("## Settings of jobs", "")
    yield from (
        "In the file itself, and in each table of a node type or a queue. `source` may stand in any table.",
        "",
    )
    yield from _keys({name: schema["properties"][name] for name in _settings(schema)}, headings)
    order = {name: number for number, name in enumerate(schema["properties"])}
    for table in sorted(
        places, key=lambda one: (order[places[one][-1].partition(".")[0]], places[one][0].count("."))
    ):
        own = {name: key for name, key in tables[table]["properties"].items() if name not in _settings(schema)}
        yield from (f"## {headings[table]}", "", _plain(tables[table].get("description", "")), "")
        if len(own) < len(tables[table]["properties"]) - 1:
            yield from ("It has the [settings of jobs](#settings-of-jobs), too.", "")
        yield from _keys(own, headings)


def shipped_sites() -> Iterator[str]:
    """The machines that come with psij-parsl: what their users must say, and how sure their limits are."""
    found = installed_sites(environ={"XDG_CONFIG_HOME": os.devnull})
    yield from ("```{list-table}", ":header-rows: 1", ":widths: 15 40 12 18 15", "")
    yield from ("* - site", "  - machine", "  - manager", "  - its users must say", "  - limits")
    for name in sorted(path.stem for path in PACKAGE.glob("*.toml")):
        site = found[name]
        if isinstance(site, Exception):
            raise site
        strict = {queue.strict for queue in site.queues.values()}
        limits = (
            "none" if not strict else "strict" if strict == {True} else "soft" if strict == {False} else "some strict"
        )
        machine = f"[{_plain(site.description)}]({site.url})" if site.url else _plain(site.description)
        yield from (f"* - `{name}`", f"  - {machine}", f"  - `{site.platform}`")
        yield from ("  - " + ", ".join(f"`{FLAGS.get(one, f'-X {one}=')}`" for one in site.required), f"  - {limits}")
    yield from ("```", "")


def _settings(schema: Mapping[str, Any]) -> list[str]:
    """The keys that the file, a node type and a queue have alike."""
    of_queue = schema["$defs"]["QueueModel"]["properties"]
    return [name for name, key in schema["properties"].items() if of_queue.get(name) == key]


def _places(keys: Mapping[str, Any], tables: Mapping[str, Any], wanted: str, before: str = "") -> Iterator[str]:
    """Where a table may stand, in dots from the file itself."""
    for name, key in keys.items():
        if table := _table(key):
            place = f"{before}{name}{'.NAME' if _by_name(key) else ''}"
            if table == wanted:
                yield place
            yield from _places(tables[table]["properties"], tables, wanted, f"{place}.")


def _table(key: Mapping[str, Any]) -> str:
    """The name of the table that a key holds, by itself, in a list or by name; '' if none."""
    for part in (key, key.get("items", {}), _by_name(key), *key.get("anyOf", ())):
        if "$ref" in part:
            return str(part["$ref"]).rsplit("/", 1)[-1]
    return ""


def _by_name(key: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the values of a table are whose names the file gives; empty where it has names of its own."""
    named = [key.get("additionalProperties"), *key.get("patternProperties", {}).values()]
    found = next((each for each in named if isinstance(each, dict)), {})
    return found.get("else", found)


def _heading(places: Iterable[str]) -> str:
    named = [*places]
    return f"The table {named[0]}" if len(named) == 1 else f"The tables {' and '.join(named)}"


def _keys(keys: Mapping[str, Any], headings: Mapping[str, str]) -> Iterator[str]:
    """Rows of a table: the key, what it takes, and what it means."""
    yield from ("```{list-table}", ":header-rows: 1", ":widths: 20 25 55", "", "* - key", "  - takes", "  - means")
    for name, key in keys.items():
        default = key.get("default")
        plain = default not in (None, [], "", {}) and not isinstance(default, dict)
        told = f" Default: `{json.dumps(default)}`." if plain else ""
        text = _begun(key.get("description", ""))
        table = _table(key)
        more = f" See [below](#{_slug(headings[table])})." if table else ""
        yield from (
            f"* - `{name}`",
            f"  - {_kind(key)}",
            f"  - {text}{'' if text.endswith('.') else '.'}{told}{more}",
        )
    yield from ("```", "")


def _slug(heading: str) -> str:
    """The anchor of a heading, as MyST and GitHub make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _kind(key: Mapping[str, Any]) -> str:
    """What a value has to be, in words."""
    if "enum" in key:
        return "one of " + ", ".join(f"`{each}`" for each in key["enum"])
    if "const" in key:
        return f"`{key['const']}`"
    if "anyOf" in key:
        return " or ".join(_kind(each) for each in key["anyOf"])
    if _table(key):
        many = {"array": "a list of tables", "object": "tables by name"}
        return many.get(key.get("type", ""), "a table")
    if key.get("type") == "array":
        return "a list of texts"
    words = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "`true` or `false`"}
    return words.get(key.get("type", ""), "a table of names and values")


# How a job ends, and with what the command exits.


def end_reasons() -> Iterator[str]:
    """Every reason of an end, with its hint."""
    for reason in EndReason:
        yield from (f"### {reason.name}", "", f"{_begun(reason.hint)}.", "")


def states() -> Iterator[str]:
    """The states in their order."""
    yield from (", ".join(f"`{state.name}`" for state in JobState if state is not JobState.UNKNOWN) + ".", "")


def exit_codes() -> Iterator[str]:
    """The exit codes of errors, lowest first."""
    kinds = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, errors.Error)]
    for code in sorted({each.exit_status for each in kinds}):
        for each in (each for each in kinds if each.exit_status == code and each is not errors.Error):
            if "exit_status" in vars(each):
                yield from _entry(f"`{code}`: `{each.__name__}`", _plain(inspect.getdoc(each) or "").split("\n\n")[0])


TEXTS: Mapping[str, Callable[[], Iterator[str]]] = {
    "flags": flags,
    "platforms": platforms,
    "option lines": option_lines,
    "words of option lines": words,
    "launch methods": launch_methods,
    "words of a launch line": launch_words,
    "site file": site_file,
    "sites": shipped_sites,
    "end reasons": end_reasons,
    "states": states,
    "exit codes": exit_codes,
}
