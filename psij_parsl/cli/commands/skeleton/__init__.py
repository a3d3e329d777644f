"""What `psij-run platform new` writes: jinja2 templates, one for each file of a new package."""
