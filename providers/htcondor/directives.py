"""The commands of a job's description for `condor_submit`, as the `#HTCONDOR` lines of our scripts have them.

https://htcondor.readthedocs.io/en/latest/man-pages/condor_submit.html

A line is `name = value`, and the value the rest of it; the case of a name means nothing. People have descriptions in
files of their own, without a prefix: `read_description` reads one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import takewhile
from typing import Any

from psij_parsl.platforms.directives import (
    DirectiveTable,
    NoEquivalent,
    Reading,
    count,
    dropped,
    means,
    megabytes,
    needless,
    only_here,
    refused,
)

_STATEMENT = re.compile(r"(queue|if|elif|else|endif|include|use)\b(?!\s*=)\s*:?\s*(.*)", re.IGNORECASE)
_OPEN_LIST = re.compile(r"\s*queue\b[^(]*\([^)]*", re.IGNORECASE)
_QUEUE = re.compile(
    r"(?P<number>\d+)?\s*(?:\b(?P<names>\w+(?:\s*,\s*\w+)*)?\s*\b(?P<how>in|from|matching)\b(?P<items>.*))?",
    re.IGNORECASE,
)
_COMMAND = "say what is to run, after psij-run's own options"
_SHARED = "a job starts in its directory, which its hosts share"
_AS_IT_GOES = "output files are written as the job goes on"
#: What macros are to us: those of all jobs of an array, of its elements by their place, and of a job alone.
_OF_ARRAY = {"cluster": "{array}", "clusterid": "{array}"}
_PLACE = {"process": "{index}", "procid": "{index}"}
_ONE_JOB = ("", {"cluster": "{id}", "clusterid": "{id}", "process": "0", "procid": "0"})
_MACRO = "has a macro, of which only HTCondor knows the value"


# ---- lines ---------------------------------------------------------------------------------------------------------


def first_block(lines: Iterable[tuple[int, str]]) -> Iterable[tuple[int, str]]:
    """Those up to the first empty one, where the scheduler looks for a script's description."""
    return takewhile(lambda numbered: numbered[1], lines)


def split(line: str) -> list[str]:
    """`name=value`, or a statement and its rest. `queue` alone makes one job."""
    text = line.strip()
    if not text or text.startswith("#"):
        return []
    if match := _STATEMENT.fullmatch(text):
        rest = match[2] or ("1" if match[1].lower() == "queue" else "")
        return [match[1], rest] if rest else [match[1]]
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("must be name = value")
    return [f"{name.strip()}={value.strip()}"]


def read_description(text: str) -> Reading:
    """What a file with a description asks: lines without prefix, which may go on after a backslash or in brackets.

    Its `executable` and `arguments` are no options of ours; they stand among the reading's `directives`.
    """
    return TABLE.reading(_whole_lines(text))


def _whole_lines(text: str) -> Iterator[tuple[int, str]]:
    first, begun = 0, ""
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if line.lstrip().startswith("#"):
            continue
        first, begun = first or number, begun + line.lstrip()
        if begun.endswith("\\"):
            begun = begun[:-1]
        elif _OPEN_LIST.fullmatch(begun):
            begun += " "
        else:
            yield first, begun
            first, begun = 0, ""
    if begun:
        yield first, begun


# ---- values --------------------------------------------------------------------------------------------------------


def _number(text: str) -> int:
    """A whole number, or a product of some, `4 * 3600`. Other expressions are HTCondor's to work out."""
    if re.fullmatch(r"\d+(\s*\*\s*\d+)*", text):
        return math.prod(count(figure.strip()) for figure in text.split("*"))
    if re.fullmatch(r"[-+]?[\d.]+", text) or not text:
        raise ValueError(f"must be a whole number above 0, not {text!r}")
    raise NoEquivalent("is an expression, which only HTCondor can work out")


def _size(bare: str) -> Callable[[str], int]:
    """A reader of amounts in MB: `4096`, `4 GB`, `4 * 1024`. `bare` is the unit of a number alone."""
    amount = megabytes(bare=bare)

    def read(text: str) -> int:
        if re.fullmatch(r"[\d.]+\s*[KMGT]?B?", text, re.IGNORECASE):
            return amount(text.replace(" ", ""))
        return amount(str(_number(text)))

    return read


def _disk(text: str) -> str:
    """For the parameter of that name, whose numbers alone are MB."""
    with suppress(ValueError):
        return f"{_size('K')(text)}M"
    return text


