"""The root of every error this project raises on purpose: one sentence a person can act on."""


class EpicycleError(Exception):
    """Says what happened, to what, and what to do next; the command line prints it and exits with 2."""


class BadInput(EpicycleError):
    """Something the user gave (a file, a name, a value) cannot be used."""
