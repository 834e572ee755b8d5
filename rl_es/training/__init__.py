"""The generation loop, checkpoints, saved policies."""
