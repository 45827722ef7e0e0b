"""``python -m epicycle.cli``."""

from . import main

main()
