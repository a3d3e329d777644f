"""The commands of a job's description for `condor_submit`, as the `#HTCONDOR` lines of our scripts have them.

https://htcondor.readthedocs.io/en/latest/man-pages/condor_submit.html

A line is `name = value`, and the value the rest of it; the case of a name means nothing. People have descriptions in
files of their own, too, without a prefix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from psij_parsl.platforms.directives import (
    NO_TERMINAL,
    DirectiveTable,
    Elsewhere,
    Habits,
    Lines,
    NoEquivalent,
    Option,
    OptionLines,
    count,
    dropped,
    means,
    needless,
    only_here,
    refused,
)

from .amounts import disk, gpus, minutes, number, size
from .described import HAS_MACRO, words_of_jobs
from .description import PREFIX, WRITTEN, in_file, in_script, split
from .queueing import queue

_COMMAND = "say what is to run, after psij-run's own options"
_TAG = "psij-run knows the job by it"
_SHARED = "a job starts in its directory, which its hosts share"
_NOT_COPIED = "nothing is copied: a job starts in its directory, and writes to where its program says"
_VANILLA = "a job of ours is in the vanilla universe"
_AS_IT_GOES = "output files are written as the job goes on"


# ---- values --------------------------------------------------------------------------------------------------------


def _yes(text: str) -> bool:
    if text.lower() not in ("true", "yes", "false", "no"):
        raise NoEquivalent("is an expression, which only HTCondor can work out")
    return text.lower() in ("true", "yes")


def _plain(text: str) -> str:
    if "$" in text:
        raise NoEquivalent(HAS_MACRO)
    return text


def _in_quotes(text: str) -> str:
    """An attribute's text, `"word"`; the word may stand alone, as our parameter has it."""
    match = re.fullmatch(r'"([^"]*)"|[\w.:@+/,-]+', text)
    if match is None:
        raise NoEquivalent("is an expression, which only HTCondor can work out")
    return _plain(text if match[1] is None else match[1])


def _limits(text: str) -> Mapping[str, Any]:
    """Licenses; or the limit by which a script of ours says how many elements of its array run at a time."""
    ours = re.fullmatch(r"psij_\w+_(\d+):[\d.]+", text)
    return {"array_limit": count(ours[1])} if ours else {"licenses": text}


def _universe(text: str) -> str:
    if text.lower() not in ("vanilla", "5"):
        raise NoEquivalent(f"asks for the universe {text}, and a job of ours is in the vanilla one")
    return text


def _text(word: str, own: str) -> Callable[[str], Mapping[str, Any]]:
    """A reader of what may have macros, for a word of ours: `own` is the table's own one, for `words_of_jobs`."""
    return lambda text: {word: text, own: text}


def _queue(text: str) -> Mapping[str, Any]:
    statement = queue(text)
    return {"_queue": (statement,), **({"array": text} if len(statement) > 1 else {})}


def _cores(text: str) -> Mapping[str, Any]:
    """The cores of a job's one process. With other ranks they are asked for anew."""
    return {"cpus_per_rank": number(text), "num_nodes": 1, "ranks_per_node": 1}


def _environment(text: str) -> Mapping[str, Any]:
    return {"environment": {}, "_environment": text}


def _name(own: str) -> Callable[[str], Mapping[str, Any]]:
    return lambda text: {"name": _plain(text), own: text}


def _getenv(text: str) -> Mapping[str, Any]:
    if text.lower() in ("true", "yes", "false", "no"):
        return {"inherit_environment": _yes(text), "_getenv": _yes(text)}
    names = [name for name in re.split(r"[,\s]+", _plain(text)) if name]
    if not all(re.fullmatch(r"\w+", name) for name in names):
        raise NoEquivalent("names variables by a pattern")
    return {"environment": dict.fromkeys(names), "_getenv": names}


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


# ---- all of them together ----------------------------------------------------------------------------------------


def _settle(words: dict[str, Any]) -> Mapping[str, Any]:
    """A job is one process on one host. How many cores are for each of its ranks, a description does not say."""
    raw = ("command", "environment", "directory", "stdin", "stdout", "stderr", "array", "inherit_environment")
    settled = {name: value for name, value in words.items() if name not in raw}
    settled |= words_of_jobs(words)
    if not settled.get("gpus_per_node"):
        settled.pop("gpus_per_node", None)
    taken = words.get("_getenv")
    if isinstance(taken, bool):
        settled["inherit_environment"] = taken
    elif taken:
        settled["environment"] = {**dict.fromkeys(taken), **settled.get("environment", {})}
    if settled.keys() & {"cpus_per_rank", "memory_per_node", "gpus_per_node", "command", "elements"}:
        settled |= {"num_nodes": 1, "ranks_per_node": 1}
    if name := words.get("_description", words.get("_batch_name")):
        settled["name"] = name
    if "_execute_min" in words:
        settled["wall_time_min"] = min(words["_execute_min"], settled.get("wall_time_min", words["_execute_min"]))
    return settled


