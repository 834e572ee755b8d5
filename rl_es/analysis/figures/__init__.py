"""One file per kind of figure: a function from results to a matplotlib `Figure`."""
