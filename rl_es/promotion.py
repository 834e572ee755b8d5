"""How other libraries' code is called from ours, which may run under strict promotion rules."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def implicit_promotion() -> Iterator[None]:
    """Within it, dtypes and ranks promote as they do by default."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
