"""What the tables of a site file have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr
from pydantic.config import JsonDict

from .field_types import Choices, ModuleName, ParameterName, Parameters, ShellText, Variables

#: The JSON Schema of a value that must not be given beside another.
NOT_BESIDE: JsonDict = {"not": {}}


class Table(BaseModel):
    """One table. A key that it does not have is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    source: StrictStr | None = Field(default=None, description="where its facts come from: a key of [sources]")


class SettingsTable(Table):
    """What is added to a job, and what is asked of one: of a whole site, of a node type, or of a queue."""

    parameters: Parameters = Field(
        default_factory=dict, description="values for the platform's own parameters, as -X gives them"
    )
    modules: tuple[ModuleName, ...] = Field(
        default=(), description="modules that each job loads first; one may have several words"
    )
    setup: tuple[ShellText, ...] = Field(
        default=(), description="shell texts run in each job before its command, which is not started if one fails"
    )
    environment: Variables = Field(
        default_factory=dict, repr=False, description="environment variables of each job, taken as they stand"
    )
    required: tuple[ParameterName, ...] = Field(
        default=(), description="job fields and parameters that the user must give, as -X parameters or by flag"
    )
    forbidden: tuple[ParameterName, ...] = Field(
        default=(), description="job fields and parameters that the user must not give, nor say by directives"
    )
    choices: Choices = Field(
        default_factory=dict, description="for a job field or parameter the values that it may have"
    )

    def settings(self) -> dict[str, Any]:
        """The same as arguments of `Settings`."""
        return {
            "parameters": self.parameters,
            "setup": (*(f"module load {name}" for name in self.modules), *self.setup),
            "environment": self.environment,
            "required": self.required,
            "forbidden": self.forbidden,
            "choices": self.choices,
        }
