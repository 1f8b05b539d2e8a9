"""What a user did or met that stops a run: one sentence that says what is wrong and what to type."""

from __future__ import annotations


class UserError(Exception):
    """A problem that the user can mend; commands print it as one sentence and exit with status 1."""
