"""What the rest stands on: commands, files, locks, processes."""
