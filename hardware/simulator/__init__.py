"""A simulated microscope: one seeded world rendered from the state of one instrument."""

from .memory import calls_made, time_reached
from .scope import SimulatedMicroscope, SimulatorOptions, connect

__all__ = ["SimulatedMicroscope", "SimulatorOptions", "calls_made", "connect", "time_reached"]
