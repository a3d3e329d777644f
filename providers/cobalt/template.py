"""Cobalt's parameters; the script itself is job.sh.j2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.templates.parameters import Parameter
from psij_parsl.platforms.templates.template import JobTemplate, Refuse
from psij_parsl.validators import matching

_ATTRIBUTE = r"\w+(=[\w.,/+-]+)?"
_text = matching(rf"{_ATTRIBUTE}(:{_ATTRIBUTE})*", "attributes with colons between, e.g. mcdram=flat:numa=quad")


def attributes(value: Any) -> str:
    """Attributes, also as a list of such texts: qsub takes one option for all of them."""
    return str(_text(":".join(map(str, value)) if isinstance(value, list | tuple) else value))


class CobaltTemplate(JobTemplate):
    """The job script's `#COBALT` lines. qsub parts them at blanks, and knows no quotes."""

    template_file = "job.sh.j2"
    refusals = (
        Refuse(lambda asked: asked["wall_time_left"], "takes no job without a wall time", "say it with -t"),
        Refuse(
            lambda asked: asked["hold"] and asked["after"],
            "does not notice that a job has ended for which a held one waits, which could then never start",
            "hold the first job, and let the others follow it",
        ),
    )
    optional_params = (
        Parameter("attrs", None, [attributes], "attributes of the job, e.g. filesystems=home,eagle:mcdram=flat"),
        Parameter(
            "notify",
            None,
            [matching(r"[\w.+@:-]+", "addresses with colons between")],
            "who gets mail of start and end",
        ),
    )

    @classmethod
    def render(cls, *, given: Mapping[str, Any] | None = None, **parameters: Any) -> str:
        """As in the base class. Raises `InvalidRequest` for a dependency on what is no id: the job would never start."""
        for text in (given or {}).get("after", ()):
            if not re.fullmatch(r"afterok:\d+", text):
                raise InvalidRequest(
                    f"after={text!r} is refused: it must be the id of a job of Cobalt, such as 123, that is to end well",
                    hint="several dependencies are given one by one",
                )
        return super().render(given=given, **parameters)
