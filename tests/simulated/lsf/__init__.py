"""A simulated LSF 10.1, from its documentation alone: no LSF was at hand.

The texts are those of tests/documented/lsf, which say where they are from. Of what the documentation leaves open, the
simulator does the worst: without LSB_NTRIES its commands wait for ever, and `bjobs` exits with 255 if there is no job.
"""

from __future__ import annotations

from .commands import manager

__all__ = ["manager"]
