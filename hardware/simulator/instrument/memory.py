"""What the simulator keeps on disk: the state of the instrument, the doses given, and the world they belong to.

A process may be killed at any moment. The state is replaced whole; the ledger of doses is appended to line by line, and
a last line cut short by the kill is dropped, for it was never acted upon.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ....protocols.errors import BadInput
from ....protocols.preset import Level
from .state import State

_STATE: TypeAdapter[State] = TypeAdapter(State)


@dataclass(frozen=True, slots=True)
class Dose:
    """Electrons given to one spot: the truth about it, in the grid's own frame.

    ``radius_um`` is that of the illuminated disc; ``load`` counts the loads of that slot. ``grid`` says which grid it
    was, by the slot it began the night in, where that is not the one it lies in now.
    """

    name: str
    slot: int
    load: int
    level: Level
    x_um: float
    y_um: float
    radius_um: float
    dose_e_per_a2: float
    at: datetime
    grid: int | None = None

    @property
    def of_grid(self) -> int:
        """The grid that got the dose, by the slot it began the night in."""
        return self.slot if self.grid is None else self.grid


_DOSE: TypeAdapter[Dose] = TypeAdapter(Dose)


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that struck one call: the truth about it.

    ``fault`` is its number among the faults of the night, ``strike`` how often it has struck with this one, ``number``
    how often the method had been called, ``lasts_h`` how long it goes on, where it does.
    """

    at: datetime
    kind: str
    fault: int
    strike: int
    call: str
    number: int
    slot: int | None
    lasts_h: float | None
    what: str


_STRUCK: TypeAdapter[Struck] = TypeAdapter(Struck)


class Memory:
    """The folder given to the driver."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def settle_world(self, world: dict[str, Any]) -> dict[str, Any]:
        """Keep the world's description at the first connection; afterwards give back what was kept.

        Raises
        ------
        BadInput
            The folder belongs to a world of another seed or profile.
        """
        path = self.folder / "world.json"
        text = json.dumps(world)
        if not path.exists():
            _replace(path, text.encode())
        world, kept = json.loads(text), json.loads(path.read_bytes())
        for part in ("seed", "profile", "world"):
            if kept[part] != world[part]:
                raise BadInput(
                    f"{self.folder} belongs to a simulated night of another {part}; go on with the same one, or give "
                    "another folder"
                )
        return dict(kept)

    def read_state(self) -> State | None:
        """Read the instrument's state; None at the first connection."""
        try:
            return _STATE.validate_json((self.folder / "state.json").read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise BadInput(
                f"{self.folder / 'state.json'} is not a state of this simulator; use another folder"
            ) from error

    def write_state(self, state: State) -> None:
        """Replace the state."""
        _replace(self.folder / "state.json", _STATE.dump_json(state))

    def write_dose(self, dose: Dose) -> None:
        """Append to the ledger; on return a killed process cannot lose it."""
        line = json.dumps(asdict(dose), default=datetime.isoformat).encode() + b"\n"
        with (self.folder / "doses.jsonl").open("ab") as file:
            file.write(line)

    def write_struck(self, struck: Struck) -> None:
        """Append to the ledger of faults; one cut short by a kill is written again at the next strike."""
        path = self.folder / "faults.jsonl"
        if path.exists():
            _mended(path)
        line = json.dumps(asdict(struck), default=datetime.isoformat).encode() + b"\n"
        with path.open("ab") as file:
            file.write(line)

    def doses(self) -> list[Dose]:
        """Read the ledger, oldest first, and mend its end."""
        path = self.folder / "doses.jsonl"
        if not path.exists():
            return []
        return list(_parsed(_mended(path)))


def read_doses(folder: Path) -> list[Dose]:
    """Read the ledger of a night, oldest first, changing nothing."""
    path = Path(folder) / "doses.jsonl"
    data = path.read_bytes() if path.exists() else b""
    return list(_parsed(data[: data.rfind(b"\n") + 1]))


def read_struck(folder: Path) -> list[Struck]:
    """Read the faults that struck during a night, oldest first, each strike once, changing nothing."""
    path = Path(folder) / "faults.jsonl"
    data = path.read_bytes() if path.exists() else b""
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    # A process killed between writing a strike down and keeping its state meets the same strike again.
    found = {(one.fault, one.strike): one for one in (_STRUCK.validate_json(line) for line in lines)}
    return sorted(found.values(), key=lambda one: one.at)


def calls_made(folder: Path) -> int:
    """Say how many hardware calls of any kind were made on the instrument of this folder."""
    state = Memory(Path(folder)).read_state()
    return 0 if state is None else state.calls


def time_reached(folder: Path) -> datetime | None:
    """Say to which time the instrument of this folder has lived; None before its first connection."""
    state = Memory(Path(folder)).read_state()
    return None if state is None else state.now


def _parsed(lines: bytes) -> Iterator[Dose]:
    return (_DOSE.validate_json(line) for line in lines.splitlines())


def _mended(path: Path) -> bytes:
    """Read the whole lines of a ledger and cut off a last one that a kill cut short."""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    return whole


def _replace(path: Path, data: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(data)
    os.replace(part, path)
