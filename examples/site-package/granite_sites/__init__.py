"""The site files of Granite. psij-parsl finds the TOML files in this folder by the entry point in `pyproject.toml`."""