# ---- lines, and attributes ----------------------------------------------------------------------------------------


def _row(name: str) -> Option | None:
    return TABLE.reading([(0, f"{name} = 1")]).directives[0].option


def _is_of_jobs(name: str) -> bool:
    """Whether a command may be another for each job of a description: those that no job of ours passes on."""
    row = _row(name)
    return row is not None and (
        row.elsewhere is Elsewhere.NEEDLESS or (len(row.sets) > 1 and "num_nodes" not in row.sets)
    )


def _without_prefix(lines: Lines) -> OptionLines:
    return in_file(lines, lambda name: _row(name) is not None, _is_of_jobs)


def _for_nothing(names: str, instead: str, **settings: Any) -> Option:
    """The row of a command with a value that a job of ours has no use for."""
    return needless(names, instead, arguments=1, **settings)


def _in_ad(row: Callable[..., Option], names: str, *values: Any, **settings: Any) -> Option:
    """The row of an attribute of the job's ad, in which a command's value can be said as well."""
    return row(" ".join(f"+{name} my.{name}" for name in names.split()), *values, **settings)


def _as_attribute(name: str) -> Mapping[str, Any]:
    """The settings of an attribute that pools' own rules look at, and that no command of HTCondor's sets."""
    return {"parameter": "attributes", "for_parameter": lambda text: _attribute(f"{name}={text}")}


# ---- the table -----------------------------------------------------------------------------------------------------

_TRANSFER = """
    when_to_transfer_output transfer_executable transfer_input transfer_output transfer_error preserve_relative_paths
"""
_COPIES = """
    transfer_output_remaps output_destination output_directory public_input_files common_input_files manifest_dir
"""
_ONLY_HERE = """
    require_* request_* retry_request_* gpus_minimum_* gpus_maximum_* cuda_version machine_count node_count vm_* xen_*
    accounting_group_user nodecount primary_unix_group run_as_owner load_profile use_* x509userproxy scitokens_file
    transfer_* encrypt_* dont_encrypt_*
    container_is_common copy_to_spool remote_* skip_if_dataflow manifest
    periodic_* on_exit_* on_evict_checks max_retries retry_until success_exit_code exit_requirements noop_job*
    kill_sig remove_kill_sig hold_kill_sig kill_sig_timeout want_* checkpoint_* suspend_job_at_exec
    cron_* deferral_window dag* tool_daemon_* parallel_script_* jar_files java_vm_* docker_* container_* mount_under_scratch
    grid_resource batch_project batch_queue batch_runtime batch_extra_submit_args arc_* delegate_job_gsi_credentials_lifetime
    ec2_* aws_* s3_* gs_* gce_* azure_* cloud_label_* append_files fetch_files compress_files local_files file_remaps
    stack_size allow_* send_credential
"""
_DROPPED = """
    rank preferences nice_user notification notify_user email_attributes leave_in_queue keep_claim_idle
    max_job_retirement_time job_lease_duration next_job_start_delay match_list_length
    submit_event_notes submit_event_user_notes jobset batch_id image_size memory_usage disk_usage deferral_prep_time
    job_machine_attrs job_machine_attrs_history_length job_ad_information_attrs ulog_execute_attrs starter_debug
    starter_log erase_output_and_error_on_restart buffer_files buffer_size buffer_block_size max_transfer_input_mb
    max_transfer_output_mb
"""

_CORES = ("cpus_per_rank num_nodes ranks_per_node", _cores)
_ATTRIBUTES = (
    _in_ad(means, "requestcpus", "cpus_per_rank", number, instead="say -n and -c"),
    _in_ad(means, "requestmemory", "memory_per_node", size("M")),
    _in_ad(means, "requestgpus", "gpus_per_node", gpus, instead="say -g"),
    _in_ad(dropped, "requestdisk", parameter="request_disk", for_parameter=disk),
    _in_ad(means, "allowedjobduration", "wall_time_min", minutes),
    _in_ad(means, "allowedexecuteduration", "_execute_min", minutes, instead="say -t"),
    _in_ad(means, "accountinggroup acctgroup", "project", _in_quotes),
    _in_ad(means, "requirements", "constraint", parameter="requirements"),
    _in_ad(
        means,
        "concurrencylimits",
        "licenses array_limit",
        lambda text: _limits(_in_quotes(text)),
        parameter="concurrency_limits",
        for_parameter=_in_quotes,
    ),
    _in_ad(means, "jobdescription", "name", _in_quotes),
    _in_ad(dropped, "jobprio", parameter="priority"),
    _in_ad(dropped, "jobmaxvacatetime", parameter="vacate_s"),
    _in_ad(means, "projectname", "project", _in_quotes, **_as_attribute("ProjectName")),
    _in_ad(means, "maxruntime", "wall_time_min", minutes, **_as_attribute("MaxRuntime")),
    _in_ad(refused, "jobbatchname", _TAG),
    _in_ad(refused, "jobuniverse", "a job of ours is in the vanilla universe"),
    _in_ad(refused, "jobstatus", "say --hold"),
    _in_ad(refused, "cmd args arguments", _COMMAND),
    _in_ad(refused, "iwd", "say -D"),
    _in_ad(refused, "env environment", "say --env"),
    _in_ad(refused, "in", "say -i"),
    _in_ad(refused, "out", "say -o"),
    _in_ad(refused, "err", "say -e"),
    _in_ad(refused, "userlog", "psij-run asks for a job's state itself"),
    _in_ad(refused, "shouldtransferfiles", "say -X should_transfer_files=VALUE"),
)

