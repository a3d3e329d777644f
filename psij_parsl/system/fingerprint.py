"""A short text that stands for a long one."""

from __future__ import annotations

import zlib


def fingerprint(text: str) -> str:
    """16 characters that differ where texts differ, against chance, not against malice: `hashlib` takes 3 ms to import."""
    data = text.encode("utf-8", "surrogateescape")
    return f"{zlib.crc32(data):08x}{zlib.crc32(data[::-1], len(data)):08x}"
