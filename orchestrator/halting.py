"""A halt: somebody asked for it, or there is no going on."""

from .flow import RunStatus


class Halt(Exception):
    """Raised between steps to leave the run; the record keeps the phase, so that the night can be resumed."""

    def __init__(self, status: RunStatus, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
