"""The documentation as a site: it builds without a warning, and whoever is on a page finds what it promises."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

import psij_parsl
import psij_parsl.platforms
from psij_parsl.cli.app import build
from psij_parsl.platforms.registry import platforms
from psij_parsl.runs.registry import launchers
from psij_parsl.sites import json_schema
from psij_parsl.states import EndReason

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
DOCS = ROOT / "docs"
#: In the environment of the build, and on no page.
SECRET = "what-is-in-the-environment-of-whoever-builds"

pytestmark = pytest.mark.slow


@dataclass
class Page(HTMLParser):
    """One page of the site: where its links lead, what it loads, what can be linked to, and its text."""

    path: Path
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.anchors.update(told[name] for name in ("id", "name") if name in told)
        if tag == "a" and "href" in told:
            self.links.append(told["href"])
        elif tag == "link" and told.get("rel") == "stylesheet":
            self.loads.append(told["href"])
        elif "src" in told:
            self.loads.append(told["src"])

    def handle_data(self, data: str) -> None:
        self.text += data

    def leads_to(self) -> Iterator[tuple[Path, str]]:
        """The files of the site that its links name, and the anchors in them."""
        for link in self.links:
            if not urlsplit(link).scheme:
                path, anchor = urldefrag(link)
                yield ((self.path.parent / unquote(path)).resolve() if path else self.path), unquote(anchor)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """Every page by its name, built in a folder of its own. Whoever asks the network meets a proxy that is not there."""
    folder = tmp_path_factory.mktemp("site").resolve() / "html"
    nowhere = "http://127.0.0.1:9"
    environ = {
        **os.environ,
        "PYTHON": sys.executable,
        "PSIJ_DOCS_SECRET": SECRET,
        **dict.fromkeys(("http_proxy", "https_proxy"), nowhere),
    }
    ran = subprocess.run(
        [DOCS / "build", folder], env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    pages = [path for path in folder.rglob("*.html") if "_static" not in path.parts]
    return {path.relative_to(folder).with_suffix("").as_posix(): Page(path) for path in pages}


def test_every_page_in_markdown_is_a_page_of_the_site(site: dict[str, Page]) -> None:
    assert {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")} <= {*site}


def test_every_link_within_the_site_leads_somewhere(site: dict[str, Page]) -> None:
    by_path = {page.path: page for page in site.values()}
    followed, broken = 0, []
    for name, page in site.items():
        for path, anchor in page.leads_to():
            followed += 1
            there = by_path[path].anchors if path in by_path else set()
            if not path.exists() or (anchor and anchor not in there):
                broken.append(f"{name} links to {path.name}#{anchor}")
    assert not broken
    assert followed > 1000
    print(f"{followed} links on {len(site)} pages")


def test_no_page_is_without_a_way_back_to_the_front(site: dict[str, Page]) -> None:
    front = site["index"].path
    assert not [name for name, page in site.items() if front not in {path for path, _ in page.leads_to()}]


def test_why_a_job_failed_is_two_clicks_from_the_front(site: dict[str, Page]) -> None:
    by_path = {page.path: page for page in site.values()}
    first = {path for path, _ in site["index"].leads_to()}
    assert site["how-to/my-job-failed"].path in first
    second = {path for path, _ in by_path[site["how-to/my-job-failed"].path].leads_to()}
    assert site["reference/ends"].path in second


def test_nothing_is_loaded_from_elsewhere(site: dict[str, Page]) -> None:
    assert not [load for page in site.values() for load in page.loads if urlsplit(load).netloc]


def test_no_page_tells_of_the_environment_that_it_was_built_in(site: dict[str, Page]) -> None:
    assert not [name for name, page in site.items() if SECRET in page.text]
    where = re.compile(rf"{re.escape(str(ROOT))}/(docs|providers|psij_parsl)\b")  # an address may have its last word
    assert not [name for name, page in site.items() if where.search(page.path.read_text())]


def test_every_command_and_every_flag_is_in_the_reference(site: dict[str, Page]) -> None:
    def flags(command: object, whole: bool = True) -> Iterator[str]:
        for inner in getattr(command, "commands", {}).values() if whole else ():
            yield from flags(inner)
        for option in getattr(command, "params", ()):
            if option.param_type_name == "option" and not option.hidden:
                yield from option.opts

    tree, page = build(None), site["reference/flags"]
    shown = re.findall(r'<span class="pre">(-[^<]+)</span>', page.path.read_text())
    assert not {*flags(tree)} - {*flags(tree, whole=False)} - {*shown}
    for name, command in tree.commands.items():
        if not command.hidden:
            assert f"psij-run {name}" in page.text


def test_every_public_name_is_in_the_reference(site: dict[str, Page]) -> None:
    anchors = site["reference/api"].anchors | site["reference/plug-ins"].anchors
    names = {anchor.rpartition(".")[2] for anchor in anchors if anchor.startswith("psij_parsl.")}
    assert not {*psij_parsl.__all__, *psij_parsl.platforms.__all__} - names - {"__version__"}


def test_every_reason_platform_launch_method_and_key_is_in_the_reference(site: dict[str, Page]) -> None:
    ends = " ".join(site["reference/ends"].text.split())
    for reason in EndReason:
        assert reason.name in ends
        assert reason.hint[1:].replace("`", "") in ends
    assert {name.replace("_", "-") for name, _ in platforms(plugins=False)} <= site["reference/platforms"].anchors
    assert {name for name, _ in launchers()} <= site["reference/launch-methods"].anchors
    schema = json_schema()
    keys = {*schema["properties"], *(key for table in schema["$defs"].values() for key in table["properties"])}
    assert keys <= set(re.findall(r"\w+", site["reference/site-file"].text))


@pytest.mark.parametrize(
    ("word", "page"),
    [
        ("journal", "explanation/life-of-a-job"),
        ("polari", "how-to/sites"),
        ("preempt", "reference/ends"),
        ("stderr", "how-to/my-job-failed"),
        ("toyq", "how-to/adding-a-platform"),
    ],
)
def test_search_finds_a_word(site: dict[str, Page], word: str, page: str) -> None:
    """Words are in the index without their endings."""
    text = (site["index"].path.parent / "searchindex.js").read_text()
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    found = [index[where].get(word, []) for where in ("terms", "titleterms")]
    numbers = {number for some in found for number in ([some] if isinstance(some, int) else some)}
    assert page in {index["docnames"][number] for number in numbers}


def test_lines_of_pages_are_short() -> None:
    long = [
        f"{path.name}:{number}"
        for path in DOCS.rglob("*.md")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) >= 120
    ]
    assert not long
