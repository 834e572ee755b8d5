"""Comparison of results folders: differences with intervals, and verdicts on them."""
