"""Real resource managers for the tests, started on this host; each has a directory of its own. README.md."""
