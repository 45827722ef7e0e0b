"""A record in a fresh folder, and a clock that moves only when told."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session as OrmSession

from epicycle.db import models
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


START = datetime(2025, 3, 1, 18, 0, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


class NightInMiniature:
    """Six slots, one of each fate, written row by row with numbers a test can count by other means."""

    def __init__(self, engine) -> None:
        self.engine = engine
        self.shots = 0
        with OrmSession(engine) as db:
            self.db = db
            self._begin()
            good = self._grid(1, "good one", status="screened", loads=1, passes_done=1, finished_at=after(60))
            thick = self._grid(2, "thick one", status="screened", loads=1, passes_done=1, finished_at=after(110))
            self._grid(3, "", status="empty")
            self._grid(4, "jammed", status="failed", reason="did not arrive", load_attempts=3, passes_done=1)
            broken = self._grid(5, "broken one", status="screened", loads=1, passes_done=1, finished_at=after(150))
            at_work = self._grid(6, "at work", status="loaded", loads=1)
            self._grid(7, "to come", status="waiting")
            for grid in (good, thick, broken, at_work):
                self._atlas(grid)
            for number in (1, 2, 3):
                self._square(good, number, "good", [True] * 4 + [number > 1], fit=3.5 + number / 10, ice=30.0)
                self._square(thick, number, "good", [False] * 3, fit=None, ice=180.0, flags=["no-fit", "thick"])
                self._square(broken, number, "broken_or_dry", [])
            self._square(good, 4, "good", [], visited=False)
            self._square(good, 5, "cracked", [], visited=False)
            self._square(at_work, 1, "good", [True, None], fit=4.0, ice=40.0)
            self._words(good, at_work)
            db.commit()

    def _add(self, row):
        self.db.add(row)
        self.db.flush()
        return row

    def _begin(self) -> None:
        self._add(
            models.Session(
                name="miniature",
                protocol={"name": "screening-fast"},
                cassette={"slots": 7},
                microscope={"use": "sim"},
                plugins={"sim": "1"},
                code_version="0.1.0",
                seed=7,
                phase="expose",
                started_at=START,
                deadline_at=after(800),
                doing="exposing hole 2 of square 1",
            )
        )

    def _grid(self, slot: int, name: str, **columns):
        return self._add(models.Grid(session_id=1, slot=slot, name=name, hole_type="R2/1", **columns))

    def _image(self, of_kind: str, of_id: int, kind: str, name: str, **columns):
        return self._add(
            models.ImageRow(
                session_id=1,
                of_kind=of_kind,
                of_id=of_id,
                kind=kind,
                name=name,
                path=f"images/{name}.mrc",
                sha256="0" * 64,
                size_bytes=1024,
                rows_px=64,
                cols_px=64,
                taken_at=after(1),
                **columns,
            )
        )

    def _atlas(self, grid) -> None:
        atlas = self._add(models.Atlas(grid_id=grid.id, load_number=1, status="done", vacuum_counts=200.0))
        for number in (1, 2):
            self._add(
                models.Tile(
                    atlas_id=atlas.id, number=number, row=0, col=number, stage_x_um=0, stage_y_um=0, status="done"
                )
            )
        atlas.image_id = self._image("atlas", atlas.id, "stitched", f"g{grid.slot}-atlas").id

    def _square(self, grid, number, category, usable, *, visited=True, fit=None, ice=None, flags=()) -> None:
        square = self._add(
            models.Square(
                grid_id=grid.id,
                number=number,
                stage_x_um=100.0 * number,
                stage_y_um=50.0,
                corners_um=[[0, 0], [0, 1], [1, 1], [1, 0]],
                area_um2=2500.0,
                mean=120.0,
                score=0.5,
                category=category,
                status="done" if usable else "found",
            )
        )
        name = f"g{grid.slot}-s{number}"
        if visited and usable:
            self._image("square", square.id, "survey", f"{name}-v0")
            self._image("square", square.id, "survey", f"{name}-v1")
        group = self._add(
            models.BisGroup(square_id=square.id, number=1, stage_x_um=1, stage_y_um=1, visit_order=1, status="done")
        )
        for which, verdict in enumerate(usable, 1):
            hole = self._hole(square, group.id, which, "exposed", ice)
            self._shot(hole, group.id, verdict, fit, ice, [] if verdict else list(flags))
        if usable:
            spare = self._hole(square, None, len(usable) + 1, "lost", ice)
            self.shots += 1
            self._add(models.Exposure(hole_id=spare.id, number=self.shots, status="lost", reason="no frame on disk"))

    def _hole(self, square, group_id, number, status, ice):
        return self._add(
            models.Hole(
                square_id=square.id,
                group_id=group_id,
                number=number,
                stage_x_um=3.0 * number,
                stage_y_um=0.0,
                radius_um=1.0,
                score=0.9,
                site="hole",
                ice_nm=ice,
                status=status,
            )
        )

    def _shot(self, hole, group_id, usable, fit, ice, flags) -> None:
        self.shots += 1
        shot = self._add(
            models.Exposure(
                hole_id=hole.id,
                group_id=group_id,
                number=self.shots,
                status="done",
                target_defocus_um=-1.5,
                dose_e_per_a2=40.0,
                taken_at=after(10 + self.shots),
                analysis="waiting" if usable is None else "done",
                flags=flags,
                usable=usable,
            )
        )
        shot.image_id = self._image("exposure", shot.id, "micrograph", f"e{shot.number:05}", dose_e_per_a2=40.0).id
        self._image("exposure", shot.id, "picture", f"e{shot.number:05}-spectrum")
        if usable is None:
            return
        values = {"ice_nm": ice, "fit_resolution_a": None if fit is None else fit + hole.number / 10}
        for name, value in values.items():
            if value is not None:
                for version, at, shown in (("0", 9000, 99.0), ("1", 9001, value)):
                    self._add(
                        models.Measure(
                            of_kind="exposure", of_id=shot.id, name=name, value=shown, version=version, at=after(at)
                        )
                    )

    def _words(self, good, at_work) -> None:
        session = self.db.get_one(models.Session, 1)
        square = self.db.scalars(select(models.Square).where(models.Square.grid_id == at_work.id)).one()
        session.grid_id, session.square_id = at_work.id, square.id
        for minute, grid, kind in ((1, None, "night_began"), (60, good, "grid_left"), (170, at_work, "hole_exposed")):
            self._add(
                models.Event(
                    session_id=1,
                    at=after(minute),
                    kind=kind,
                    grid_id=None if grid is None else grid.id,
                    text=kind.replace("_", " "),
                    body={"changes": [{"table": "session", "id": 1, "set": {"code_version": "0.1.0", "doing": kind}}]},
                )
            )
        for of_kind, of_id in (("session", 1), ("grid", good.id), ("square", square.id)):
            self._add(
                models.Decision(
                    session_id=1,
                    event_id=1,
                    question="squares",
                    of_kind=of_kind,
                    of_id=of_id,
                    policy="first-come",
                    policy_version="1",
                    seed=5,
                    seen_upto=1,
                    offered=[1, 2],
                    chosen=[2],
                    scores={"1": 0.1, "2": 0.9},
                    reasons={"1": "small", "2": "large"},
                    at=after(5),
                )
            )
        for grid in (good, at_work):
            self._add(
                models.Step(
                    key=f"grid {grid.slot} load",
                    session_id=1,
                    kind="load",
                    grid_id=grid.id,
                    status="done",
                    attempts=1,
                    started_at=after(grid.slot),
                    ended_at=after(grid.slot + 1),
                )
            )
        self._add(
            models.Fault(
                session_id=1,
                at=after(2),
                grid_id=good.id,
                kind="LoadFailed",
                message="did not arrive",
                recovery="retry",
            )
        )
        self._add(models.Command(session_id=1, verb="pause", asked_by="ann", asked_at=after(3), idempotency_key="k"))


@pytest.fixture
def miniature(record):
    """Path and engine of a record with a small night in it."""
    path, engine = record
    NightInMiniature(engine)
    return path, engine
