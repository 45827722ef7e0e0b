"""A record in a fresh folder, and a clock that moves only when told."""

from datetime import UTC, datetime, timedelta

import pytest

from epicycle.db.connection import create_record


class Ticks:
    """Gives a time one second later at each call."""

    def __init__(self) -> None:
        self.at = datetime(2025, 3, 1, 18, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def record(tmp_path):
    """Path and writer's engine of an empty record."""
    path = tmp_path / "night.db"
    engine = create_record(path)
    yield path, engine
    engine.dispose()