TABLE = DirectiveTable(
    command="condor_submit",
    prefix=PREFIX,
    written=WRITTEN,
    which=in_script,
    without_prefix=_without_prefix,
    split=split,
    settle=_settle,
    habits=Habits(copied_by=frozenset(("should_transfer_files", "transfer_input_files", "transfer_output_files"))),
    any_case=True,
    options=(
        # ---- size
        means("requestcpus request_cpus", *_CORES, instead="say -n and -c"),
        means("requestmemory request_memory", "memory_per_node", size("M")),
        means("requestgpus request_gpus", "gpus_per_node", gpus, instead="say -g"),
        dropped("requestdisk request_disk", parameter="request_disk", for_parameter=disk),
        means("allowed_job_duration", "wall_time_min", minutes),
        means("allowed_execute_duration", "_execute_min", minutes, instead="say -t"),
        # ---- place
        means("accounting_group", "project"),
        means("requirements", "constraint", parameter="requirements"),
        means("concurrency_limits", "licenses array_limit", _limits, parameter="concurrency_limits"),
        only_here("concurrency_limits_expr"),
        *_ATTRIBUTES,
        only_here("+* my.*", parameter="attributes", for_parameter=_attribute),
        # ---- files, environment, order
        means("executable", "command _program", _text("command", "_program"), instead=_COMMAND),
        means("shell", "command _shell", _text("command", "_shell"), instead=_COMMAND),
        means("arguments2 arguments", "command _arguments", _text("command", "_arguments"), instead=_COMMAND),
        means("description", "name _description", _name("_description")),
        means("jobbatchname batch_name", "name _batch_name", _name("_batch_name"), instead=_TAG),
        means("initial_dir job_iwd initialdir", "directory _directory", _text("directory", "_directory")),
        means("stdin input", "stdin _stdin", _text("stdin", "_stdin")),
        means("stdout output", "stdout _stdout", _text("stdout", "_stdout")),
        means("stderr error", "stderr _stderr", _text("stderr", "_stderr")),
        means("env environment2 environment", "environment _environment", _environment, instead="say --env"),
        means("get_env getenv", "inherit_environment environment _getenv", _getenv, instead="say --env or --no-env"),
        means("queue", "array _queue", _queue, instead="say --array"),
        means("max_materialize", "array_limit", number),
        means("hold", "hold", _yes),
        means("deferral_time", "begin", _moment),
        _for_nothing("universe", _VANILLA, sets=("_universe",), read=_universe),
        _for_nothing("transferinputfiles transfer_input_files", _SHARED, sets=("_copied",)),
        _for_nothing("transferoutputfiles transfer_output_files", _SHARED, sets=("_brought_back",)),
        _for_nothing("should_transfer_files", _SHARED, parameter="should_transfer_files", for_parameter=str.upper),
        *(_for_nothing(name, _SHARED) for name in _TRANSFER.split()),
        _for_nothing("stream_input stream_output stream_error", _AS_IT_GOES),
        _for_nothing("log_xml dagman_log log", "psij-run asks for a job's state itself"),
        _for_nothing("skip_filechecks", "psij-run looks at a job's files itself"),
        _for_nothing("max_idle materialize_max_idle", "all elements of an array are in the queue at once"),
        refused("interactive_executable interactive_args", NO_TERMINAL),
        refused("container_image docker_image", "the command itself can start a container"),
        refused("core_size coresize", "a line in --setup can set limits, with ulimit"),
        *(refused(name, _NOT_COPIED) for name in _COPIES.split()),
        *(
            refused(name, "psij-run reads neither conditions nor other files in it")
            for name in ("if", "elif", "include", "use")
        ),
        refused("else endif", "psij-run reads no conditions in it", arguments=0),
        # ---- what a job can do without elsewhere
        dropped("prio priority", parameter="priority"),
        dropped("want_graceful_removal"),
        dropped("job_max_vacate_time", parameter="vacate_s"),
        *(dropped(name) for name in _DROPPED.split()),
        # ---- HTCondor's alone
        *(only_here(name) for name in _ONLY_HERE.split()),
    ),
)
