"""Operating system services for all other packages: commands, files, locks, processes."""
