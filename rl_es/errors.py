"""Errors meant for the person at the keyboard, and the nearest-name help they carry."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input: the message (three lines at most) says what, where and what would be right.

    The command line prints it without a traceback and exits with its code.
    """

    code = 2


class EndedError(UserError):
    """Something outside of this process has ended it: nothing is wrong with the input."""

    code = 1


def did_you_mean(wrong: str, valid: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x'?"`` for the nearest valid name, else the valid names."""
    valid = sorted(valid)
    folded = {name.lower(): name for name in valid}
    near = difflib.get_close_matches(wrong.lower(), folded, n=1, cutoff=0.5)
    if near:
        return f"; did you mean '{folded[near[0]]}'?"
    shown = ", ".join(valid[:12]) + (", ..." if len(valid) > 12 else "")
    return f"; valid: {shown}" if valid else ""
