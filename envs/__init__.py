"""The environment suites, one file each. Importing this package tells the registry of them."""

from rl_es import registry

registry.suites.add_package(__name__)
registry.suites.add_package(f"{__name__}.unrolled")
