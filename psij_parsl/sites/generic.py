"""Generic sites: any machine of one manager, from a file of this package with no more than a few plain keys.

Made without pydantic, whose loading takes longer than all the rest of finding a site.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .content import key_text
from .layers import PACKAGE, SiteFile
from .site import LAPTOP, Site
from .site_data import SettingRow

if TYPE_CHECKING:
    from .toml_positions import Key

#: The keys that such a file may have.
KEYS = ("name", "description", "url", "platform", "launcher", "environment", "detect")


def plain_site(file: SiteFile) -> Site | None:
    """The site of such a file; None for another one, which has to be validated."""
    if file.layer.directory != PACKAGE:
        return None
    if file.name == LAPTOP.name:
        return LAPTOP
    if not file.data.keys() <= set(KEYS):
        return None
    values = {"name": file.name, **file.data}
    origins = {key: f"{file.path}:{line}" for key, line in file.lines.items()}
    origins.setdefault(("name",), str(file.path))
    return Site(
        **{key: values[key] for key in KEYS[:-1] if key in values},
        rows=[row for key in KEYS if key in values for row in _rows((key,), values[key], origins)],
        origins=origins,
    )


def _rows(key: Key, value: Any, origins: Mapping[Key, str]) -> Iterator[SettingRow]:
    """A value, or each value of a table."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _rows((*key, name), inner, origins)
    else:
        yield SettingRow(key_text(key), value, origins.get(key, "default"))
