"""Environment suites of the tests: one that can be run."""
