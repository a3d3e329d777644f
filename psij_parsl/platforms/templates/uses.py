"""The check that a template uses what it declares, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...errors import TemplateError, nearest


def check_uses(uses: frozenset[str], fixed: Iterable[str], declared: Iterable[str], given: Mapping[str, str]) -> None:
    """Each fixed and each declared parameter is used, and nothing else but the values that the core gives."""
    fixed, declared = tuple(fixed), tuple(declared)
    for name in fixed:
        if name not in uses:
            raise TemplateError(f"the fixed parameter {name} is never rendered", hint="the job would not ask for it")
    for name in declared:
        if name not in uses:
            raise TemplateError(f"the declared parameter {name} is never used", hint="use it, or do not declare it")
    valid_names = {*fixed, *declared, *given}
    for name in sorted(uses - valid_names):
        raise TemplateError(f"{name!r} is used but not declared", hint=nearest(name, valid_names))
