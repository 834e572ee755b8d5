"""Hyper-parameter tuning: search by a sweep, and its best settings written into other sweeps."""
