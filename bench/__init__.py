"""One script per figure that we claim: each prints it beside a peer's and writes it to bench/results/NAME.json."""
