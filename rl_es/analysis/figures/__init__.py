"""One file a kind of figure: a function from results to a matplotlib `Figure`."""
