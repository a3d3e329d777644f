"""Site files that are wrong: each fault is told at its line, all at once, and the other sites still work.

In `broken/*.toml` a comment `#! TEXT` says what is told of its line, `#!! TEXT` also that the JSON Schema finds it there;
`#?` marks a line of which the schema alone complains, for `site check` tells the same elsewhere. A number says which line it
is if not its own, 0 the whole file: `#!0 TEXT`.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest

from psij_parsl.sites import json_schema
from psij_parsl.sites.layers import PACKAGE
from psij_parsl.sites.toml_positions import Key, lines
from tests.cli.helpers import psij, psij_here

FOLDER = Path(__file__).parent / "broken"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}
_MARK = re.compile(r"#(!!|!|\?)(\d*) ?(.*?)(?= *#(?:!!|!|\?)|$)")


class Expected(NamedTuple):
    """A fault of a file; line 0 stands for the whole file."""

    line: int
    text: str
    kind: str


def expected(text: str) -> list[Expected]:
    """The faults that a file says it has, in the order in which they are told."""
    marks = [
        Expected(int(mark[2] or number), mark[3].strip(), mark[1])
        for number, line in enumerate(text.splitlines(), 1)
        for mark in _MARK.finditer(line)
    ]
    return sorted(marks, key=lambda mark: mark.line)


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host that has no sites but the package's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PSIJ_PARSL_SYSROOT", str(tmp_path / "root"))
    monkeypatch.delenv("PSIJ_PARSL_SITE_PATH", raising=False)
    monkeypatch.delenv("PSIJ_SITE", raising=False)


def told(*words: str, **environ: str) -> list[str]:
    """The faults that `site check` tells. It exits with 3, and there is no traceback."""
    done = psij_here("site", "check", *words, "--json", **environ)
    said = done.stdout + done.stderr
    assert done.returncode == 3, said
    assert not re.search("Traceback|internal error|crash|Input should|pydantic", said), said
    faults = [fault for row in json.loads(done.stdout) for fault in row["faults"]]
    assert all(fault.isprintable() for fault in faults)
    return faults


# ---- what is wrong in a file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_each_fault_is_told_once_at_its_line_in_the_order_of_the_file(name: str) -> None:
    path = FILES[name]
    wanted = [mark for mark in expected(path.read_text()) if mark.kind != "?"]
    faults = [fault.replace(str(FOLDER) + "/", "") for fault in told(str(path))]
    listed = "\n".join(faults)
    assert len(faults) == len(wanted), listed
    for at, fault in zip([mark.line for mark in wanted], faults, strict=True):
        assert fault.startswith(f"{path.name}:{at}:" if at else f"{path.name}: "), listed
    for mark in wanted:
        here = [fault for fault in faults if fault.startswith(f"{path.name}:{mark.line}:") or not mark.line]
        assert any(mark.text in fault for fault in here), f"{mark.text}\n{listed}"


def test_secrets_are_not_shown() -> None:
    assert "hunter2" not in "".join(told(str(FILES["environment"])))


# ---- files that are no text, or not to be trusted ----------------------------------------------------------------


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


_GOOD = b'platform = "slurm"\n'
_ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "latin_1": (_bytes(_GOOD + b"# caf\xe9\n"), ":2: this is not UTF-8, as TOML must be (save it as UTF-8)"),
    "utf_16": (_bytes(_GOOD.decode().encode("utf-16")), ":1: this is UTF-16, and TOML is UTF-8 (save it as UTF-8)"),
    "utf_16_be": (_bytes(b"\xfe\xff" + _GOOD.decode().encode("utf-16-be")), ":1: this is UTF-16, and TOML is UTF-8"),
    "utf_8_bom_and_a_fault": (_bytes(b"\xef\xbb\xbf" + _GOOD + b"colour = 1\n"), ":2: colour: there is no such key"),
    "nul": (_bytes(_GOOD + b"\0"), ":2:1: Invalid statement"),
    "nul_in_a_text": (_bytes(_GOOD + b'url = "\0"\n'), ":2:8: Illegal character '\\x00'"),
    "carriage_returns": (_bytes(_GOOD + b"a = 1\rb = 2\r"), ":2:"),
    "digits": (_bytes(_GOOD + b"[queues.q]\nmax_nodes = " + b"9" * 5000), ":3: a number has too many digits"),
    "empty": (_bytes(b""), ": platform: is missing"),
    "only_a_comment": (_bytes(b"# to be done\n"), ": platform: is missing"),
    "ten_megabytes": (_bytes(_GOOD + b"# " + b"x" * 10_000_000), "is larger than 1 MB (no site needs that"),
    "a_folder": (lambda path: path.mkdir(), "is no regular file (name a file)"),
    "a_pipe": (os.mkfifo, "is no regular file (name a file)"),
    "a_link_to_nothing": (lambda path: path.symlink_to("nowhere"), "cannot be read: No such file or directory"),
    "a_link_to_itself": (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
    "my site": (_bytes(_GOOD), ": name: must be a site's name: letters, digits, . _ and - only, not 'my site'"),
}


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, Path]:
    """A folder with a file of each odd kind, and with a good one."""
    paths = {}
    for name, (make, _) in _ODD.items():
        paths[name] = tmp_path / f"{name}.toml"
        make(paths[name])
    (tmp_path / "good.toml").write_bytes(b"\xef\xbb\xbf" + _GOOD + b'description = "with a byte order mark"\n')
    return paths


@pytest.mark.parametrize("name", _ODD)
def test_what_is_no_plain_text_gets_one_sentence(odd: dict[str, Path], name: str) -> None:
    (fault,) = told(str(odd[name]))
    assert str(odd[name]) in fault
    assert _ODD[name][1] in fault


def test_a_file_that_cannot_be_read_gets_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(_GOOD)
    path.chmod(0)
    if os.geteuid():
        (fault,) = told(str(path))
    else:  # root reads what nobody may read
        told(str(FILES["json"]))
        os.seteuid(65534)
        try:
            (fault,) = told(str(path))
        finally:
            os.seteuid(0)
    assert "cannot be read: Permission denied (look at its path and its permissions)" in fault


@pytest.mark.parametrize("kind", ["keys", "lines", "queues", "items", "text"])
def test_a_large_file_takes_no_longer_than_a_few_seconds(tmp_path: Path, kind: str) -> None:
    """Below 1 MB it is read, whatever is in it, also where another file builds on it."""
    text = {
        "keys": "".join(f"key{n} = {n}\n" for n in range(50_000)),
        "lines": "[environment]\n" + "".join(f"V{n} = {n}\n" for n in range(60_000)),
        "queues": "".join(f"[queues.q{n}]\nmax_nodes = {n}\n" for n in range(20_000)),
        "items": "setup = [\n" + '"",\n' * 200_000 + "3]\n",
        "text": 'description = "' + "x" * 1_000_000 + '\\n"\n',
    }[kind]
    (tmp_path / "low.toml").write_text(_GOOD.decode() + text)
    (tmp_path / "high.toml").write_text('extends = "low"\ncolour = 1\n' + text)
    faults = told("high", PSIJ_PARSL_SITE_PATH=str(tmp_path))
    assert sum(map(len, faults)) < 100_000


# ---- extends -----------------------------------------------------------------------------------------------------


def test_what_is_wrong_with_extends_is_told_with_the_files_on_the_way(tmp_path: Path) -> None:
    for name, other in ("ab", "bc", "ca"):
        (tmp_path / f"{name}.toml").write_text(f'# {name}\nextends = "{other}"\n')
    (tmp_path / "on_a_cycle.toml").write_text('extends = "a"\n')
    (tmp_path / "broken.toml").write_text("platform = slurm\n")
    (tmp_path / "on_broken.toml").write_text('\nextends = "broken"\n')
    (tmp_path / "faulty.toml").write_text('platform = "slurm"\ncolour = 1\n')
    (tmp_path / "on_faulty.toml").write_text('extends = "faulty"\ncolor = 1\n')
    (tmp_path / "twins.toml").write_text('name = "faulty2"\nplatform = "slurm"\n')
    (tmp_path / "faulty2.toml").write_text('platform = "slurm"\n')

    def of(name: str) -> list[str]:
        return told(name, PSIJ_PARSL_SITE_PATH=str(tmp_path))

    assert f"{tmp_path}/c.toml:2: extends: it ends where it began: a (" in of("a")[0]
    assert f"{tmp_path}/c.toml:2: extends: it ends where it began: on_a_cycle (" in of("on_a_cycle")[0]
    assert of("on_broken")[0].startswith(
        f"{tmp_path}/on_broken.toml:2: extends: broken cannot be used: {tmp_path}/broken.toml:1:12: Invalid value"
    )
    assert [fault.split(" ")[0] for fault in of("on_faulty")] == [
        f"{tmp_path}/faulty.toml:2:",
        f"{tmp_path}/on_faulty.toml:2:",
    ]
    assert "described twice" in of("faulty2")[0]


# ---- the other sites still work ------------------------------------------------------------------------------------


def test_the_other_sites_of_a_folder_of_broken_ones_work(odd: dict[str, Path], tmp_path: Path) -> None:
    for path in FILES.values():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    search = {"PSIJ_PARSL_SITE_PATH": str(tmp_path)}
    listed = psij("site", "list", "--json", **search)
    assert (listed.returncode, "Traceback" in listed.stderr) == (0, False), listed.stderr
    states = {row["name"]: row for row in json.loads(listed.stdout)}
    assert "good" in states
    assert {*FILES, *odd} - {"names_of_others"} <= states.keys()
    job = ("--site", "good", "-N", "2", "-t", "10", "--", "true")
    rendered = psij("render", *job, **search)
    assert (rendered.returncode, "#SBATCH --nodes=2" in rendered.stdout) == (0, True), rendered.stderr
    local = tmp_path / "here.toml"
    local.write_text('platform = "local"\n')
    ran = psij("submit", "--site", "here", "--wait", "--", "true", **search, PSIJ_PARSL_STATE=str(tmp_path / "state"))
    assert ran.returncode == 0, ran.stderr
    broken = psij("render", "--site", "everything_in_one_go", "--", "true", **search)
    assert broken.returncode != 0
    assert f"{tmp_path}/everything_in_one_go.toml:2: launcher: " in broken.stderr
    assert "Traceback" not in broken.stderr


@pytest.mark.parametrize("text", ["$PSIJ_NOWHERE/psij", "/scratch/${PSIJ_NOWHERE}/{project}"])
def test_a_variable_that_is_missing_is_told_when_it_is_needed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f'platform = "slurm"\n# its folder\nspool = "{text}"\n')
    assert psij_here("site", "check", str(path)).returncode == 0
    done = psij_here("submit", "--config", str(path), "-A", "p", "--", "true")
    assert done.returncode != 0
    assert f"{path}:3: spool is {text}, and PSIJ_NOWHERE is not set here" in done.stderr
    assert "Traceback" not in done.stderr


# ---- the schema, as editors use it -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checker() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


def parsed(text: str) -> Any:
    """What an editor checks; None where it is no TOML."""
    try:
        return json.loads(json.dumps(tomllib.loads(text), default=str))
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


def places(error: jsonschema.ValidationError) -> Iterator[Key]:
    """The values that an error is about: a key that should not be there is named in its message alone."""
    inner = [deeper for context in error.context or () for deeper in places(context)]
    key = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        yield from ((*key, name) for name in error.instance if name not in known)
    elif "propertyNames" in error.absolute_schema_path:
        yield (*key, error.instance)
    else:
        yield from [deeper for deeper in inner if len(deeper) > len(key)] or [key]


def found_by(checker: jsonschema.Draft202012Validator, text: str) -> set[int]:
    """The lines of the values of which the schema complains; 0 for the whole file."""
    at = lines(text)
    return {
        next((at[key[:n]] for n in range(len(key), 0, -1) if key[:n] in at), 0)
        for error in checker.iter_errors(parsed(text))
        for key in places(error)
    }


IN_VALUES = [
    name for name, path in FILES.items() if isinstance(parsed(path.read_text()), dict) and "nested" not in name
]


@pytest.mark.parametrize("name", IN_VALUES)
def test_the_schema_finds_what_it_can(checker: jsonschema.Draft202012Validator, name: str) -> None:
    text = FILES[name].read_text()
    marks = expected(text)
    assert found_by(checker, text) - {0} == {mark.line for mark in marks if mark.kind in ("!!", "?")}


def test_the_schema_finds_at_least_half_of_the_faults_in_values() -> None:
    marks = [mark for name in IN_VALUES for mark in expected(FILES[name].read_text()) if mark.kind != "?"]
    found = [mark for mark in marks if mark.kind == "!!"]
    assert len(FILES) + len(_ODD) >= 50
    assert len(found) >= len(marks) / 2, f"{len(found)} of {len(marks)}"


def test_the_schema_accepts_what_is_right(checker: jsonschema.Draft202012Validator) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "sites.md"
    texts = {path.name: path.read_text() for path in PACKAGE.glob("*.toml")}
    texts |= {
        f"{page.name} {n}": part.split("```")[0] for n, part in enumerate(page.read_text().split("```toml\n")[1:])
    }
    assert len(texts) > 20
    for name, text in texts.items():
        content = parsed(text)
        complaints = list(checker.iter_errors(content)) if "platform" in content else []
        assert not complaints, (name, complaints[0])
