"""Environment suites of the tests: settings alone."""
