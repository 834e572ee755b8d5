"""The speed benchmark: what a generation costs, beside the rollout without any noise."""
