"""What environments say of an allocation: recorded ones where there are any, else as the vendors' pages have them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from psij_parsl.errors import AllocationError
from psij_parsl.job_size import Resources
from psij_parsl.platforms import registry
from psij_parsl.providers.flux.allocation import allocation as flux
from psij_parsl.providers.flux.allocation import read_flux
from psij_parsl.resources import Allocation, Hardware, Node, NodeResources, gpus, host
from psij_parsl.resources.discover import discover
from psij_parsl.system.commands import Output

RECORDED = Path(__file__).parents[1] / "recorded"


def recorded(name: str) -> dict[str, str]:
    """The variables in a recorded output of `env`."""
    text = (RECORDED / name).read_text().partition("#--stdout--\n")[2].partition("\n----")[0]
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def told(manager: str, environ: Mapping[str, str]) -> Allocation | None:
    """What a manager's variables tell of a job."""
    allocation: Allocation | None = registry.manager(manager).part("allocation")(environ)
    return allocation


def slurm(environ: Mapping[str, str]) -> Allocation | None:
    return told("slurm", environ)


def shape(allocation: Allocation | None) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Names, number of CPUs and GPUs, for hosts that are not this one."""
    assert allocation is not None
    assert not any(node.real_ids for node in allocation.nodes)
    return {node.name: (len(node.cpus), node.gpus) for node in allocation.nodes}


# ---- Slurm -------------------------------------------------------------------------------------------------------


def test_a_recorded_slurm_job() -> None:
    found = slurm(recorded("slurm/env-2node.txt"))
    assert shape(found) == {"node01": (4, ("0",)), "node02": (4, ("0",))}
    assert found is not None
    assert (found.platform, found.id, found.cluster, found.end) == ("slurm", "16", "testbed", None)
    assert [node.memory for node in found.nodes] == [400, 400]


SLURM = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_JOB_CPUS_PER_NODE": "4(x2),128"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, ()),
        ({"SLURM_JOB_GPUS": "0,1", "CUDA_VISIBLE_DEVICES": "0,1"}, ("0", "1")),
        ({"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "0,1"}, ("0", "1")),  # confined: numbered from 0 again
        ({"SLURM_JOB_GPUS": "0-3", "CUDA_VISIBLE_DEVICES": "2"}, ("0", "1", "2", "3")),  # inside a run with a part
        ({"SLURM_STEP_GPUS": "0,3"}, ("0", "3")),
        ({"SLURM_GPUS_ON_NODE": "4", "ROCR_VISIBLE_DEVICES": "0,1,2,3"}, ("0", "1", "2", "3")),
        ({"SLURM_GPUS_PER_NODE": "a100:2"}, ("0", "1")),  # on a login node, under salloc
        ({"CUDA_VISIBLE_DEVICES": "GPU-5d1f,GPU-77aa", "SLURM_JOB_GPUS": "0,1"}, ("GPU-5d1f", "GPU-77aa")),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, ()),
    ],
)
def test_gpus_of_a_slurm_job(more: dict[str, str], expected: tuple[str, ...]) -> None:
    found = slurm({**SLURM, **more})
    assert shape(found) == {"n1": (4, expected), "n2": (4, expected), "n3": (128, expected)}


def test_slurm_tells_memory_and_since_23_02_the_end() -> None:
    found = slurm({**SLURM, "SLURM_MEM_PER_NODE": "2000", "SLURM_JOB_END_TIME": "1800000000"})
    assert found is not None
    assert found.end == 1800000000.0
    assert {node.memory for node in found.nodes} == {2000}
    whole = slurm({**SLURM, "SLURM_MEM_PER_NODE": "0"})  # all of the memory, however much that is
    assert whole is not None
    assert {node.memory for node in whole.nodes} == {None}


def test_slurm_variables_that_contradict_each_other_are_an_error() -> None:
    with pytest.raises(AllocationError, match="3 nodes and the CPUs of 2"):
        slurm({**SLURM, "SLURM_JOB_CPUS_PER_NODE": "4(x2)"})


def test_outside_a_job_there_is_no_allocation() -> None:
    assert slurm({"SLURM_CONF": "/etc/slurm.conf"}) is None
    for manager in registry.managers():
        assert manager.part("allocation")({"PATH": "/bin"}) is None


# ---- other managers ----------------------------------------------------------------------------------------------


def test_a_recorded_pbs_job(tmp_path: Path) -> None:
    nodefile = tmp_path / "nodes"
    nodefile.write_text("node01\nnode01\nnode02\nnode02\n")
    found = told("pbspro", {**recorded("openpbs/env-2node.txt"), "PBS_NODEFILE": str(nodefile)})
    assert shape(found) == {"node01": (2, ()), "node02": (2, ())}
    assert found is not None
    assert (found.id, found.cluster) == ("65.head", "head")


def test_torque_with_fewer_ranks_than_cpus(tmp_path: Path) -> None:
    nodefile, gpufile = tmp_path / "nodes", tmp_path / "gpus"
    nodefile.write_text("a\nb\n")
    gpufile.write_text("a-gpu0\na-gpu1\nb-gpu3\n")
    environ = {"PBS_JOBID": "1.s", "PBS_NODEFILE": str(nodefile), "PBS_NUM_PPN": "32", "PBS_GPUFILE": str(gpufile)}
    assert shape(told("torque", environ)) == {"a": (32, ("0", "1")), "b": (32, ("3",))}


def test_a_host_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AllocationError, match="PBS_NODEFILE names.*the job's first node"):
        told("pbspro", {"PBS_JOBID": "1", "PBS_NODEFILE": "/nonexistent"})


@pytest.mark.parametrize(
    "environ",
    [
        {"LSB_MCPU_HOSTS": "batch1 1 h1 42 h2 42", "CSM_ALLOCATION_ID": "5"},
        {"LSB_MCPU_HOSTS": "h1 42 h2 42"},
        {"LSB_HOSTS": " ".join(["h1"] * 42 + ["h2"] * 42)},
        {"LSB_DJOB_HOSTFILE": "FILE"},
    ],
)
def test_lsf(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("h1\n" * 42 + "h2\n" * 42)
    environ = {name: str(tmp_path / "hosts") if value == "FILE" else value for name, value in environ.items()}
    found = told("lsf", {**environ, "LSB_JOBID": "9", "LSB_JOBINDEX": "3", "CUDA_VISIBLE_DEVICES": "0,1"})
    assert shape(found) == {"h1": (42, ("0", "1")), "h2": (42, ("0", "1"))}
    assert found is not None
    assert found.id == "9[3]"
    with pytest.raises(AllocationError, match="names no hosts"):
        told("lsf", {"LSB_JOBID": "9"})


def test_cobalt_tells_no_cpus_and_the_site_does(tmp_path: Path) -> None:
    environ = {"COBALT_JOBID": "4", "COBALT_PARTNAME": "1001-1002,1030", "COBALT_ENDTIME": "1800000000"}
    found = told("cobalt", environ)
    assert found is not None
    assert found.end == 1800000000.0
    assert [node.name for node in found.nodes] == ["nid01001", "nid01002", "nid01030"]
    assert {node.cpus for node in found.nodes} == {()}
    whole = discover(environ, Hardware(cpus=64, gpus=("0",)))
    assert {(len(node.cpus), node.gpus) for node in whole.nodes} == {(64, ("0",))}
    (tmp_path / "nodes").write_text("thetagpu01\n")
    named = told("cobalt", {**environ, "COBALT_NODEFILE": str(tmp_path / "nodes")})
    assert named is not None
    assert [node.name for node in named.nodes] == ["thetagpu01"]


def test_a_recorded_grid_engine_job(tmp_path: Path) -> None:
    hostfile = tmp_path / "pe_hostfile"
    hostfile.write_text(
        "node01 2 all.q@node01 UNDEFINED\nnode02 2 all.q@node02 UNDEFINED\nnode01 1 b.q@node01 NULL\n"
    )
    environ = {**recorded("gridengine/env-2node.txt"), "PE_HOSTFILE": str(hostfile), "SGE_HGR_gpu": "0 1"}
    found = told("gridengine", environ)
    assert shape(found) == {"node01": (3, ("0", "1")), "node02": (2, ("0", "1"))}
    assert found is not None
    assert found.id == "92"
    hostfile.write_text("node01 2 all.q@node01 0,4:0,5\n")
    bound = told("gridengine", {**environ, "SGE_TASK_ID": "7"})
    assert bound is not None
    assert bound.id == "92.7"
    assert bound.nodes[0].cpus == (4, 5)
    assert bound.nodes[0].real_ids


def test_grid_engine_without_a_parallel_environment() -> None:
    environ = {"JOB_ID": "3", "SGE_ROOT": "/sge", "HOSTNAME": "node09", "NSLOTS": "5"}
    assert shape(told("gridengine", environ)) == {"node09": (5, ())}


def test_oar_with_and_without_core_numbers(tmp_path: Path) -> None:
    (tmp_path / "nodes").write_text("a\na\nb\n")
    (tmp_path / "properties").write_text(
        "host = 'a' , cpuset = '3' , core = '11'\nhost = 'a' , cpuset = '5'\nhost = 'b' , cpuset = 'x'\n"
    )
    environ = {"OAR_JOB_ID": "702", "OAR_NODEFILE": str(tmp_path / "nodes")}
    assert shape(told("oar", environ)) == {"a": (2, ()), "b": (1, ())}
    found = told("oar", {**environ, "OAR_RESOURCE_PROPERTIES_FILE": str(tmp_path / "properties")})
    assert found is not None
    assert found.nodes == (Node("a", (3, 5)), Node("b", (0,), real_ids=False))


HTCONDOR_JOB = (
    'AllowedJobDuration = 600\nClusterId = 4\nGlobalJobId = "head#4.2#1795732452"\nJobCurrentStartDate = 1000\n'
    "NumJobStarts = 1\nProcId = 2\nRequirements = (TARGET.Memory >= RequestMemory)\n"
)
HTCONDOR_SLOT = 'AssignedGPUs = "GPU-5d,GPU-6e"\nCpus = 3\nDetectedCpus = 64\nMemory = 128\nTotalCpus = 64.0\n'


def htcondor(tmp_path: Path, slot: str = HTCONDOR_SLOT, **more: str) -> Allocation | None:
    (tmp_path / ".job.ad").write_text(HTCONDOR_JOB)
    (tmp_path / ".machine.ad").write_text(slot)
    ads = {"_CONDOR_JOB_AD": str(tmp_path / ".job.ad"), "_CONDOR_MACHINE_AD": str(tmp_path / ".machine.ad")}
    return told("htcondor", ads | more)


def test_htcondor_tells_of_the_job_and_of_its_slot(tmp_path: Path) -> None:
    found = htcondor(tmp_path, CUDA_VISIBLE_DEVICES="GPU-5d,GPU-6e")
    assert found is not None
    assert (found.id, found.end, found.cluster, found.attempt) == ("4.2", 1600.0, "head", "1")
    (node,) = found.nodes
    assert (node.name, len(node.cpus), node.gpus, node.memory) == (host.name(), 3, ("GPU-5d", "GPU-6e"), 128)


def test_htcondors_device_10000_is_none(tmp_path: Path) -> None:
    found = htcondor(tmp_path, "Cpus = 1\nMemory = undefined\n", CUDA_VISIBLE_DEVICES="10000")
    assert found is not None
    assert (found.nodes[0].gpus, found.nodes[0].memory, found.gpus_told) == ((), None, True)


def test_outside_a_job_htcondor_tells_nothing(tmp_path: Path) -> None:
    assert told("htcondor", {"CONDOR_CONFIG": "/etc/condor/condor_config"}) is None
    with pytest.raises(AllocationError):
        told("htcondor", {"_CONDOR_JOB_AD": str(tmp_path / "gone"), "_CONDOR_MACHINE_AD": str(tmp_path / "gone")})


def test_a_recorded_flux_instance() -> None:
    text = (RECORDED / "flux/info.resource-R.txt").read_text().partition("#--stdout--\n")[2].partition("#--stderr")[0]
    asked: list[list[str]] = []

    def run(argv: list[str]) -> Output:
        asked.append(argv)
        return Output(tuple(argv), 0, text, "")

    found = flux(recorded("flux/env-2node-batch.txt"), run)
    assert shape(found) == {f"node0{number}": (8, ()) for number in (1, 2, 3, 4)}
    assert asked == [["flux", "resource", "R"]]
    assert found is not None
    assert found.end is None


def test_a_flux_job_with_gpus_and_an_end() -> None:
    text = json.dumps(
        {
            "version": 1,
            "execution": {
                "R_lite": [
                    {"rank": "0", "children": {"core": "0-3", "gpu": "0-1"}},
                    {"rank": "2-3", "children": {"core": "4,6"}},
                ],
                "nodelist": ["node[1,5-6]"],
                "expiration": 1800000000.0,
            },
        }
    )
    found = read_flux(text, "f7")
    assert shape(found) == {"node1": (4, ("0", "1")), "node5": (2, ()), "node6": (2, ())}
    assert (found.end, found.nodes[1].cpus) == (1800000000.0, (4, 6))


def test_a_silent_flux_is_an_error() -> None:
    def run(argv: list[str]) -> Output:
        return Output(tuple(argv), 1, "", "flux-resource: ERROR: broken pipe")

    with pytest.raises(AllocationError, match="broken pipe"):
        flux({"FLUX_URI": "local:///x", "FLUX_JOB_ID": "f1"}, run)
    for wrong in ("", "{}", '{"execution": {"R_lite": [{}], "nodelist": ["a"]}}'):
        with pytest.raises(AllocationError, match="cannot read Flux's resource set"):
            read_flux(wrong, "f1")


# ---- which one ---------------------------------------------------------------------------------------------------


def test_the_inner_of_two_jobs_is_ours() -> None:
    local = {"PSIJ_LOCAL_JOB_ID": "l1", "PSIJ_LOCAL_CORES": "2", "PSIJ_LOCAL_END": "1800000000"}
    found = discover({**SLURM, **local})
    assert (found.platform, found.id, found.end) == ("local", "l1", 1800000000.0)
    assert len(found.nodes[0].cpus) == 2
    assert discover({**SLURM, **local, "PSIJ_NATIVE_ID": "7"}).platform == "slurm"


def test_a_job_that_cannot_be_read_spoils_no_other() -> None:
    broken = {"PBS_JOBID": "1", "PBS_NODEFILE": "/nonexistent"}
    assert discover({**SLURM, **broken}).platform == "slurm"
    with pytest.raises(AllocationError, match="PBS_NODEFILE"):
        discover(broken)


def test_without_a_job_it_is_this_host() -> None:
    found = discover({"CUDA_VISIBLE_DEVICES": "3,1"})
    (node,) = found.nodes
    assert (found.platform, found.id, node.name) == ("host", "", host.name())
    assert set(node.cpus) <= os.sched_getaffinity(0)
    assert node.gpus == ("3", "1")
    assert NodeResources(found).assign(Resources()) is not None


def test_this_host_as_a_slurm_node_has_real_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "online", lambda: 8)
    monkeypatch.setattr(host, "cpus", lambda: (2, 5))
    monkeypatch.setattr(host, "siblings", lambda: tuple((at, at + 4) for at in range(4)))
    environ = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": f"{host.name()},other1", "SLURM_JOB_CPUS_PER_NODE": "2,8"}
    found = slurm(environ)
    assert found is not None
    assert [(node.cpus, node.real_ids) for node in found.nodes] == [((2, 5), True), (tuple(range(8)), True)]
    away = slurm({**environ, "SLURM_JOB_NODELIST": "other[1-2]"})  # from a login node
    assert away is not None
    assert not any(node.real_ids for node in away.nodes)


# ---- this host ---------------------------------------------------------------------------------------------------


def tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in {"sys/devices/system/cpu/online": "0-15", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


EVERY = range(32)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, tuple(range(16))),
        # version 2: the group's own quota, one of a group above it, no quota
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "250000 100000"}, (0, 1)),
        (
            {"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/x": "", "sys/fs/cgroup/a/cpu.max": "300000 100000"},
            (0, 1, 2),
        ),
        ({"proc/self/cgroup": "0::/a", "sys/fs/cgroup/a/cpu.max": "max 100000"}, tuple(range(16))),
        ({"proc/self/cgroup": "0::/a", "sys/fs/cgroup/a/cpu.max": "5000 100000"}, (0,)),  # at least one
        ({"proc/self/cgroup": "0::/a", "sys/fs/cgroup/a/cpuset.cpus.effective": "4-6,9"}, (4, 5, 6, 9)),
        (
            {
                "proc/self/cgroup": "0::/a",
                "sys/fs/cgroup/a/cpuset.cpus.effective": "4-9",
                "sys/fs/cgroup/a/cpu.max": "200000 100000",
            },
            (4, 5),
        ),
        # a container sees the mount's top in place of its path
        ({"proc/self/cgroup": "0::/docker/77", "sys/fs/cgroup/cpu.max": "100000 100000"}, (0,)),
        # version 1
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/s/j\n3:cpuset:/s/j\n1:name=systemd:/",
                "sys/fs/cgroup/cpu,cpuacct/s/j/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu,cpuacct/s/j/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpuset/s/j/cpuset.cpus": "8-15",
            },
            (8, 9, 10),
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/j",
                "sys/fs/cgroup/cpu/j/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/j/cpu.cfs_period_us": "100000",
            },
            tuple(range(16)),
        ),
        ({"proc/self/cgroup": "0::/a", "sys/fs/cgroup/a/cpuset.cpus.effective": "gibberish"}, tuple(range(16))),
    ],
)
def test_limits_of_control_groups(files: dict[str, str], expected: tuple[int, ...], tmp_path: Path) -> None:
    assert host.cpus(tree(tmp_path, files), EVERY) == expected


def test_the_affinity_limits_too(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/a", "sys/fs/cgroup/a/cpu.max": "200000 100000"})
    assert host.cpus(root, (3, 7, 11, 20)) == (3, 7)
    assert host.online(root) == 16


def test_threads_of_a_core_and_memory(tmp_path: Path) -> None:
    files = {
        f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{cpu % 2},{cpu % 2 + 2}"
        for cpu in range(4)
    }
    files |= {
        "proc/meminfo": "MemTotal:  8388608 kB\nMemFree: 1 kB",
        "proc/self/cgroup": "0::/a",
        "sys/fs/cgroup/a/memory.max": str(2 << 30),
        "sys/fs/cgroup/memory.max": "max",
    }
    root = tree(tmp_path, files)
    assert host.siblings(root) == ((0, 2), (1, 3))
    assert host.memory(root) == 2048
    assert host.memory(tree(tmp_path / "other", {"proc/meminfo": "MemTotal:  8388608 kB"})) == 8192
    assert host.siblings(tmp_path / "none") == ()


# ---- GPUs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"CUDA_VISIBLE_DEVICES": ""}, ()),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, ()),
        ({"CUDA_VISIBLE_DEVICES": "2, 0,2,-1,5"}, ("2", "0")),
        ({"CUDA_VISIBLE_DEVICES": "-1", "ROCR_VISIBLE_DEVICES": "0,1"}, ("0", "1")),
        ({"CUDA_VISIBLE_DEVICES": "0,1", "ROCR_VISIBLE_DEVICES": "4,5"}, ("4", "5")),
        ({"ZE_AFFINITY_MASK": "0.0,0.1,1.0"}, ("0.0", "0.1", "1.0")),
    ],
)
def test_visible_gpus(environ: dict[str, str], expected: tuple[str, ...] | None) -> None:
    assert gpus.visible(environ) == expected


TOOLS = {
    "nvidia-smi": "GPU 0: NVIDIA A100 (UUID: GPU-1)\nGPU 1: NVIDIA A100 (UUID: GPU-2)\n"
    "  MIG 1g.5gb      Device  0: (UUID: MIG-a)\n  MIG 1g.5gb      Device  1: (UUID: MIG-b)\n",
    "rocm-smi": "==== ROCm ====\nGPU[0]\t: Device Name: x\nGPU[0]\t: Device ID: y\nGPU[1]\t: Device Name: x\n",
    "xpu-smi": "+---+\n| Device ID | Device Information |\n| 0         | Device Name: x |\n| 1  | Device Name: x |\n",
}


@pytest.mark.parametrize(
    ("tool", "expected"),
    [("nvidia-smi", ("0", "MIG-a", "MIG-b")), ("rocm-smi", ("0", "1")), ("xpu-smi", ("0", "1")), ("none", ())],
)
def test_gpus_that_a_vendors_tool_lists(tool: str, expected: tuple[str, ...]) -> None:
    def run(argv: list[str]) -> Output:
        return Output(tuple(argv), 0, TOOLS[argv[0]], "")

    assert gpus.query_tools(run, lambda name: name == tool) == expected


def tool(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program of that text where nvidia-smi is looked for."""
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\necho >>{folder}/calls\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_tool_is_asked_once_after_each_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, "echo 'GPU 0: NVIDIA (UUID: GPU-1)'; echo 'GPU 1: NVIDIA (UUID: GPU-2)'", monkeypatch)
    for _ in range(3):
        assert discover(os.environ).nodes[0].gpus == ("0", "1")
    assert len((tmp_path / "calls").read_text()) == 1
    assert discover({**os.environ, "CUDA_VISIBLE_DEVICES": ""}).nodes[0].gpus == ()  # said to be none
    whole = {"LSB_JOBID": "9", "LSB_MCPU_HOSTS": f"{host.name()} {host.online()} other1 4"}
    assert {node.gpus for node in discover({**os.environ, **whole}).nodes} == {("0", "1")}
    part = {"LSB_JOBID": "9", "LSB_MCPU_HOSTS": f"{host.name()} 1 other1 4"}
    if host.online() > 1:
        assert {node.gpus for node in discover({**os.environ, **part}).nodes} == {()}  # others may have them
    assert {node.gpus for node in discover({**os.environ, **SLURM}).nodes} == {()}  # none were asked for


def test_a_tool_that_fails_or_hangs_leaves_it_to_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, "exec sleep 60", monkeypatch)
    monkeypatch.setattr(gpus, "_PATIENCE_S", 0.2)
    found = discover({}, Hardware(gpus=("0", "1")))
    assert found.nodes[0].gpus == ("0", "1")
