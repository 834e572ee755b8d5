"""Sweep files: schema, plan (cells, groups, compiled programs), execution."""
