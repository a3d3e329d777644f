"""MPI runs inside an allocation: the launch methods, the planning of a run, the run itself."""
