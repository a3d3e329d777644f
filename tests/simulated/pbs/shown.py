"""Answers in the forms of tests/recorded/openpbs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..options import clock
from ..state import JobData
from .server import SERVER, VERSION, date

Record = dict[str, Any]


def document(content: Record) -> str:
    """JSON as PBS prints it: with tabs."""
    head = {"timestamp": int(time.time()), "pbs_version": VERSION, "pbs_server": SERVER}
    return json.dumps({**head, **content}, indent="\t", separators=(",", ":\t"), ensure_ascii=False)


def answer(jobs: list[JobData], form: str, settings: Record) -> str:
    """Jobs as JSON, in full, or as a table."""
    records = {job["id"]: record(job) for job in jobs}
    for job_id, letter in settings["state"].items():
        if job_id in records:
            records[job_id]["job_state"] = letter
    if form == "json":
        text = document({"Jobs": records} if records else {}) + "\n"
        for job_id, junk in settings["spoil"].items():
            text = text.replace(f'"{job_id}":\t{{', f'"{job_id}":\t{{\n\t\t\t"odd":\t{junk},', 1)
        return text
    if form == "full":
        return "".join(in_full(job_id, said) for job_id, said in records.items())
    rows = [
        f"{job_id:<17} {said['Job_Name']:<16.16} {said['Job_Owner'].partition('@')[0]:<16}  00:00:00"
        f" {said['job_state']} {said['queue']:<16}"
        for job_id, said in records.items()
    ]
    head = "Job id            Name             User              Time Use S Queue\n"
    line = "----------------  ---------------- ----------------  -------- - -----\n"
    return head + line + "".join(f"{row}\n" for row in rows) if rows else ""


def record(job: JobData) -> Record:
    """A job's attributes, in PBS's order."""
    listed = {
        "ncpus": job["chunk"].get("ncpus", 1) * job["chunks"],
        "nodect": job["chunks"],
        "place": job["place"],
        "select": job.get("select", "1:ncpus=1"),
        "walltime": clock(job["walltime"]),
    }
    said: Record = {
        "Job_Name": job["name"],
        "Job_Owner": f"{job['owner']}@{SERVER}",
        "job_state": job["state"],
        "queue": job["queue"],
        "server": SERVER,
        "Account_Name": job["account"] or None,
        "ctime": date(job["submitted"]),
        "depend": ",".join(f"{kind}:{each}@{SERVER}" for kind, each in job["depend"]) or None,
        "exec_host": job["exec_host"] or None,
        "exec_vnode": job["exec_vnode"] or None,
        "Hold_Types": (job["hold"] or "n") if job["index"] is None else None,
        "Join_Path": "oe" if job["join"] else "n",
        "Output_Path": f"{SERVER}:{job['output'] or job['home'] + '/' + job['name'] + '.o' + str(job['number'])}",
        "Priority": 0,
        "Rerunable": "True",
        "Resource_List": listed,
        "stime": date(job["started"]) if job["started"] else None,
        "obittime": date(job["ended"]) if job["ended"] else None,
        "substate": job["substate"],
        "Variable_List": job["variables"],
        "comment": job["comment"] or None,
        "run_count": job["starts"] or None,
        "Exit_status": job["exit"],
        "Submit_arguments": job["arguments"],
        "array": "True" if job["array"] else None,
        "array_id": f"{job['number']}[].{SERVER}" if job["index"] is not None else None,
        "array_index": job["index"],
        "history_timestamp": int(job["ended"]) if job["state"] in "FX" else None,
        "project": job["project"] or "_pbs_project_default",
        "Submit_Host": SERVER,
    }
    return {name: value for name, value in said.items() if value is not None}


def in_full(job_id: str, said: Record) -> str:
    lines = [f"Job Id: {job_id}"]
    for name, value in said.items():
        if name == "Variable_List":
            lines.append("    Variable_List = " + ",".join(f"{key}={text}" for key, text in value.items()))
        elif isinstance(value, dict):
            lines += [f"    {name}.{key} = {text}" for key, text in value.items()]
        else:
            lines.append(f"    {name} = {value}")
    return "\n".join(lines) + "\n\n"


def servers() -> Record:
    """`qstat -Bf -F json`."""
    return {SERVER: {"server_state": "Active", "server_host": SERVER, "default_queue": "workq"}}


def queues(known: Mapping[str, Mapping[str, Any]]) -> Record:
    """`qstat -Qf -F json`."""
    found: Record = {}
    for name, limits in known.items():
        said: Record = {"queue_type": "Route" if "destinations" in limits else "Execution", "total_jobs": 0}
        most = {"nodect": limits["nodect"]} if "nodect" in limits else {}
        if "walltime" in limits:
            most["walltime"] = clock(limits["walltime"])
        if most:
            said["resources_max"] = most
        if "min_nodect" in limits:
            said["resources_min"] = {"nodect": limits["min_nodect"]}
        said |= {"enabled": str(limits.get("enabled", True)), "started": str(limits.get("started", True))}
        found[name] = said
    return found


def queue_table(known: Mapping[str, Any]) -> str:
    head = "Queue              Max   Tot Ena Str   Que   Run   Hld   Wat   Trn   Ext Type\n" + "-" * 16
    return "\n".join([head, *(f"{name:<16} {0:5} {0:5} yes yes" for name in known)])


def nodes(known: Mapping[str, Mapping[str, int]], down: Sequence[str]) -> Record:
    """`pbsnodes -a -F json`."""
    return {
        name: {"Mom": name, "ntype": "PBS", "state": "down" if name in down else "free", "resources_available": has}
        for name, has in known.items()
    }
