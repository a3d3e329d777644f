"""Real resource managers for the tests, started on this host, each in a directory of its own. See README.md."""
