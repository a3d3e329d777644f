"""The commands of OAR: oarsub, oarstat, oardel, oarhold, oarresume and oarwalltime, as observed on OAR 2.5.9.

Four properties shape this module:

- `oarsub` is setuid. It takes the directory in which a job starts from $PWD, not from where it is called, and reads
  a script's `#OAR` lines by `cat PATH` in a shell, as the user; the node's shell then runs PATH as it stands.
- A refusal prints `OAR_JOB_ID=-5`. If the server is away, the job is in the database all the same.
- An array's elements are jobs with ids of their own.
- A job whose nodes fail before it starts is submitted again by OAR itself, under another id.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from psij_parsl.platforms.queries import Query
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.platforms.templates.formatters import hms
from psij_parsl.system.commands import Output

from .errors import ERROR_PATTERNS
from .records import jobs, read_end, read_job

_ID = re.compile(r"^OAR_JOB_ID=(\d+)\s*$", re.MULTILINE)
_ARRAY = re.compile(r"^OAR_ARRAY_ID=(\d+)\s*$", re.MULTILINE)
_OWN_LINES = re.compile(r"\s*|\[ADMISSION RULE\].*|OAR_(JOB|ARRAY)_ID=\d+")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+=:@%,-]+")
_NOT_NOTIFIED = 2  # oardel's exit code where the request is in the database, but the server was not there to hear it


class OARScheduler(Scheduler):
    """The scheduler of OAR."""

    commands = ("oarsub", "oarstat", "oardel")
    drop_env = ("OAR_*", "OARDO_*", "OARDIR", "OARUSER", "OARCONFFILE", "OARXAUTHLOCATION")
    chunk = 100
    executable_script = True
    dependencies = ("afterany",)
    counts_attempts = False  # a job that is started again has another id
    product = "OAR"
    probes = (("oarsub", "-V"), ("oarstat", "-V"))
    probe_answer = r"OAR version *:"
    cluster_argv = ("oarstat", "-s", "-J", "-j", "1")
    error_patterns = ERROR_PATTERNS

    def submit_argv(self, script: Path) -> Sequence[str]:
        """As in the base class. `-d` is the directory in which OAR starts the script."""
        plain = _PLAIN_PATH.fullmatch(str(script)) is not None
        return ["oarsub", "-d", str(script.parent) if plain else "/", "-S", str(script) if plain else _quoted(script)]

    def job_id(self, stdout: str) -> str:
        """The array's id, where there is one. -5 is none."""
        match = _ARRAY.search(stdout) or _ID.search(stdout)
        return match[1] if match is not None else ""

    def says_only(self, stdout: str, job_id: str) -> bool:
        """As in the base class. A site's admission rules print lines of their own."""
        return all(_OWN_LINES.fullmatch(line) for line in stdout.splitlines())

    def element_ids(self, stdout: str, count: int) -> Sequence[str]:
        return _ID.findall(stdout)

    def whole(self, element_id: str) -> str:
        return element_id

    def live(self) -> Query:
        """Open jobs alone: where there are none, `oarstat` prints nothing."""
        return Query(["oarstat", "-J", "-u"], read_job, jobs)

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        """Only the full form shows exit codes and events; ids that OAR does not know are left out of the answer."""
        return (_in_full(ids),)

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["oardel", *ids]

    def unknown_ids(self, output: Output) -> set[str]:
        """As in the base class. Another user's job is "not the right user", too."""
        text = output.stderr
        return {*re.findall(r"Cannot frag (\d+) ; You are not the right user", text)} | {
            *re.findall(r'"(.+)" is not a valid job identifier', text)
        }

    def ended_ids(self, output: Output) -> set[str]:
        """As in the base class. A job that has been cancelled before is "already killed", whether it has ended or not."""
        return set(re.findall(r"Cannot frag (\d+) ; This job was already killed", output.stderr))

    def later_ids(self, output: Output) -> set[str]:
        """As in the base class. The request is in the database; the server looks there when the next one comes."""
        registered = re.findall(r"Deleting the job = (\d+) \.\.\.REGISTERED", output.stdout)
        return set(registered) if output.rc == _NOT_NOTIFIED else set()

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["oarhold", *ids]

    def release_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["oarresume", *ids]

    def signal_argv(self, job_id: str, signal: str) -> Sequence[str]:
        return ["oardel", "-s", signal, job_id]

    def extend_argv(self, job_id: str, minutes: int) -> Sequence[str]:
        return ["oarwalltime", job_id, hms(minutes)]

    def end_query(self, job_id: str) -> Query:
        return Query(_in_full([job_id]).argv, read_end, jobs)


def _in_full(ids: Sequence[str]) -> Query:
    return Query(["oarstat", "-f", "-J", *(word for job_id in ids for word in ("-j", job_id))], read_job, jobs)


def _quoted(script: Path) -> str:
    """A path with odd characters as a word for a POSIX shell. There is no blank in it, where `oarsub` would cut it.

    No pattern: the shell that reads the script for `oarsub` is the user oar's, who cannot list the folder.
    """
    octal = "".join(
        chr(byte) if _PLAIN_PATH.fullmatch(chr(byte)) else f"\\0{byte:03o}" for byte in os.fsencode(script)
    )
    return f"\"$(printf${{IFS}}%b${{IFS}}'{octal}')\""
