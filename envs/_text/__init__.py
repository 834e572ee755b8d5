"""What the environments of text are made of; `rl_es.envs.text` is their suite."""
