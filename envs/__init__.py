"""The environment suites, one file each. Importing this package tells the registry of them."""

from rl_es import registry

registry.suites.look_in(__name__)
registry.suites.look_in(f"{__name__}.unrolled")
