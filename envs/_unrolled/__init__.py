"""The mathematics of the unrolled tasks, one module per task."""
