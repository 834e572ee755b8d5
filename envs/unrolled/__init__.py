"""Unrolled problems, one file each: a step of the environment is a step of an inner computation.

The action says with which parameters, through a policy that is its action (`network: parameters`),
or it is the update that a learned optimiser makes (`network: shared_mlp`).
"""
