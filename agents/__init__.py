"""The agents, one file each. Importing this package makes them known to the registry."""

from rl_es import registry

registry.agents.add_package(__name__)
