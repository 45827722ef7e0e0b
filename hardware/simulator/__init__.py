"""A simulated microscope: one seeded world rendered from the state of one instrument."""

from collections.abc import Mapping
from pathlib import Path

from .instrument.memory import calls_made, time_reached
from .scope import SimulatedMicroscope, SimulatorOptions, connect

DEMO_CASSETTE = Path(__file__).parent / "cassettes" / "demo.yaml"
"""The cassette of the demonstration."""

DEMO_OPTIONS: Mapping[str, str] = {"profile": "demo-2k", "world": "demo-world"}
"""The options that make this microscope the demonstration's."""

__all__ = [
    "DEMO_CASSETTE",
    "DEMO_OPTIONS",
    "SimulatedMicroscope",
    "SimulatorOptions",
    "calls_made",
    "connect",
    "time_reached",
]
