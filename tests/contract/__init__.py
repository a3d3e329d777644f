"""One suite that every platform passes: see `suite.py`."""
