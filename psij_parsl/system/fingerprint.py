"""A short text that stands for a long one."""

from __future__ import annotations


def fingerprint(text: str) -> str:
    """16 characters that differ where texts differ."""
    from hashlib import sha256

    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
