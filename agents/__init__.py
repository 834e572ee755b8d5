"""The agents, one file each. Importing this package makes them known to the registry."""

from rl_es import registry

registry.agents.look_in(__name__)
