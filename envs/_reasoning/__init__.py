"""What the environments of reasoning are made of; `rl_es.envs.reasoning` is their suite."""
