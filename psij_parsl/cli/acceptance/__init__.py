"""The acceptance of a site: a few short jobs that show whether its file is right on the live machine."""
