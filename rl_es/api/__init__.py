"""The suite from Python, without files: what `rl_es` names (`rl_es/__init__.py`)."""
