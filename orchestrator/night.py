"""One night under way: the record, the microscope, the eyes and heads in use. What it does with them is `screening`."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Event as Flag

from ..db import models
from ..db.image_store import ImageStore
from ..db.journal import Journal
from ..hardware.clock import Clock
from ..protocols.cassette import Cassette
from ..protocols.errors import EpicycleError
from ..protocols.preset import Level, Preset
from ..protocols.screening import ScreeningProtocol
from .analyst import Analyst
from .column import Column
from .flow import Phase
from .plugged import Plugged


@dataclass(frozen=True, slots=True)
class _Plan:
    """A plan that was made, and for what: it is asked for at every step and changes with pass, grid and protocol."""

    of: ScreeningProtocol
    where: tuple[int, int | None]
    plan: ScreeningProtocol


@dataclass(slots=True)
class Night:
    """Everything a phase works with.

    Whatever must outlive this process is in the record; what is here can be built again from it.
    """

    journal: Journal
    column: Column
    clock: Clock
    images: ImageStore
    analyst: Analyst
    plugged: Plugged
    folder: Path
    me: models.Session
    stop_asked: Flag = field(default_factory=Flag)
    hole_in_work: int | None = None
    shot_in_work: int = 0
    _protocol: ScreeningProtocol | None = None
    _made: "_Plan | None" = None
    _presets: dict[Level, Preset] | None = None
    _loaded_cassette: Cassette | None = None
    _slots: dict[int, int] = field(default_factory=dict)

    # what to do

    @property
    def phase(self) -> Phase:
        """Where in the screening we are."""
        return Phase(self.me.phase)

    @property
    def protocol(self) -> ScreeningProtocol:
        """The protocol as it stands now, changes of the night included."""
        if self._protocol is None:
            self._protocol = ScreeningProtocol.model_validate(self.me.protocol)
        return self._protocol

    @property
    def plan(self) -> ScreeningProtocol:
        """The protocol as the present pass and the grid at hand want it."""
        protocol, where = self.protocol, (self.me.pass_number, self.me.grid_id)
        if self._made is None or self._made.of is not protocol or self._made.where != where:
            own = None if self.me.grid_id is None else self.cassette.grid_in(self._slot(self.me.grid_id))
            self._made = _Plan(protocol, where, protocol.in_pass(self.me.pass_number, own))
        return self._made.plan

    def preset(self, level: Level) -> Preset:
        """Give the optics of a level: the protocol's own, or those set up on the microscope."""
        own = self.protocol.presets.given().get(level)
        if own is not None:
            return own
        if self._presets is None:
            self._presets = dict(self.column.presets())
        if level not in self._presets:
            raise EpicycleError(
                f"neither the protocol nor the microscope has a preset for the level {level}; add one to the protocol"
            )
        return self._presets[level]

    @property
    def cassette(self) -> Cassette:
        """The grids that were loaded in the evening."""
        if self._loaded_cassette is None:
            self._loaded_cassette = Cassette.model_validate(self.me.cassette)
        return self._loaded_cassette

    # small things

    def _slot(self, grid_id: int) -> int:
        if grid_id not in self._slots:
            self._slots[grid_id] = self.grid().slot
        return self._slots[grid_id]

    def set(
        self, text: str, kind: str = "moved_on", **columns: str | int | datetime | dict[str, object] | None
    ) -> None:
        """Change columns of the session's row, with a word on why."""
        with self.journal.write(grid_id=self.me.grid_id) as entry:
            row = entry.row(models.Session, self.me.id)
            for name, value in columns.items():
                setattr(row, name, value)
            entry.say(kind, text, phase=row.phase)
        self.refresh()

    def refresh(self) -> None:
        """Read the session's row again."""
        before = self.me.protocol
        self.me = self.journal.row(models.Session, self.me.id)
        if self.me.protocol != before:
            self._protocol = None

    def grid(self) -> models.Grid:
        """Give the grid we are at."""
        return self.journal.row(models.Grid, self.me.grid_id)

    def square(self) -> models.Square:
        """Give the square we are at."""
        return self.journal.row(models.Square, self.me.square_id)

    def group(self) -> models.BisGroup:
        """Give the group of holes we are at."""
        return self.journal.row(models.BisGroup, self.me.group_id)
