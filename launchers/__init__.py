"""Launch methods, one module each, whose `launcher` is an `MPIRun`. Found by name through `psij_parsl.registry`."""
