"""Jobs on a resource manager: their records, submission, status, and the executor."""
