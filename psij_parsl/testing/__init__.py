"""Help for the tests of platforms, ours and third parties'."""
