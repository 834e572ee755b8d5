"""Agents of the tests: settings alone."""
