"""What each request does: one call of this class for one request, the state kept on disk before the answer goes out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ...protocols.errors import BadInput
from ..ptolemy_format import holes_items, squares_items
from .finding import Looking, hole_rows, image_of, square_rows
from .learning import hole_predictions, square_scores
from .state import UNKNOWN, State, holes_csv, keep, kept, load, save, squares_csv


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)


class Nothing(_Request):
    """A request without content."""


class Beginning(_Request):
    """A new session, with folders of sessions to learn from."""

    historical_state_paths: list[str] = Field(default_factory=list)


class Tile(_Request):
    """An atlas tile: rows of numbers."""

    image: Any
    grid_id: int = UNKNOWN
    tile_id: int | None = None


class View(_Request):
    """A view of holes: rows of numbers."""

    image: Any
    grid_id: int = UNKNOWN
    tile_id: int | None = None
    square_id: int = UNKNOWN
    mm_img_id: int | None = None


class Folder(_Request):
    """A folder below the server's own."""

    path: str


class Number(_Request):
    """One number."""

    value: float


class Square(_Request):
    """A square by its number."""

    square_id: int


class Exposures(_Request):
    """What exposures of holes gave: resolution in Å, ice in nm; null where it is not known."""

    hole_ids: list[int]
    ctfs: list[float | None]
    ice_thicknesses: list[float | None]


@dataclass(slots=True)
class Session:
    """The state, the finders, and the folder that is the only one read and written."""

    folder: Path
    looking: Looking
    state: State

    @classmethod
    def in_folder(cls, folder: Path, looking: Looking) -> "Session":
        """Go on with the session whose state lies in the folder, or begin one; raises `BadInput` if it is damaged."""
        return cls(folder, looking, kept(folder))

    def initialize_new_session(self, asked: Beginning) -> None:
        """Forget everything and load what is to be learnt from."""
        past = tuple(load(self._within(path)) for path in asked.historical_state_paths)
        self._keep(State(past=tuple(replace(one, past=()) for one in past)))

    def load_historical_state(self, asked: Folder) -> None:
        """Learn from one more saved state."""
        one = replace(load(self._within(asked.path)), past=())
        self._keep(replace(self.state, past=(*self.state.past, one)))

    def clear_current_state(self, _: Nothing) -> None:
        """Forget squares and holes, keep what was learnt from before."""
        self._keep(State(past=self.state.past))

    def clear_historical_state(self, _: Nothing) -> None:
        """Forget what was learnt from before."""
        self._keep(replace(self.state, past=()))

    def set_noice_hole_intensity(self, asked: Number) -> None:
        """Take the intensity of a hole without ice; holes seen from now on are compared with it."""
        if not asked.value > 0:
            raise BadInput(f"the intensity of a hole without ice is above 0, not {asked.value:g}")
        self._keep(replace(self.state, vacuum_intensity=asked.value))

    def push_lm(self, asked: Tile) -> None:
        """Find the squares of a tile and remember them."""
        pixels = image_of(asked.image)
        tile_id = UNKNOWN if asked.tile_id is None else asked.tile_id
        rows = square_rows(pixels, self.looking.squares(pixels), asked.grid_id, tile_id)
        self._keep(self.state.with_squares(rows))

    def push_and_evaluate_mm(self, asked: View) -> str:
        """Find the holes of a view, remember them, answer them with what is expected of each."""
        pixels = image_of(asked.image)
        image_id = UNKNOWN if asked.mm_img_id is None else asked.mm_img_id
        ids = (asked.grid_id, asked.square_id, image_id)
        vacuum = self.state.vacuum_intensity
        self._keep(self.state.with_holes(hole_rows(self.looking.holes(pixels, vacuum), ids, vacuum)))
        return self.rerun_mm_on_active_holes(Nothing())

    def push_mm(self, asked: View) -> None:
        """Find the holes of a view and remember them."""
        self.push_and_evaluate_mm(asked)

    def rerun_mm_on_active_holes(self, _: Nothing) -> str:
        """Answer the holes of the last view anew, with what has been learnt since."""
        rows = [self.state.holes[number] for number in self.state.active]
        return holes_csv(rows, hole_predictions(self.state, rows))

    def process_stateless_lm(self, asked: Tile) -> list[dict[str, Any]]:
        """Find squares and remember nothing; the answer is that of Ptolemy's script."""
        return squares_items(self.looking.squares(image_of(asked.image)))

    def process_stateless_mm(self, asked: View) -> list[dict[str, Any]]:
        """Find holes and remember nothing; the answer is that of Ptolemy's script."""
        return holes_items(self.looking.holes(image_of(asked.image)))

    def visit_square(self, asked: Square) -> None:
        """Mark a square as visited."""
        self._keep(self.state.visited_squares([asked.square_id]))

    def visit_holes(self, asked: Exposures) -> None:
        """Learn what exposures gave."""
        self._keep(self.state.visited_holes(asked.hole_ids, asked.ctfs, asked.ice_thicknesses))

    def select_next_square(self, asked: Number) -> str:
        """Answer the squares not yet visited, of one grid or (-1) of all, with their rank once there is one."""
        grid = int(asked.value)
        rows = [row for row in self.state.squares if not row.visited and grid in (-1, row.grid_id)]
        return squares_csv(rows, square_scores(self.state, rows))

    def current_lm_state(self, _: Nothing) -> str:
        """Answer all squares."""
        return squares_csv(self.state.squares)

    def current_mm_state(self, _: Nothing) -> str:
        """Answer all holes."""
        return holes_csv(self.state.holes)

    def save_state(self, asked: Folder) -> None:
        """Write the state into a folder below the server's own."""
        save(self.state, self._within(asked.path))

    def _keep(self, state: State) -> None:
        """Keep the new state on disk first: what was answered is never lost."""
        keep(state, self.folder)
        self.state = state

    def _within(self, path: str) -> Path:
        """Give a folder below the server's own, however it is named.

        Raises
        ------
        BadInput
            It lies elsewhere: who asks for images to be searched has no say over other files of this machine.
        """
        home = self.folder.resolve()
        try:
            wanted = (home / path).resolve()
        except (OSError, ValueError):
            wanted = Path("/")
        if wanted == home or not wanted.is_relative_to(home):
            raise BadInput(f"{path!r} does not lie below the server's folder {home}; name a folder in it")
        return wanted


POSTED: dict[str, tuple[type[_Request], Callable[[Session, Any], Any]]] = {
    "initialize_new_session": (Beginning, Session.initialize_new_session),
    "load_historical_state": (Folder, Session.load_historical_state),
    "push_lm": (Tile, Session.push_lm),
    "push_mm": (View, Session.push_mm),
    "push_and_evaluate_mm": (View, Session.push_and_evaluate_mm),
    "process_stateless_lm": (Tile, Session.process_stateless_lm),
    "process_stateless_mm": (View, Session.process_stateless_mm),
    "set_noice_hole_intensity": (Number, Session.set_noice_hole_intensity),
    "select_next_square": (Number, Session.select_next_square),
    "visit_square": (Square, Session.visit_square),
    "visit_holes": (Exposures, Session.visit_holes),
    "save_state": (Folder, Session.save_state),
}
"""Requests with content, by the last part of their address."""

ASKED: dict[str, Callable[[Session, Nothing], Any]] = {
    "current_lm_state": Session.current_lm_state,
    "current_mm_state": Session.current_mm_state,
    "rerun_mm_on_active_holes": Session.rerun_mm_on_active_holes,
    "clear_current_state": Session.clear_current_state,
    "clear_historical_state": Session.clear_historical_state,
}
"""Requests without content."""
