"""Slurm's parameters; the script itself is job.sh.j2."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from psij_parsl.platforms.templates.parameters import Parameter
from psij_parsl.platforms.templates.template import JobTemplate
from psij_parsl.validators import list_of, matching, non_negative_int, one_of, str2bool, word

if TYPE_CHECKING:
    from psij_parsl.platforms.directives.option import Option
    from psij_parsl.platforms.directives.reading import Directive


def directive(value: object) -> str:
    """A further option of sbatch, such as `--switches=2`, checked: one option in plain characters.

    One for which a job of ours has a flag or a parameter is refused, and so is one that changes what sbatch does. sbatch
    accepts an abbreviated name, so one that may stand for such an option is refused too.
    """
    from .directives import TABLE

    text = TABLE.bare(str(value)).strip()
    match = re.match(r"--[A-Za-z][A-Za-z0-9-]*|-[A-Za-z]", text)
    for option in TABLE.beginning_with(match[0]) if match else ():
        if option.way and not _can_only_be_said_so(TABLE.reading([(0, text)]).directives, option):
            raise ValueError(f"must not say {option.name}: {option.way}")
    if re.fullmatch(r"--([a-z][a-z0-9-]*)(=[A-Za-z0-9_.,:;@%+/&|*\[\]()=-]+)?", text) is None:
        raise ValueError("must be one long option of sbatch in plain characters, such as --switches=2")
    return text


def _can_only_be_said_so(said: Sequence[Directive], option: Option) -> bool:
    """Whether neither a flag of ours nor the parameter for this option takes its value, such as `--mem=0`."""
    if len(said) != 1 or said[0].option is not option or option.instead:
        return False
    if bool(said[0].value) != bool(option.arguments) and not option.optional:
        return False
    if not option.parameter:
        return not said[0].way
    return said[0].taken_by(SlurmTemplate.params) is None


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
        Parameter(
            "constraint",
            None,
            [matching(r"[\w.&|,*()\[\]-]+", "node features")],
            "features, e.g. gpu&hbm80g",
            joins="&",
        ),
        Parameter("reservation", None, [word], "reservation to run in"),
        Parameter("gpus_per_node", None, [word], "GPUs on each node, e.g. 4 or a100:4 (default: those of the ranks)"),
        Parameter("gres", None, [word], "generic resources of each node, e.g. craynetwork:0"),
        Parameter("exclusive", False, [str2bool], "whole nodes, shared with nobody"),
        Parameter("licenses", None, [word], "licenses, e.g. matlab:2 or a file system", joins=","),
        Parameter("mail_type", (), [list_of(word)], "when to send mail, e.g. END,FAIL"),
        Parameter("mail_user", None, [word], "whom to send it to"),
        Parameter("nodelist", None, [matching(r"[\w.,\[\]-]+", "a host list")], "run on these nodes"),
        Parameter("exclude", None, [matching(r"[\w.,\[\]-]+", "a host list")], "run on none of these nodes"),
        Parameter("nice", None, [non_negative_int], "lower priority by so much"),
        Parameter("requeue", None, [str2bool], "run again after a node failure (default: as the site has it)"),
        Parameter("directives", (), [list_of(directive)], "further options of sbatch, e.g. --switches=2"),
    )

    @classmethod
    def queue_word(cls, parameters: Mapping[str, Any]) -> str:
        """As in the base class: a partition, or a quality of service."""
        return "qos" if parameters.get("queue_as") == "qos" else "queue"

    @staticmethod
    def directive_quote(text: str) -> str:
        """Slurm reads quotes as a shell does, but eats backslashes even inside them (seen on 22.05)."""
        if "\\" in text:
            raise ValueError("Slurm eats backslashes in its option lines")
        return shlex.quote(text)
