"""Which CPUs are next to each GPU: by the vendors' tools, and by the system's list of devices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from psij_parsl.resources.gpu_topology import NearCpus, near_cpus, read_nvidia, read_rocm
from psij_parsl.system.commands import Output, Runner

# In the forms of the tools: nvidia-smi underlines its titles, and its columns are parted by tabs.
NVIDIA = (
    "\t\x1b[4mGPU0\tGPU1\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m\n"
    "GPU0\t X \tNV4\tSYS\t48-63,112-127\t3\t\tN/A\n"
    "GPU1\tNV4\t X \tPHB\t32-47,96-111\t2\t\tN/A\n"
    "NIC0\tSYS\tPHB\t X \t\t\t\t\n"
    "\nLegend:\n\n  X    = Self\n"
)
ROCM = (
    "============================ ROCm System Management Interface ============================\n"
    "======================================= Numa Nodes =======================================\n"
    "GPU[0]\t\t: (Topology) Numa Node: 3\n"
    "GPU[0]\t\t: (Topology) Numa Affinity: 3\n"
    "GPU[1]\t\t: (Topology) Numa Node: 0\n"
    "GPU[1]\t\t: (Topology) Numa Affinity: 0\n"
    "================================== End of ROCm SMI Log ===================================\n"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with NUMA nodes of 16 CPUs, and three devices of which two are GPUs."""
    for node, cpus in {0: "0-7,32-39", 3: "24-31,56-63"}.items():
        folder = tmp_path / f"sys/devices/system/node/node{node}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(f"{cpus}\n")
    for address, vendor, kind, cpus in (
        ("0000:02:00.0", "0x102b", "0x030000", "0-63"),  # the server's screen
        ("0000:18:00.0", "0x8086", "0x038000", "0-7,32-39"),
        ("0000:9a:00.0", "0x8086", "0x038000", "24-31,56-63"),
    ):
        folder = tmp_path / "sys/bus/pci/devices" / address
        folder.mkdir(parents=True)
        for name, text in (("vendor", vendor), ("class", kind), ("local_cpulist", cpus)):
            (folder / name).write_text(f"{text}\n")
    return tmp_path


def printing(text: str) -> Runner:
    return lambda argv: Output(tuple(argv), 0, text, "")


def test_nvidias_matrix(root: Path) -> None:
    assert read_nvidia(NVIDIA) == ("48-63,112-127", "32-47,96-111")
    found = near_cpus(root, printing(NVIDIA), lambda name: name == "nvidia-smi")
    assert found == NearCpus("nvidia", ("48-63,112-127", "32-47,96-111"))


def test_amds_numa_nodes(root: Path) -> None:
    assert read_rocm(ROCM, root) == ("24-31,56-63", "0-7,32-39")


def test_without_a_tool_the_devices_on_the_bus_count(root: Path) -> None:
    assert near_cpus(root, which=lambda name: None) == NearCpus("intel", ("0-7,32-39", "24-31,56-63"))


@pytest.mark.parametrize("text", ["", "No devices were found\n", "GPU0\t X \n", NVIDIA.replace("48-63", "none")])
def test_a_tool_that_does_not_tell_makes_nothing_up(text: str, root: Path) -> None:
    assert "48-63,112-127" not in read_nvidia(text)
    assert set(read_nvidia(text)) <= {"", "32-47,96-111"}


def test_a_tool_that_fails_is_not_believed(root: Path) -> None:
    asked: list[Sequence[str]] = []

    def fails(argv: Sequence[str]) -> Output:
        asked.append(argv)
        return Output(tuple(argv), 9, NVIDIA, "NVIDIA-SMI has failed")

    found = near_cpus(root, fails, lambda name: True)
    assert [argv[0] for argv in asked] == ["nvidia-smi", "rocm-smi"]
    assert found == NearCpus("intel", ("0-7,32-39", "24-31,56-63"))


def test_a_host_without_gpus(tmp_path: Path) -> None:
    assert near_cpus(tmp_path, which=lambda name: None) is None
