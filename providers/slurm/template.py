"""Slurm's parameters; the script itself is job.sh.j2."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from psij_parsl.platforms.templates.parameters import Parameter
from psij_parsl.platforms.templates.template import JobTemplate
from psij_parsl.platforms.templates.validators import list_of, matching, non_negative_int, one_of, str2bool, word

_JOB = "it is said by the job itself"
_ANSWER = "psij-run reads what sbatch prints"
#: Options of sbatch that `directives` refuses, and what to use instead. The script sets some itself (a second
#: directive would override it); the others change what sbatch does, where it sends the job, or what it prints.
WAYS: Mapping[str, str] = {
    "account": "say -A",
    "array": "say --array",
    "chdir": "say -D",
    "cluster-constraint": "say -X cluster=NAME",
    "clusters": "say -X cluster=NAME",
    "comment": "psij-run knows the job by it",
    "cpus-per-task": "say -c",
    "dependency": "say -d",
    "error": "say -e",
    "export": "say --env or --no-env",
    "export-file": "say --env",
    "get-user-env": "a line in --setup can source a profile",
    "gid": "it would be another's job",
    "help": "ask sbatch itself",
    "ignore-pbs": _JOB,
    "input": "say -i",
    "job-name": "say -J",
    "nodes": "say -N",
    "ntasks": "say -n",
    "ntasks-per-node": "say --ntasks-per-node",
    "open-mode": _JOB,
    "output": "say -o",
    "parsable": _ANSWER,
    "partition": "say -q",
    "propagate": "a line in --setup can set limits, with ulimit",
    "quiet": _ANSWER,
    "test-only": "`psij-run render` shows what would be submitted",
    "time": "say -t",
    "uid": "it would be another's job",
    "usage": "ask sbatch itself",
    "verbose": _ANSWER,
    "version": "ask sbatch itself",
    "wait": "`psij-run run` and `psij-run wait` wait for a job's end",
    "wrap": _JOB,
}
_SHORT: Mapping[str, str] = {
    "A": "account",
    "a": "array",
    "D": "chdir",
    "M": "clusters",
    "c": "cpus-per-task",
    "d": "dependency",
    "e": "error",
    "h": "help",
    "i": "input",
    "J": "job-name",
    "N": "nodes",
    "n": "ntasks",
    "o": "output",
    "p": "partition",
    "Q": "quiet",
    "t": "time",
    "v": "verbose",
    "V": "version",
    "W": "wait",
}


def directive(value: object) -> str:
    """A further option of sbatch, such as `--mail-type=END`, checked: one option in plain characters.

    sbatch accepts an abbreviated option name. So an option that abbreviates one of `WAYS` is refused too.
    """
    text = str(value).removeprefix("#SBATCH").strip()
    match = re.match(r"--?([A-Za-z][A-Za-z0-9-]*)", text)
    if match is not None:
        completions = [name for name in WAYS if name.startswith(match[1])] if text.startswith("--") else []
        name = match[1] if match[1] in completions else next(iter(completions), "")
        name = name or ("" if text.startswith("--") else _SHORT.get(match[1][0], ""))
        if name:
            raise ValueError(f"must not say --{name}: {WAYS[name]}")
    if re.fullmatch(r"--([a-z][a-z0-9-]*)(=[A-Za-z0-9_.,:;@%+/&|*\[\]()=-]+)?", text) is None:
        raise ValueError("must be one long option of sbatch in plain characters, such as --switches=2")
    return text


class SlurmTemplate(JobTemplate):
    """The job script's `#SBATCH` lines. https://slurm.schedmd.com/sbatch.html"""

    template_file = "job.sh.j2"
    places = frozenset(("cluster",))
    optional_params = (
        Parameter(
            "cluster",
            None,
            [matching(r"[A-Za-z0-9_][\w.-]*", "the name of one cluster")],
            "another cluster of this Slurm, to which the job is sent",
        ),
        Parameter("queue_as", "partition", [one_of("partition", "qos")], "what the site calls a queue"),
        Parameter("qos", None, [word], "quality of service"),
        Parameter("constraint", None, [matching(r"[\w.&|,*()\[\]-]+", "node features")], "features, e.g. gpu&hbm80g"),
        Parameter("reservation", None, [word], "reservation to run in"),
        Parameter("gpus_per_node", None, [word], "GPUs on each node, e.g. 4 or a100:4 (default: those of the ranks)"),
        Parameter("gres", None, [word], "generic resources of each node, e.g. craynetwork:0"),
        Parameter("exclusive", False, [str2bool], "whole nodes, shared with nobody"),
        Parameter("licenses", None, [word], "licenses, e.g. matlab:2 or a file system"),
        Parameter("mail_type", (), [list_of(word)], "when to send mail, e.g. END,FAIL"),
        Parameter("mail_user", None, [word], "whom to send it to"),
        Parameter("nodelist", None, [matching(r"[\w.,\[\]-]+", "a host list")], "run on these nodes"),
        Parameter("exclude", None, [matching(r"[\w.,\[\]-]+", "a host list")], "run on none of these nodes"),
        Parameter(
            "signal_before_end",
            None,
            [matching(r"(USR1|USR2|HUP)@\d+", "SIGNAL@SECONDS with USR1, USR2 or HUP")],
            "signal to the command so long before the wall time ends, e.g. USR1@90",
        ),
        Parameter("nice", None, [non_negative_int], "lower priority by so much"),
        Parameter("requeue", None, [str2bool], "run again after a node failure (default: as the site has it)"),
        Parameter("directives", (), [list_of(directive)], "further options of sbatch, e.g. --switches=2"),
    )

    @staticmethod
    def directive_quote(text: str) -> str:
        """Slurm reads quotes as a shell does, but eats backslashes even inside them (seen on 22.05)."""
        if "\\" in text:
            raise ValueError("Slurm eats backslashes in its option lines")
        return shlex.quote(text)
