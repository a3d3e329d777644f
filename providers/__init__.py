"""Platforms, one folder per resource manager, whose `platform` ties its parts together."""
