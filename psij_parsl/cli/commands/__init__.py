"""The commands of `psij-run`, one module each."""
