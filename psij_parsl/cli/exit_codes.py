"""Exit codes of `psij-run` that are not an error's own."""

from __future__ import annotations

OWN_ERROR = 125  # of a command whose exit code is the job's otherwise: `run`, `wait` and `launch`
TIMED_OUT = 124  # as timeout(1)
READER_GONE = 141  # 128 + SIGPIPE: whoever read stdout has left
