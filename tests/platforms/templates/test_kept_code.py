"""The code of templates, kept from one start to the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

TOY = """
from pathlib import Path
from psij_parsl.platforms.templates.template import JobTemplate
class Toy(JobTemplate):
    template_file = "toy.j2"
    optional_params = [{"name": "extra", "validators": [str], "default": "none"}]
"""
TEXT = """{{ section("directives") }}
#TOY {{ num_nodes }} {{ wall_time_min }} {{ queue or "q" }} {{ project or "p" }} {{ job_mode }} {{ extra }}
{% include "more.j2" %}
"""
RENDER = """
print(json.dumps([Toy.render(), "psij_parsl.platforms.templates.generation" in sys.modules]))
"""


def in_toy(folder: Path, home: Path, code: str) -> Any:
    """What code prints, as JSON, in a fresh interpreter that has the toy's module on its path."""
    done = subprocess.run(
        [sys.executable, "-c", f"import json, sys\nfrom toy import Toy\n{code}"],
        env={
            **os.environ,
            "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}",
            "PSIJ_PARSL_HOME": str(home),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "toy"
    place.mkdir()
    (place / "toy.py").write_text(TOY)
    (place / "toy.j2").write_text(TEXT)
    (place / "more.j2").write_text("#MORE\n")
    return place


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    place.mkdir(mode=0o700)
    return place


SCRIPT = "#TOY 1 10 q p script none\n#MORE\n"


def test_code_is_kept_when_it_is_first_rendered_and_then_not_checked_again(folder: Path, home: Path) -> None:
    assert in_toy(folder, home, "print(1)") == 1
    assert not list(home.rglob("*"))  # an import writes nothing
    assert in_toy(folder, home, RENDER) == [SCRIPT, True]
    assert in_toy(folder, home, RENDER) == [SCRIPT, False]


@pytest.mark.parametrize("changed", ["toy.py", "toy.j2", "more.j2"])
def test_a_change_counts_at_once(folder: Path, home: Path, changed: str) -> None:
    in_toy(folder, home, RENDER)
    text = (folder / changed).read_text()
    new = {"toy.py": text.replace('"none"', '"others"'), "toy.j2": f"{text}#NEW\n", "more.j2": "#LESS\n"}[changed]
    (folder / changed).write_text(new)
    script, generated = in_toy(folder, home, RENDER)
    assert generated
    assert script != SCRIPT
    assert in_toy(folder, home, RENDER) == [script, False]


def test_a_fault_is_found_again_and_never_kept(folder: Path, home: Path) -> None:
    in_toy(folder, home, RENDER)
    (folder / "more.j2").write_text("{{ unknown }}\n")
    for _ in range(2):
        with pytest.raises(AssertionError, match="'unknown' is used but not declared"):
            in_toy(folder, home, RENDER)


@pytest.mark.parametrize("damage", ["torn", "other", "open", "code"])
def test_what_was_damaged_or_is_not_ours_alone_does_not_count(folder: Path, home: Path, damage: str) -> None:
    in_toy(folder, home, RENDER)
    (kept,) = (home / "cache").glob("template-*")
    if damage == "torn":
        kept.write_bytes(kept.read_bytes()[:-9])
    elif damage == "open":
        kept.chmod(0o666)
    else:
        head, _, text = kept.read_bytes().partition(b"\n")
        record = json.loads(text)
        record["python"] = "bm90IGNvZGU=" if damage == "other" else "4wAAAA=="
        content = json.dumps(record).encode()
        kept.write_bytes(f"{zlib.crc32(content):08x}\n".encode() + content)
        assert head
    assert in_toy(folder, home, RENDER)[0] == SCRIPT


def test_an_error_is_told_in_the_same_words_by_code_that_was_kept(folder: Path, home: Path) -> None:
    (folder / "more.j2").write_text("#MORE {{ queue }}\n")
    code = """
try:
    Toy.render()
except Exception as error:
    print(json.dumps(str(error)))
"""
    in_toy(folder, home, RENDER.replace("Toy.render()", "Toy.render(queue='q')"))
    assert "queue is not set, and the template prints it at more.j2:1" in in_toy(folder, home, code)
