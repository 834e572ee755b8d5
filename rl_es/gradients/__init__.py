"""Bias and variance of gradient estimates, with the parameters held still."""
