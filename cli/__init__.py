"""The command line: run a night, look at it, steer it, report it; try the detectors and the simulator; check."""

from .app import app, main

__all__ = ["app", "main"]
