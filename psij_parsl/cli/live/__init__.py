"""The live view of `status --watch`: what it shows is apart from the terminal, and from the thread that asks."""
