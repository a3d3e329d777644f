"""Many tasks over one allocation: `psij-run launch --each-line`, and `map` in Python."""
