"""Flux's parameters; the script itself is job.sh.j2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from psij_parsl.platforms.templates.parameters import Parameter
from psij_parsl.platforms.templates.template import JobTemplate, Refuse
from psij_parsl.validators import list_of, matching, str2bool, word

#: A line that Flux takes for one with options, or for an error if it stands below the first command.
OPTION_LINE = re.compile(r"^([^\w\n]*(?:fl|FL))(ux:|UX:)", re.MULTILINE)
#: Attributes that the script sets itself, by options of their own.
_OURS = re.compile(
    r"(attributes\.)?(system\.)?(duration|queue|bank|job\.name|cwd|dependencies|constraints|shell\b.*)"
)


def attribute(value: object) -> str:
    """An attribute of the job, `name=value`, as `--setattr` takes it."""
    text = _setting(value)
    if _OURS.fullmatch(text.partition("=")[0].removeprefix(".")):
        raise ValueError(f"must not say {text.partition('=')[0]}, which has a flag or a parameter of its own")
    return text


def shell_option(value: object) -> str:
    """An option of Flux's job shell, `name` or `name=value`, as `--setopt` takes it."""
    text = _setting(value)
    if re.match(r"(input|output|error)\b", text):
        raise ValueError("must not say where input and output are: say -i, -o or -e")
    return text


def _setting(value: object) -> str:
    if not re.fullmatch(r"[A-Za-z.][\w.-]*(=[A-Za-z0-9_.:+@%/-]+)?", str(value)):
        raise ValueError("must be a name, or name=value, in plain characters")
    return str(value)


class FluxTemplate(JobTemplate):
    """The job script's `# flux:` lines."""

    template_file = "job.sh.j2"
    log_folders = r"(?!.*\{\{).+"  # Flux expands {{id}} and its like in the path of an output file
    optional_params = (
        Parameter("exclusive", False, [str2bool], "whole nodes, shared with nobody"),
        Parameter(
            "urgency",
            None,
            [matching(r"[1-9]|[12][0-9]|3[01]", "a whole number, 1 to 31; 16 is usual")],
            "how urgent it is among your own jobs",
        ),
        Parameter(
            "requires",
            None,
            [matching(r"[\w.:,&|()^!\[\]-]+", "constraints, e.g. hosts:node[1-4] or gpu&bigmem")],
            "constraints on the nodes",
        ),
        Parameter("attributes", (), [list_of(attribute)], "attributes of the job, e.g. system.project=chem"),
        Parameter("shell_options", (), [list_of(shell_option)], "options of Flux's job shell, e.g. mpibind=off"),
    )

    refusals = (
        Refuse(
            lambda asked: (
                asked["gpus_on_node"] % asked["ranks_per_node"]
                or (asked["gpus_per_node"] and (asked["nodes_left"] or asked["ranks"]))
            ),
            "gives GPUs to ranks, and {gpus_on_node} on each node are not the same number for each rank",
            "say -g, the GPUs of each rank",
        ),
    )

    @classmethod
    def render(cls, *, given: Mapping[str, Any] | None = None, **parameters: Any) -> str:
        """As in the base class. An argument of the command may have lines that look like option lines, and Flux
        takes a carriage return for the end of a line: in the body, where such text stands in single quotes, it is
        written otherwise.
        """
        head, mark, body = super().render(given=given, **parameters).partition("\n\n")
        return head + mark + OPTION_LINE.sub(r"\1''\2", body).replace("\r", r"'$'\r''")

    @staticmethod
    def directive_quote(text: str) -> str:
        """Flux reads single quotes otherwise than a shell; in double quotes, \\ and " have a backslash before them."""
        try:
            return word(text)
        except ValueError:
            quoted = '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
        if re.search(r"[\"']{3}", quoted):
            raise ValueError("Flux takes three quotes in a row for the beginning of a text of several lines")
        return quoted
