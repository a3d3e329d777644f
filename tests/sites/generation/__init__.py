"""`site generate`, by what managers were recorded to print, and on real ones."""
