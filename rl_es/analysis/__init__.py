"""Statistics, figures and report: reads tables, nothing else."""
