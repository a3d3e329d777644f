"""What managers tell a job about its nodes, for those that have no folder in `providers/` of their own yet.

Each function reads one manager's environment and returns None outside its jobs. A platform's folder names the
one that fits as its `allocation` part. Host files are read; no command is run, except for Flux, whose environment
names no hosts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..errors import AllocationError, Unavailable
from . import gpus, host
from .allocation import Allocation, counted
from .hostlist import expand, lines, numbers, pe_hostfile, slots
from .node import Node

if TYPE_CHECKING:
    from ..system.commands import Runner


def pbs(environ: Mapping[str, str]) -> Allocation | None:
    """PBS Pro, OpenPBS and Torque.

    PBS_NODEFILE has a line per MPI rank; NCPUS is the number of CPUs of the first chunk (PBS Pro user's guide,
    "PBS Environmental Variables"), PBS_NUM_PPN Torque's. The greater of lines and CPUs counts for each host.
    """
    if "PBS_JOBID" not in environ or "PBS_NODEFILE" not in environ:
        return None
    job_id = environ["PBS_JOBID"]
    found = lines(_file(environ["PBS_NODEFILE"], "PBS_NODEFILE"))
    least = max(_number(environ, "NCPUS"), _number(environ, "PBS_NUM_PPN"))
    nodes, siblings = counted(found, [max(count, least) for count in found.values()], gpus.visible(environ) or ())
    return Allocation("pbs", job_id, _with_gpu_file(nodes, environ), cluster=_server(job_id), siblings=siblings)


def _server(job_id: str) -> str:
    return job_id.partition(".")[2]


def _with_gpu_file(nodes: tuple[Node, ...], environ: Mapping[str, str]) -> tuple[Node, ...]:
    """Torque's PBS_GPUFILE has lines such as `node01-gpu0`."""
    if "PBS_GPUFILE" not in environ or any(node.gpus for node in nodes):
        return nodes
    given = re.findall(r"^(.+)-gpu(\d+)$", _file(environ["PBS_GPUFILE"], "PBS_GPUFILE"), re.MULTILINE)
    return tuple(node._replace(gpus=tuple(gpu for name, gpu in given if name == node.name)) for node in nodes)


def lsf(environ: Mapping[str, str]) -> Allocation | None:
    """LSF: LSB_MCPU_HOSTS `h1 4 h2 4`, or LSB_DJOB_HOSTFILE with a line per slot, or LSB_HOSTS.

    https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=variables-environment-variables-set-job-execution
    Where the job's script runs on a launch node (CSM: Summit, Lassen), its one slot is not part of the job.
    """
    if "LSB_JOBID" not in environ:
        return None
    if mcpu := environ.get("LSB_MCPU_HOSTS"):
        found = slots(mcpu)
    elif file := environ.get("LSB_DJOB_HOSTFILE"):
        found = lines(_file(file, "LSB_DJOB_HOSTFILE"))
    else:
        found = lines("\n".join(environ.get("LSB_HOSTS", "").split()))
    first = next(iter(found), "")
    if "CSM_ALLOCATION_ID" in environ and len(found) > 1 and found[first] == 1:
        del found[first]
    job_id = environ["LSB_JOBID"]
    if (index := environ.get("LSB_JOBINDEX", "0")) != "0":
        job_id = f"{job_id}[{index}]"
    nodes, siblings = counted(found, list(found.values()), gpus.visible(environ) or ())
    return Allocation("lsf", job_id, _some(nodes, "LSF"), cluster=environ.get("LSF_CLUSTER", ""), siblings=siblings)


def cobalt(environ: Mapping[str, str]) -> Allocation | None:
    """Cobalt: node numbers in COBALT_PARTNAME (`1001-1005,1030`, named nid01001 …) or names in COBALT_NODEFILE.

    It tells no number of CPUs: that is the site's to say.
    """
    if "COBALT_JOBID" not in environ:
        return None
    if file := environ.get("COBALT_NODEFILE"):
        names: Sequence[str] = tuple(lines(_file(file, "COBALT_NODEFILE")))
    else:
        names = expand(environ.get("COBALT_PARTNAME", ""), prefix="nid", width=5)
    gpu_ids = gpus.visible(environ) or ()
    end = environ.get("COBALT_ENDTIME", "")
    nodes = tuple(Node(name, (), gpu_ids) for name in names)
    return Allocation("cobalt", environ["COBALT_JOBID"], _some(nodes, "Cobalt"), _seconds(end))


def gridengine(environ: Mapping[str, str]) -> Allocation | None:
    """Grid Engine: PE_HOSTFILE in a parallel environment, else NSLOTS on this host; GPUs from SGE_HGR_gpu.

    https://gridscheduler.sourceforge.net/htmlman/htmlman1/qsub.html
    """
    if "JOB_ID" not in environ or "SGE_ROOT" not in environ:
        return None
    job_id, task = environ["JOB_ID"], environ.get("SGE_TASK_ID", "undefined")
    visible = gpus.visible(environ)
    gpu_ids = tuple(environ.get("SGE_HGR_gpu", "").split()) if visible is None else visible
    if file := environ.get("PE_HOSTFILE"):
        rows = list(pe_hostfile(_file(file, "PE_HOSTFILE")))
    else:
        rows = [(environ.get("HOSTNAME") or host.name(), _number(environ, "NSLOTS") or 1, ())]
    names = dict.fromkeys(name for name, _, _ in rows)
    totals = [sum(count for other, count, _ in rows if other == name) for name in names]
    nodes, siblings = counted(names, totals, gpu_ids)
    bound = {name: cpus for name, count, cpus in rows if len(cpus) == count}
    nodes = tuple(
        node._replace(cpus=bound[node.name], real_ids=True) if len(bound.get(node.name, ())) == total else node
        for node, total in zip(nodes, totals, strict=True)
    )
    whole = job_id if task == "undefined" else f"{job_id}.{task}"
    return Allocation("gridengine", whole, nodes, cluster=environ.get("SGE_CELL", ""), siblings=siblings)


