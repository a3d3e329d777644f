"""How Sphinx makes the site from these pages: Markdown by MyST, and nothing from the network."""

from __future__ import annotations

import sys
from pathlib import Path

import psij_parsl

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "psij-parsl"
author = "the authors of psij-parsl"
project_copyright = author
release = psij_parsl.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "from_code"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
smartquotes = False  # `--` is the beginning of a flag

default_role = "code"  # docstrings are plain text, with `backticks` around code
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # `os.environ` by its name: its values are nobody's business
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
add_module_names = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"psij-parsl {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_use_index = True
