"""Trials of what the suite promises about faults; they take too long for its tests.

`python -m tests.reliability` runs them all, and writes their outcome to `docs/reliability.md`.
"""
