"""The fixture `oddq`: the manager's commands on PATH, and its platform as docs/how-to/odd-managers.md has it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor
from psij_parsl.platforms import Platform

from .manager_of import Oddq

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "how-to" / "odd-managers.md"
FILES = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def oddq_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's files as a package that is installed as far as Python is concerned."""
    place = tmp_path_factory.mktemp("oddq")
    package = place / "psij_oddq"
    package.mkdir()
    for name, text in FILES.findall(PAGE.read_text()):
        (package / name).write_text(text)
    shutil.copy(HERE / "variants.py", package)
    info = place / "psij_oddq-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: psij-oddq\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[psij_parsl.platforms]\noddq = psij_oddq:platform\n")
    sys.path.insert(0, str(place))
    yield place
    sys.path.remove(str(place))


@pytest.fixture
def oddq(
    oddq_package: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Oddq]:
    """A manager of the test's own. Its commands are found, and so is its platform by other processes."""
    manager = Oddq(tmp_path_factory.mktemp("oddq"))
    monkeypatch.setenv("ODDQ_HOME", str(manager.home))
    monkeypatch.setenv("PATH", f"{manager.bin}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(oddq_package), prepend=":")
    yield manager
    manager.stop()


@pytest.fixture
def oddly(oddq: Oddq) -> Callable[..., BatchSchedulerExecutor]:
    """Makes executors for it; `scheduler` and `template` name other classes than those of the page."""

    def make(scheduler: str = "", template: str = "", **settings: Any) -> BatchSchedulerExecutor:
        platform = Platform(
            "oddq",
            "psij_oddq",
            scheduler=scheduler or "scheduler:OddqScheduler",
            template=template or "template:OddqTemplate",
        )
        return BatchSchedulerExecutor(platform, **{"poll_s": 0.3, **settings})

    return make