def oar(environ: Mapping[str, str]) -> Allocation | None:
    """OAR: OAR_NODEFILE has a line per resource, which is a core on most machines.

    OAR_RESOURCE_PROPERTIES_FILE names each core's number on its host, as `cpuset = '3'`.
    https://oar.imag.fr/docs/latest/user/mechanisms.html
    """
    if "OAR_JOB_ID" not in environ or "OAR_NODEFILE" not in environ:
        return None
    found = lines(_file(environ["OAR_NODEFILE"], "OAR_NODEFILE"))
    nodes, siblings = counted(found, list(found.values()), gpus.visible(environ) or ())
    if file := environ.get("OAR_RESOURCE_PROPERTIES_FILE"):
        nodes = _with_cpusets(nodes, _file(file, "OAR_RESOURCE_PROPERTIES_FILE"))
    return Allocation("oar", environ["OAR_JOB_ID"], nodes, siblings=siblings)


def _with_cpusets(nodes: tuple[Node, ...], properties: str) -> tuple[Node, ...]:
    known: dict[str, set[int]] = {}
    for line in properties.splitlines():
        said = dict(re.findall(r"(\w+)\s*=\s*'([^']*)'", line))
        name = said.get("network_address") or said.get("host") or ""
        if re.fullmatch(r"\d+(,\d+)*", said.get("cpuset", "")):
            known.setdefault(name, set()).update(map(int, said["cpuset"].split(",")))
    return tuple(
        node._replace(cpus=tuple(sorted(known[node.name])), real_ids=True)
        if len(known.get(node.name, ())) >= len(node.cpus)
        else node
        for node in nodes
    )


def flux(environ: Mapping[str, str], run: Runner | None = None) -> Allocation | None:
    """Flux: an instance of one's own (`flux batch`, `flux alloc`), or a job of another one (FLUX_JOB_ID).

    The environment names no hosts, so Flux is asked: `flux resource R` in an instance, `flux job info ID R` in a
    job; both print a resource set
    (https://flux-framework.readthedocs.io/projects/flux-rfc/en/latest/spec_20.html). Raises `AllocationError`
    when it does not answer.
    """
    if "FLUX_URI" not in environ:
        return None
    job_id = environ.get("FLUX_JOB_ID", "")
    argv = ["flux", "job", "info", job_id, "R"] if job_id else ["flux", "resource", "R"]
    from ..system.bounds import Bounds
    from ..system.commands import CommandRunner

    runner = run or partial(
        CommandRunner(keep_env=("FLUX_*", "LUA_*", "PYTHONPATH"), timeout_s=20.0), bounds=Bounds()
    )
    try:
        output = runner(argv)
    except Unavailable as error:
        raise AllocationError(
            f"Flux cannot be asked for this job's nodes: {error.message}", hint=error.hint
        ) from error
    if output.rc != 0:
        raise AllocationError(f"{' '.join(argv)} failed: {output.text}", hint="is Flux's broker still running?")
    cluster = environ["FLUX_URI"]
    return read_flux(output.stdout, job_id or environ.get("FLUX_ENCLOSING_ID", ""), cluster, gpus.visible(environ))


def read_flux(text: str, job_id: str, cluster: str = "", visible: Sequence[str] | None = None) -> Allocation:
    """The allocation that a resource set in Flux's JSON describes. Raises `AllocationError` if it is none."""
    try:
        execution = json.loads(text)["execution"]
        names = [name for each in execution["nodelist"] for name in expand(each)]
        cores: dict[int, tuple[int, ...]] = {}
        devices: dict[int, tuple[str, ...]] = {}
        for part in execution["R_lite"]:
            for rank in numbers(str(part["rank"])):
                cores[rank] = numbers(part["children"].get("core", ""))
                devices[rank] = tuple(map(str, numbers(part["children"].get("gpu", ""))))
        end = float(execution.get("expiration", 0)) or None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AllocationError(f"cannot read Flux's resource set {text[:200]!r}: {error}") from error
    topology = host.siblings() if any(map(host.is_here, names)) else ()
    nodes = []
    for name, rank in zip(names, sorted(cores), strict=False):
        real = bool(topology) and max(cores[rank], default=0) < len(topology)
        cpus = tuple(cpu for core in cores[rank] for cpu in topology[core]) if real else cores[rank]
        gpu_ids = devices[rank]
        if visible and host.is_here(name) and len(visible) == len(gpu_ids):
            gpu_ids = tuple(visible)
        nodes.append(Node(name, tuple(sorted(cpus)), gpu_ids, None, real))
    return Allocation("flux", job_id, _some(tuple(nodes), "Flux"), end, cluster, topology, gpus_told=True)


def _some(nodes: tuple[Node, ...], manager: str) -> tuple[Node, ...]:
    if not nodes:
        raise AllocationError(
            f"this is a job of {manager}, but its environment names no hosts", hint="was the environment changed?"
        )
    return nodes


def _file(path: str, variable: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise AllocationError(
            f"cannot read {path}, which ${variable} names: {error.strerror}",
            hint=f"it is on the job's first node only; this is {host.name()}",
        ) from error


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _seconds(text: str) -> float | None:
    try:
        return float(text) or None
    except ValueError:
        return None


#: Those that have no folder yet, tried in this order.
READERS = (flux, lsf, cobalt, gridengine, oar, pbs)