def _minutes(text: str) -> int:
    return -(-_number(text) // 60)


def _yes(text: str) -> bool:
    if text.lower() not in ("true", "yes", "false", "no"):
        raise NoEquivalent("is an expression, which only HTCondor can work out")
    return text.lower() in ("true", "yes")


def _plain(text: str) -> str:
    if "$" in text:
        raise NoEquivalent(_MACRO)
    return text


def _universe(text: str) -> str:
    if text.lower() not in ("vanilla", "5"):
        raise NoEquivalent(f"asks for the universe {text}, which other managers do not have")
    return text


def _environment(text: str) -> dict[str, str]:
    """`"A=1 B='x y'"`, or `A=1;B=2` without quotes. A quote in quotes is doubled."""
    inner = re.fullmatch(r'"(.*)"', _plain(text))
    if text.count("'") % 2 and inner:
        raise ValueError("must close its quotes")
    if inner:
        quoted = re.compile(r"'((?:[^']|'')*)'")
        words = re.findall(r"(?:'(?:[^']|'')*'|[^\s'])+", inner[1].replace('""', '"'))
        pairs = [quoted.sub(lambda match: match[1].replace("''", "'"), word) for word in words]
    else:
        pairs = [pair.strip() for pair in text.split(";") if pair.strip()]
    if not all(re.match(r"[^\s=]+=", pair) for pair in pairs):
        raise ValueError(f"must be variables with values, not {text!r}")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _getenv(text: str) -> Mapping[str, Any]:
    if text.lower() in ("true", "yes", "false", "no"):
        return {"inherit_environment": _yes(text)}
    names = [name for name in re.split(r"[,\s]+", _plain(text)) if name]
    if not all(re.fullmatch(r"\w+", name) for name in names):
        raise NoEquivalent("names variables by a pattern")
    return {"environment": dict.fromkeys(names)}


def _names(text: str) -> str:
    """Names of files that are in the same place if nothing is copied."""
    for name in re.split(r"[,\s]+", _plain(text.strip('"'))):
        if "/" in name or name in (".", ".."):
            raise NoEquivalent("has files copied to where others stand, and elsewhere nothing is copied")
    return text


def _attribute(text: str) -> str:
    """`Name="word"` as our parameter has it, without quotes. With blanks, which it refuses, where that means another."""
    name, _, value = (part.strip() for part in text.partition("="))
    literal = re.fullmatch(r"(?i)true|false|[+-]?\d+(\.\d+)?", value)
    word = re.fullmatch(r'"(?!(?:true|false|[+-]?\d+(?:\.\d+)?)"$)([^"]*)"', value, re.IGNORECASE)
    return f"{name}={value}" if literal else f"{name}={word[1]}" if word else f"{name} = {value}"


def _moment(text: str) -> str:
    """Seconds since the epoch."""
    if not re.fullmatch(r"\d{1,11}", text):
        raise NoEquivalent("is an expression, which only HTCondor can work out")
    return datetime.fromtimestamp(int(text)).isoformat()


# ---- jobs of one description ---------------------------------------------------------------------------------------


def _queue(text: str) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """The indices of the jobs that a `queue` statement makes, '' for one job, and our placeholders for its macros."""
    match = _QUEUE.fullmatch(text.strip())
    if match is None:
        raise NoEquivalent("counts its jobs by an expression")
    if not match["how"]:
        number = count(match["number"] or "1")
        return (_ONE_JOB if number == 1 else (f"0-{number - 1}", {**_OF_ARRAY, **_PLACE}),)
    if match["how"].lower() != "in":
        raise NoEquivalent("makes a job of each file, or of each line of a file")
    items = [item for item in re.split(r"[,\s]+", match["items"].strip(" ()\t")) if item]
    if match["number"] not in (None, "1") or "," in (match["names"] or "") or not all(map(str.isdecimal, items)):
        raise NoEquivalent("makes a job of each item, and these are no indices")
    counted = items == [str(place) for place in range(len(items))]
    macros = {**_OF_ARRAY, (match["names"] or "item").lower(): "{index}"}
    return ((",".join(items), {**macros, **_PLACE} if counted else macros),)


def _file(text: str, word: str, macros: Mapping[str, str]) -> str:
    """A file's name with our placeholders."""

    def ours(match: re.Match[str]) -> str:
        if match[0] in "{}":
            return match[0] * 2
        if (match[1] or "").lower() not in macros:
            raise NoEquivalent(_MACRO, word)
        return macros[match[1].lower()]

    return re.sub(r"\$\((\w+)\)|[${}]", ours, text)


def _settle(words: dict[str, Any]) -> Mapping[str, Any]:
    """A job is one process on one host. How many cores are for each of its ranks, a description does not say."""
    settled = {name: value for name, value in words.items() if not name.startswith("_")}
    if settled.keys() & {"cpus_per_rank", "memory_per_node", "gpus_per_node"}:
        settled |= {"num_nodes": 1, "ranks_per_node": 1}
    if "_batch_name" in words:
        settled.setdefault("name", words["_batch_name"])
    if "_execute_min" in words:
        settled["wall_time_min"] = min(words["_execute_min"], settled.get("wall_time_min", words["_execute_min"]))
    statements = words.get("_queue", (_ONE_JOB,))
    if len(statements) > 1:
        raise NoEquivalent("is one of several, and each makes jobs of its own", "_queue")
    indices, macros = statements[0]
    if indices:
        settled["array"] = indices
    for word in ("stdin", "stdout", "stderr"):
        if f"_{word}" in words:
            settled[word] = _file(words[f"_{word}"], f"_{word}", macros)
    return settled


# ---- the table -----------------------------------------------------------------------------------------------------

_ONLY_HERE = """
    if elif include use
    require_* request_* retry_request_* gpus_minimum_* gpus_maximum_* cuda_version machine_count node_count vm_* xen_*
    accounting_group_user nodecount primary_unix_group run_as_owner load_profile use_* x509userproxy scitokens_file
    transfer_* public_input_files encrypt_* dont_encrypt_* output_destination output_directory preserve_relative_paths
    common_input_files container_is_common copy_to_spool remote_* skip_if_dataflow manifest manifest_dir
    periodic_* on_exit_* on_evict_checks max_retries retry_until success_exit_code exit_requirements noop_job*
    kill_sig remove_kill_sig hold_kill_sig kill_sig_timeout want_* checkpoint_* suspend_job_at_exec
    cron_* deferral_window dag* tool_daemon_* parallel_script_* jar_files java_vm_* docker_* container_* mount_under_scratch
    grid_resource batch_project batch_queue batch_runtime batch_extra_submit_args arc_* delegate_job_gsi_credentials_lifetime
    ec2_* aws_* s3_* gs_* gce_* azure_* cloud_label_* append_files fetch_files compress_files local_files file_remaps
    stack_size allow_* send_credential
"""
_DROPPED = """
    rank preferences nice_user notification notify_user email_attributes leave_in_queue keep_claim_idle
    max_job_retirement_time job_lease_duration next_job_start_delay match_list_length max_idle materialize_max_idle
    submit_event_notes submit_event_user_notes jobset batch_id image_size memory_usage disk_usage deferral_prep_time
    job_machine_attrs job_machine_attrs_history_length job_ad_information_attrs ulog_execute_attrs starter_debug
    starter_log erase_output_and_error_on_restart buffer_files buffer_size buffer_block_size max_transfer_input_mb
    max_transfer_output_mb
"""

TABLE = DirectiveTable(
    command="condor_submit",
    prefix="#HTCONDOR ",
    written="#HTCONDOR",
    which=first_block,
    split=split,
    settle=_settle,
    any_case=True,
    options=(
        # ---- size
        means("requestcpus request_cpus", "cpus_per_rank", _number, instead="say -n and -c"),
        means("requestmemory request_memory", "memory_per_node", _size("M")),
        means("requestgpus request_gpus", "gpus_per_node", _number, instead="say -g"),
        only_here("requestdisk request_disk", parameter="request_disk", for_parameter=_disk),
        means("allowed_job_duration", "wall_time_min", _minutes),
        means("allowed_execute_duration", "_execute_min", _minutes, instead="say -t"),
        # ---- place
        means("accounting_group", "project"),
        means("requirements", "constraint", parameter="requirements"),
        means("concurrency_limits", "licenses", parameter="concurrency_limits"),
        only_here("concurrency_limits_expr"),
        means("universe", "_universe", _universe, instead="a job of ours is in the vanilla universe"),
        only_here("+* my.*", parameter="attributes", for_parameter=_attribute),
        # ---- files, environment, order
        means("description", "name", _plain),
        means("batch_name", "_batch_name", _plain, instead="psij-run knows the job by it"),
        means("initial_dir job_iwd initialdir", "directory", _plain),
        means("stdin input", "_stdin", instead="say -i"),
        means("stdout output", "_stdout", instead="say -o"),
        means("stderr error", "_stderr", instead="say -e"),
        means("env environment2 environment", "environment", _environment),
        means("get_env getenv", "inherit_environment environment", _getenv, instead="say --env or --no-env"),
        means("queue", "_queue", _queue, instead="say --array"),
        means("max_materialize", "array_limit", _number),
        means("hold", "hold", _yes),
        means("deferral_time", "begin", _moment),
        means("transferinputfiles transfer_input_files", "_files", _names),
        means("transferoutputfiles transfer_output_files", "_files", _names),
        needless("should_transfer_files", _SHARED, arguments=1, parameter="should_transfer_files"),
        needless("when_to_transfer_output", _SHARED, arguments=1),
        needless("transfer_executable", _SHARED, arguments=1),
        needless("transfer_input transfer_output transfer_error", _SHARED, arguments=1),
        needless("stream_input stream_output stream_error", _AS_IT_GOES, arguments=1),
        needless("log_xml dagman_log log", "psij-run asks for a job's state itself", arguments=1),
        needless("skip_filechecks", "psij-run looks at a job's files itself", arguments=1),
        refused("executable shell", _COMMAND),
        refused("arguments arguments2", _COMMAND),
        refused("interactive_executable interactive_args", "a job has no terminal"),
        refused("container_image docker_image", "the command itself can start a container"),
        refused("core_size coresize", "a line in --setup can set limits, with ulimit"),
        # ---- what a job can do without elsewhere
        dropped("prio priority", parameter="priority"),
        dropped("want_graceful_removal"),
        dropped("job_max_vacate_time", parameter="vacate_s"),
        *(dropped(name) for name in _DROPPED.split()),
        # ---- HTCondor's alone
        only_here("else", arguments=0),
        only_here("endif", arguments=0),
        *(only_here(name) for name in _ONLY_HERE.split()),
    ),
)
