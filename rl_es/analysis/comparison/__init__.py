"""Results folders beside each other: differences with intervals, and verdicts on them."""
