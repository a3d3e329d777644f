"""A simulated Cobalt 1.0.33, made from its public source (https://github.com/ido/cobalt): none was at hand to record.

Formats, texts and exit codes are those of src/clients/POSIX, src/lib/client_utils.py and src/lib/Components/cqm.py.
"""

from __future__ import annotations

from .commands import manager

__all__ = ["manager"]
