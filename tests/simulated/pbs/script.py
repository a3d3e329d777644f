"""What qsub takes: options, and `#PBS` lines as qsub's own parser reads them."""

from __future__ import annotations

import getopt
import os
import pwd
import re
import sys
from pathlib import Path

from ..manager import Refused
from ..options import directive_lines, in_seconds, indices, split_words
from ..state import JobData
from ..state import request as fresh
from .server import SERVER

_OPTIONS = "a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:P:q:r:R:S:u:v:VW:Xz"
_USAGE = "usage: qsub [-a date_time] [-A account_string] [-c interval]\n\t...\n       qsub --version"
_NAME = re.compile(r"[A-Za-z0-9_.+@/!%()*:<>?\[\]{}|~-]+")
RESOURCES = frozenset(
    (
        *("ncpus", "mpiprocs", "ompthreads", "ngpus", "mem", "vmem", "walltime", "cput", "select", "place", "nodes"),
        *("filesystems", "host", "system", "software", "arch"),
    )
)


def read(words: list[str]) -> JobData:
    """A job from qsub's command line and the script that it names."""
    options, rest = _parse(words, "")
    if rest[:1] == ["--"] or (rest and "--" in words):
        import shlex

        text, name = f"exec {shlex.join(rest)}\n", "STDIN"
    elif rest:
        try:
            text = Path(rest[0]).read_bytes().decode("utf-8", "surrogateescape")
        except OSError as error:
            raise Refused(1, "script file:: No such file or directory") from error
        name = os.path.basename(rest[0])
    else:
        text, name = sys.stdin.buffer.read().decode("utf-8", "surrogateescape"), "STDIN"
    if "\r\n" in text:
        raise Refused(1, "script contains cr, lf")
    said = [option for line in directives(text) for option in _parse(split(line), line)[0]]
    return request([*said, *options], name, text)


def directives(text: str) -> list[str]:
    """What its `#PBS` lines say."""
    return directive_lines(text, "#PBS")


def split(line: str) -> list[str]:
    """The words of a directive, as qsub's own parser reads them."""
    try:
        return split_words(line)
    except ValueError as error:
        raise Refused(1, f"directive error: {line} ({error})") from error


def _parse(words: list[str], line: str) -> tuple[list[tuple[str, str]], list[str]]:
    try:
        options, rest = getopt.getopt(words, _OPTIONS)
    except getopt.GetoptError as error:
        if line:
            raise Refused(1, f"invalid option -- '{error.opt}'\nqsub: directive error: {line} ") from error
        raise Refused(2, f"{error.msg}\n{_USAGE}") from error
    if line and rest:
        raise Refused(1, f"directive error: {line} ")
    return options, rest


def request(options: list[tuple[str, str]], name: str, text: str) -> JobData:
    """What the options ask for, checked as qsub checks it before the server sees anything."""
    user = pwd.getpwuid(os.geteuid())
    job = fresh(text, name)
    job.update(asked_queue="workq", account="", chunk={"ncpus": 1}, place="free")
    job["arguments"] = " ".join(word for option in options for word in option)
    job["variables"] = {
        "PBS_O_HOME": user.pw_dir,
        "PBS_O_LOGNAME": user.pw_name,
        "PBS_O_PATH": os.environ.get("PATH", ""),
        "PBS_O_WORKDIR": os.getcwd(),
        "PBS_O_HOST": SERVER,
        "PBS_O_SYSTEM": "Linux",
    }
    for option, value in options:
        _take(job, option, value)
    job["variables"]["PBS_O_QUEUE"] = job["asked_queue"]
    return job


def _take(job: JobData, option: str, value: str) -> None:
    plain = {"-A": "account", "-P": "project", "-q": "asked_queue", "-S": "shell"}
    if option in plain:
        if option == "-P" and set(value) & set('";'):
            raise Refused(2, f"illegal -P value\n{_USAGE}")
        job[plain[option]] = value
    elif option == "-N":
        if not _NAME.fullmatch(value) or len(value) > 230:
            raise Refused(2, f"illegal -N value\n{_USAGE}")
        job["name"] = value
    elif option == "-h":
        job["hold"] = "u"
    elif option == "-j":
        job["join"] = value in ("oe", "eo")
    elif option in ("-o", "-e"):
        if not value.isascii() or not value.isprintable():
            raise Refused(2, f"illegal {option} value\n{_USAGE}")
        job["output" if option == "-o" else "error"] = value
    elif option == "-J":
        span, _, limit = value.partition("%")
        match = re.fullmatch(r"(\d+)-(\d+)(?::(\d+))?", span)
        if not match or int(match[1]) >= int(match[2]):
            raise Refused(2, f"illegal -J value\n{_USAGE}")
        job["array"], job["slots"] = indices(span), int(limit or 0)
        if len(job["array"]) > 10000:
            raise Refused(3, "Array job exceeds server or queue size limit")
    elif option == "-v":
        job["variables"] |= {pair.partition("=")[0]: pair.partition("=")[2] for pair in value.split(",")}
    elif option == "-W":
        _attribute(job, value)
    elif option == "-l":
        _resources(job, value)


def _attribute(job: JobData, value: str) -> None:
    name, _, text = value.partition("=")
    if name == "umask":
        job["umask"] = text
    elif name == "depend":
        for part in text.split(","):
            kind, *ids = part.split(":")
            if any(re.search(r"\[\d+\]", each) for each in ids):
                raise Refused(2, f"illegal -W value\n{_USAGE}")
            job["depend"] += [[kind, each if "." in each else f"{each}.{SERVER}"] for each in ids]
    elif name == "group_list" and text not in {"root", "users"}:
        raise Refused(197, "Bad GID for job execution")


def _resources(job: JobData, value: str) -> None:
    if value.startswith("select="):
        count, _, rest = value.removeprefix("select=").partition(":")
        if not count.isdigit():
            raise Refused(166, "Illegal attribute or resource value Resource_List.select")
        pairs = dict(pair.partition("=")[::2] for pair in rest.split(":") if pair)
        for name in pairs:
            if name not in RESOURCES:
                raise Refused(187, f"Unknown resource: {name}")
        numbers = {name: int(text) for name, text in pairs.items() if text.isdigit()}
        job.update(chunks=int(count), chunk={"ncpus": 1, **numbers}, select=value.removeprefix("select="))
        return
    for part in value.split(","):
        name, _, text = part.partition("=")
        if name not in RESOURCES:
            raise Refused(187, f"Unknown resource Resource_List.{name}")
        if name == "walltime":
            if not re.fullmatch(r"\d+(:\d+){0,2}", text):
                raise Refused(166, "Illegal attribute or resource value Resource_List.walltime")
            job["walltime"] = in_seconds(text)
        elif name == "nodes" and (match := re.fullmatch(r"(\d+)(?::ppn=(\d+))?", text)):
            ranks = int(match[2] or 1)
            job.update(chunks=int(match[1]), chunk={"ncpus": ranks, "mpiprocs": ranks}, place="scatter", scatter=True)
        elif name == "place":
            if not re.fullmatch(r"(free|pack|scatter|vscatter)(:(excl|exclhost|shared))?(:group=\w+)?", text):
                raise Refused(166, "Illegal attribute or resource value Resource_List.place")
            job.update(place=text, scatter=text.startswith("scatter"))
