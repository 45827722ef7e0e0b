"""The simulator is a microscope like any other."""

from collections.abc import Callable

import pytest

from epicycle.hardware.contract import MicroscopeContract
from epicycle.hardware.simulator import SimulatedMicroscope


class TestSimulator(MicroscopeContract):
    occupied_slot = 1
    empty_slot = 5

    @pytest.fixture
    def microscope(self, bench: Callable[..., object]) -> SimulatedMicroscope:
        return bench().connect()  # type: ignore[attr-defined, no-any-return]
