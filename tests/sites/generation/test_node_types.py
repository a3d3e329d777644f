"""Equal nodes make a type, whose name says what distinguishes it; the file's text holds whatever a manager says."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from psij_parsl import sites
from psij_parsl.resources import gpu_topology, host
from psij_parsl.resources.gpu_topology import NearCpus
from psij_parsl.sites.generation.facts import NodeFacts, QueueFacts, SiteFacts, Suggestion
from psij_parsl.sites.generation.generating import _seen_here
from psij_parsl.sites.generation.node_grouping import node_types, vendor
from psij_parsl.sites.generation.site_text import Heading, site_text

HEADING = Heading(
    name="", platform="slurm", product="It", launcher="srun", rule={"hostname": r"n\d+"}, day="2026-11-27"
)


def names(*nodes: NodeFacts) -> list[str]:
    return [one.name for one in node_types(nodes)]


def test_the_most_frequent_type_is_first_and_named_by_its_gpus() -> None:
    plain = [NodeFacts(name=f"c{number}", cpus=64, memory=256000) for number in range(3)]
    assert names(NodeFacts(name="g1", cpus=64, memory=256000, gpus=4, gpu_model="A100"), *plain) == ["cpu", "a100"]


def test_only_what_tells_types_apart_is_in_their_names() -> None:
    small, big = NodeFacts(name="a", cpus=64, memory=256 * 1024), NodeFacts(name="b", cpus=64, memory=1024 * 1024)
    more = NodeFacts(name="c", cpus=128, memory=256 * 1024)
    assert sorted(names(small, big)) == ["cpu_1024gb", "cpu_256gb"]
    assert sorted(names(small, more)) == ["cpu_128cpus", "cpu_64cpus"]
    assert sorted(names(small, big, more)) == ["cpu_128cpus", "cpu_64cpus_1024gb", "cpu_64cpus_256gb"]
    four, eight = (NodeFacts(name=str(gpus), cpus=64, gpus=gpus, gpu_model="h100") for gpus in (4, 8))
    assert sorted(names(four, eight)) == ["h100_x4", "h100_x8"]


def test_memory_that_differs_by_a_little_makes_no_other_type_and_the_least_counts() -> None:
    (one,) = node_types(NodeFacts(name=str(size), cpus=8, memory=size) for size in (16004, 16000, 16110))
    assert one.memory == 16000
    assert len(node_types(NodeFacts(name=str(size), cpus=8, memory=size) for size in (16000, 32000))) == 2


@pytest.mark.parametrize(
    ("memory", "said"),
    [
        (16000, "15.6"),
        (32768, "32"),
        (16383, "15.9"),
        (263000, "256.8"),
        (1048576, "1024"),
        (2096128, "2047"),
        (80, "0"),
    ],
)
def test_memory_is_told_in_gb_and_not_rounded_up(memory: int, said: str) -> None:
    text = site_text(HEADING, SiteFacts(), node_types([NodeFacts(name="a", cpus=8, memory=memory)]))
    assert f"\nmemory = {memory}  # MB: {said} GB\n" in text


def test_types_whose_names_would_be_equal_are_numbered() -> None:
    sizes = (1000, 1060, 1130)  # all are 1 GB
    assert names(*(NodeFacts(name=str(size), cpus=8, memory=size) for size in sizes)) == ["cpu_1", "cpu_2", "cpu_3"]


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        *(
            (name, "nvidia")
            for name in ("a100", "TeslaV100_SXM2_32GB", "h100", "NVIDIA L40S", "gh200", "rtx6000", "t4")
        ),
        *((name, "amd") for name in ("mi250x", "MI300A", "AMD_Instinct")),
        *((name, "intel") for name in ("max1550", "pvc")),
        *((name, "") for name in ("", "gpu", "tpu", "shard")),
    ],
)
def test_whose_gpus_they_are_is_told_by_their_model(model: str, kind: str) -> None:
    assert vendor(model) == kind


# ---- this host --------------------------------------------------------------------------------------------------


def test_on_such_a_node_the_cpus_next_to_each_gpu_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_topology, "near_cpus", lambda: NearCpus("amd", ("0-3", "4-7")))
    here, elsewhere = (
        node_types([NodeFacts(name=name, cpus=8, gpus=2)])[0] for name in (f"{host.name()}.example.org", "another")
    )
    assert (_seen_here(here).gpu_kind, _seen_here(here).gpu_cpus) == ("amd", ("0-3", "4-7"))
    assert _seen_here(elsewhere).gpu_cpus == ()
    text = site_text(HEADING, SiteFacts(), [_seen_here(here)])
    assert tomllib.loads(text)["nodes"]["gpu"]["gpus"] == {"kind": "amd", "ids": 2, "cpus": ["0-3", "4-7"]}


def test_other_gpus_than_the_manager_counts_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_topology, "near_cpus", lambda: NearCpus("amd", ("0-3",)))
    (here,) = node_types([NodeFacts(name=host.name(), cpus=8, gpus=2)])
    assert _seen_here(here).gpu_cpus == ()


# ---- odd texts --------------------------------------------------------------------------------------------------

ODD = ('"', "'", "\\", "a\nb = 1", "]", "#", "ü", "\x7f", "\udce9", "{project}", "'\\d", "\x00", "a b")


def test_whatever_a_manager_says_the_file_is_valid(tmp_path: Path) -> None:
    nodes = [
        NodeFacts(name=text, cpus=1 + at, gpus=1, gpu_model=text, features=frozenset(ODD))
        for at, text in enumerate(ODD)
    ]
    queues = [
        QueueFacts(
            name=text, nodes=frozenset(ODD), remarks=ODD, suggestions=(Suggestion("choices", {"project": ODD}, text),)
        )
        for text in (*ODD, "auto", "debug", "all.q", "a-b")
    ]
    facts = SiteFacts(
        version="\n]",
        nodes=nodes,
        queues=queues,
        remarks=ODD,
        suggestions=(Suggestion("spool", text, text),) if (text := ODD[2]) else (),
    )
    file = tmp_path / "odd.toml"
    file.write_text(site_text(HEADING, facts, node_types(nodes)), encoding="utf-8")
    site = sites.find(None, file)
    assert list(site.queues) == ["debug", "all.q", "a-b"]
    assert len(site.node_types) == len(ODD)
