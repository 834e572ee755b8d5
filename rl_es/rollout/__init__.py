"""Policies, population unrolls, observation statistics, evaluation."""
