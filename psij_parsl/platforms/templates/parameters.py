"""Parameters that a job template declares, with their validators, defaults and help.

The validators and the formatters are named here too, so that a platform's template needs one import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ...errors import InvalidRequest, TemplateError, nearest
from ...validators import (
    PLAIN_PUNCTUATION,
    Validator,
    describe,
    duration,
    list_of,
    matching,
    memory,
    non_negative_int,
    one_of,
    positive_int,
    str2bool,
    wall_time,
    word,
)
from .formatters import FORMATTERS

__all__ = [
    "FORMATTERS",
    "PLAIN_PUNCTUATION",
    "Parameter",
    "Validator",
    "describe",
    "duration",
    "list_of",
    "matching",
    "memory",
    "non_negative_int",
    "one_of",
    "positive_int",
    "str2bool",
    "wall_time",
    "word",
]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a job template.

    `name`: as templates, command line, TOML and Python spell it. `default`: a value that passes the
    validators, or None for "not set". `validators`: callables that convert the value in turn, or raise
    ValueError with the rule. `help`: one line for people. `raw`: the text is script and is printed as it
    stands, never quoted. `joins`: what stands between the texts of a site and of a user where both count; '' where
    the user's replaces the site's. Lists join anyhow. Raises TemplateError for a name that is no identifier, or validators that cannot be
    called.
    """

    name: str
    default: Any = None
    validators: Sequence[Validator] = ()
    help: str = ""
    raw: bool = False
    joins: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise TemplateError(f"a parameter's name is an identifier, not {self.name!r}")
        if callable(self.validators) or isinstance(self.validators, str):
            raise TemplateError(f"the validators of parameter {self.name} are a list, not {self.validators!r}")
        for validator in self.validators:
            if not callable(validator):
                raise TemplateError(f"parameter {self.name} has a validator that cannot be called: {validator!r}")
        object.__setattr__(self, "validators", tuple(self.validators))

    @classmethod
    def of(cls, declared: Parameter | Mapping[str, Any]) -> Parameter:
        """The parameter itself, or one made from its dict form `{'name': ..., 'validators': [...], ...}`."""
        if isinstance(declared, Parameter):
            return declared
        if not isinstance(declared, Mapping):
            raise TemplateError(f"a parameter is declared as Parameter(...) or as a dict, not as {declared!r}")
        keys = [field.name for field in fields(cls)]
        for key in declared:
            if key not in keys:
                raise TemplateError(
                    f"a parameter is declared with the unknown key {key!r}", hint=nearest(str(key), keys)
                )
        if "name" not in declared:
            raise TemplateError(f"a parameter is declared without its name: {dict(declared)!r}")
        return cls(**declared)

    def convert(self, value: Any) -> Any:
        """The value as the template sees it. None passes where it is the default: the parameter is not set.

        Raises InvalidRequest, naming parameter, value and rule.
        """
        if value is None and self.default is None:
            return None
        converted = value
        for validator in self.validators:
            try:
                converted = validator(converted)
            except (ValueError, TypeError) as error:
                raise InvalidRequest(f"{self.name}={value!r} is refused: {error}", hint=self._hint()) from error
        return converted

    def _hint(self) -> str:
        parts = [self.help] if self.help else []
        if self.default is not None:
            parts.append(f"the default is {self.default!r}")
        if not parts and self.validators:
            parts.append(f"it takes {describe(self.validators[0])}")
        return "; ".join(parts)
