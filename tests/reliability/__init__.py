"""Trials of what the suite promises of faults, too long for its tests.

`python -m tests.reliability` runs them all, and writes what came out to `docs/reliability.md`.
"""
