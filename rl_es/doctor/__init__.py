"""Whether a machine can run the suite: versions, devices, folders, and a short training."""
