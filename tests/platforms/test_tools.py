"""What more than one platform uses: ranges of arrays, refusals with a sentence, where the manager's log goes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import psij_parsl.providers
from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.errors import InvalidRequest, PluginError
from psij_parsl.platforms import registry
from psij_parsl.platforms.templates.template import JobTemplate
from psij_parsl.platforms.tools import UNREACHABLE, array_range
from psij_parsl.providers.local.template import LocalTemplate
from psij_parsl.providers.pbspro.template import PBSProTemplate
from psij_parsl.providers.slurm.template import SlurmTemplate
from psij_parsl.system.id_ranges import format_ranges


@pytest.mark.parametrize(
    ("wanted", "base", "text"),
    [
        (range(10), 0, "0-9"),
        (range(10), 1, "1-10"),
        ((0, 5, 10, 15), 0, "0-15:5"),
        ((0, 5, 10, 15), 1, "1-16:5"),
        ((7,), 0, "7-8 7"),
        ((7,), 1, "8-9 8"),
        ((0, 1, 2, 7), 0, "0-7 0,1,2,7"),
        ((0, 1, 2, 7), 1, "1-8 1,2,3,8"),
    ],
)
def test_indices_become_one_range_from_any_base(wanted: tuple[int, ...], base: int, text: str) -> None:
    assert array_range(format_ranges(wanted), base=base) == text


def test_a_range_that_would_be_mostly_gaps_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="1001 elements for 3"):
        array_range("0,999,1000")


@pytest.mark.parametrize(
    ("said", "never_left"),
    [
        ("qsub: cannot connect to server head (errno=15010)", True),
        ("Connection refused", True),
        ("error: commlib error: unable to contact qmaster", True),
        ("pbs_iff: could not connect to MOM", False),
        ("Unable to authenticate with the server", True),
        ("qsub: Unknown queue", False),
    ],
)
def test_that_a_server_was_not_reached_is_read_from_what_is_said(said: str, never_left: bool) -> None:
    assert bool(re.search(UNREACHABLE, said)) is never_left


@pytest.mark.parametrize(
    ("template", "folder", "kept"),
    [
        (SlurmTemplate, "/home/a b/it's", True),
        (SlurmTemplate, "/home/a\\b", False),
        (SlurmTemplate, "/é", True),
        (PBSProTemplate, "/home/a b", True),
        (PBSProTemplate, "/home/a^b", False),
        (PBSProTemplate, "/home/é", False),
        (LocalTemplate, "/home/plain", True),
        (LocalTemplate, "/home/a b", False),
    ],
)
def test_the_managers_log_goes_where_an_option_line_can_name_it(
    template: type[JobTemplate], folder: str, kept: bool
) -> None:
    assert template.log_path(folder) == (f"{folder}/manager.log" if kept else "/dev/null")


@pytest.mark.parametrize("platform", ["slurm", "pbspro"])
def test_a_folder_that_no_option_line_can_name_is_no_hindrance(platform: str, tmp_path: Path) -> None:
    spool = tmp_path / "a\\b^é"
    text = BatchSchedulerExecutor(platform, spool=spool).render(Job(command=["true"], array=(0, 1)))
    line = next(line for line in text.splitlines() if "--output" in line or line.startswith("#PBS -o"))
    assert line.endswith("/dev/null")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"queue": "long"}, "local platform has no queues, so none is called 'long'"),
        ({"num_nodes": 2}, "local platform is this host alone, not 2 nodes"),
    ],
)
def test_what_a_manager_has_not_is_refused_with_its_own_sentence(asked: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        BatchSchedulerExecutor("local").render(Job(command=["true"], **asked))  # type: ignore[arg-type]
    assert "--platform or --site" in caught.value.hint


def test_a_folder_that_names_no_platform_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`providers/oar` with an allocation alone is no broken platform; one with a fault is."""
    for name, text in {"partial": '"""For its allocation."""\n', "faulty": "import no_such\nplatform = 1\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
        (tmp_path / name / "allocation.py").write_text("")
    monkeypatch.setattr(psij_parsl.providers, "__path__", [*psij_parsl.providers.__path__, str(tmp_path)])
    found = dict(registry.platforms(plugins=False))
    assert {"local", "pbspro", "slurm", "faulty"} <= set(found)
    assert "partial" not in found
    assert isinstance(found["faulty"], PluginError)
    with pytest.raises(PluginError, match="there is no platform 'partial'"):
        registry.platform("partial")
