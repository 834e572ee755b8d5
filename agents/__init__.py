"""The agents, one file each; `rl_es.registry` finds them by file name."""
