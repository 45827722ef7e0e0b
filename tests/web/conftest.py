"""Nights painted straight into the tables: no engine, known truth, small pictures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session as OrmSession

from epicycle.db import models as m
from epicycle.db.connection import create_record, open_reader
from epicycle.files.mrc import write_mrc

START = datetime(2025, 11, 20, 17, 0, tzinfo=UTC)
UM_PER_PX = {"atlas": 1.9, "square": 0.12, "hole": 0.02}


@dataclass
class Slot:
    """What shall have happened to one grid."""

    name: str = "grid"
    status: str = "screened"
    reason: str = ""
    usable: float = 0.8
    resolution_a: float = 4.0
    ice_nm: float = 35.0
    visited: int = 3
    shots: int = 4
    classes: Sequence[str] = ("good", "good", "good", "small_or_thick", "cracked", "contaminated", "broken_or_dry")
    flags: Sequence[str] = ("no-fit",)
    pending: int = 0


@dataclass
class Night:
    """A whole night to paint."""

    slots: dict[int, Slot] = field(default_factory=dict)
    name: str = "aldolase screening"
    run_status: str = "finished"
    sides: dict[str, int] = field(default_factory=lambda: {"atlas": 320, "square": 256, "hole": 200, "shot": 96})
    faults: Sequence[tuple[int | None, str, str, str]] = ()
    seed: int = 7


class Painter:
    """Writes one night, row by row, with times that add up."""

    def __init__(self, folder: Path, night: Night) -> None:
        self.folder, self.night = folder, night
        self.rng = np.random.default_rng(night.seed)
        self.now = START
        (folder / "images").mkdir(parents=True, exist_ok=True)
        self.engine = create_record(folder / "night.db")
        self.shot_number = 0
        self.pictures = 0

    def paint(self) -> Path:
        with OrmSession(self.engine) as db:
            self.db = db
            self._session()
            for slot, wanted in self.night.slots.items():
                self._grid(slot, wanted)
            for fault in self.night.faults:
                self._fault(*fault)
            if self.night.run_status == "finished":
                self.session.finished_at, self.session.phase = self.now, "finished"
            db.commit()
        self.engine.dispose()
        return self.folder / "night.db"

    def _fault(self, slot: int | None, kind: str, message: str, recovery: str) -> None:
        grid = None if slot is None else self.grids[slot].id
        words = {"kind": kind, "message": message, "recovery": recovery, "step_key": f"{kind} {slot}"}
        self._add(m.Fault(session_id=1, at=self.now, grid_id=grid, **words))
        self._say("failed", f"{kind}: {message} → {recovery}", grid)

    def _say(self, kind: str, text: str, grid_id: int | None = None) -> None:
        self._add(m.Event(session_id=1, at=self.now, kind=kind, text=text, grid_id=grid_id))

    def _add(self, row: Any) -> Any:
        self.db.add(row)
        self.db.flush()
        return row

    def _session(self) -> None:
        self.grids: dict[int, m.Grid] = {}
        self.session = self._add(
            m.Session(
                name=self.night.name,
                protocol={"name": "screening-default", "squares_per_grid": 3, "thresholds": {"fit_resolution_a": 6.0}},
                cassette={},
                microscope={"name": "simulated 200 kV", "capabilities": {"voltage_kv": 200.0, "cs_mm": 2.7}},
                plugins={"squares": {"name": "mixture-squares", "version": "1"}},
                code_version="0.1.0",
                seed=self.night.seed,
                phase="expose",
                run_status=self.night.run_status,
                doing="exposing hole 12 of square 4, because it lies in the middle of the score range",
                started_at=START,
                deadline_at=START + timedelta(hours=14),
            )
        )

    def _step(self, kind: str, grid: m.Grid | None, seconds: float, key: str) -> None:
        took = timedelta(seconds=seconds * self.rng.uniform(0.8, 1.2))
        of = None if grid is None else grid.id
        self._add(
            m.Step(
                key=key,
                session_id=1,
                kind=kind,
                grid_id=of,
                status="done",
                attempts=1,
                started_at=self.now,
                ended_at=self.now + took,
            )
        )
        self.now += took
        self._say({"load": "grid_loaded"}.get(kind, "moved_on"), f"{kind}: {key}", of)

    def _grid(self, slot: int, wanted: Slot) -> None:
        grid = self._add(
            m.Grid(
                session_id=1,
                slot=slot,
                name=wanted.name,
                status=wanted.status,
                reason=wanted.reason,
                hole_type="R1.2/1.3",
                mesh="300",
                material="carbon",
                load_attempts=0 if wanted.status in ("empty", "waiting", "skipped") else 1,
            )
        )
        self.grids[slot] = grid
        if wanted.status in ("empty", "waiting", "skipped", "failed"):
            return
        before = self.now
        grid.loads, grid.first_loaded_at = 1, self.now
        self._step("load", grid, 300, f"grid {grid.id} load")
        squares = self._atlas(grid, wanted)
        self._decision("squares", "grid", grid.id, squares, squares[: wanted.visited])
        for order, square in enumerate(squares[: wanted.visited], 1):
            self._square(grid, square, wanted, order)
        grid.used_s = (self.now - before).total_seconds()
        self._step("find squares", grid, 6, f"grid {grid.id} find squares")

    def _image(self, of_kind: str, of_id: int, kind: str, name: str, pixels: Any, **more: Any) -> m.ImageRow:
        suffix = ".png" if kind == "picture" else ".mrc"
        path = self.folder / "images" / (name + suffix)
        if kind == "picture":
            cv2.imwrite(str(path), pixels)
        else:
            write_mrc(path, pixels, more.get("pixel_size_a"))
        rows, cols = pixels.shape[:2]
        return self._add(
            m.ImageRow(
                session_id=1,
                of_kind=of_kind,
                of_id=of_id,
                kind=kind,
                name=name + suffix,
                path=f"images/{name}{suffix}",
                sha256="0" * 64,
                size_bytes=path.stat().st_size,
                rows_px=rows,
                cols_px=cols,
                taken_at=self.now,
                dose_e_per_a2=None if kind == "picture" else 0.2,
                **more,
            )
        )

    def _canvas(self, level: str, noise: float = 0.06) -> tuple[Any, list[list[float]], float]:
        side = self.night.sides[level]
        scale = UM_PER_PX[level] * {"atlas": 1000, "square": 1024, "hole": 1024}[level] / side
        pixels = self.rng.normal(0.12, noise / 3, (side, side)).astype(np.float32)
        return pixels, [[0.0, scale, 0.0], [scale, 0.0, 0.0]], scale

    def _atlas(self, grid: m.Grid, wanted: Slot) -> list[m.Square]:
        pixels, affine, scale = self._canvas("atlas")
        half = len(pixels) * scale / 2
        angle = np.deg2rad(self.rng.uniform(-12, 12))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        squares: list[m.Square] = []
        brightness = {"good": 0.8, "small_or_thick": 0.35, "contaminated": 0.6, "cracked": 0.75, "broken_or_dry": 1.0}
        for i in range(-6, 7):
            for j in range(-6, 7):
                centre = turn @ np.array([i * 112.0, j * 112.0])
                if np.hypot(*centre) > 0.85 * half:
                    continue
                category = wanted.classes[int(self.rng.integers(len(wanted.classes)))]
                box = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * (29.0 if category != "small_or_thick" else 21.0)
                corners = centre + box @ turn.T
                level = brightness.get(category, 0.5)
                drawn = ((corners - (affine[0][2] - half, -half)) / scale)[:, ::1]
                cv2.fillPoly(pixels, [np.round(drawn).astype(np.int32)], level)
                squares.append(
                    m.Square(
                        grid_id=grid.id,
                        number=len(squares) + 1,
                        stage_x_um=float(centre[0]),
                        stage_y_um=float(centre[1]),
                        corners_um=corners.tolist(),
                        area_um2=3364.0,
                        mean=level,
                        score=float(np.clip(self.rng.normal(level, 0.1), 0, 1)),
                        category=category,
                    )
                )
        pixels += self.rng.normal(0, 0.05, pixels.shape).astype(np.float32)
        # canvas (row, col) to stage: x runs along columns, y along rows, the grid's middle at the origin
        affine = [[0.0, scale, -half], [scale, 0.0, -half]]
        atlas = self._add(m.Atlas(grid_id=grid.id, load_number=1, status="done"))
        image = self._image(
            "atlas", atlas.id, "stitched", f"atlas-{grid.slot}", pixels, image_to_stage=affine, pixel_size_a=scale * 1e4
        )
        atlas.image_id = image.id
        self._step("atlas", grid, 400, f"grid {grid.id} atlas")
        self.db.add_all(squares)
        self.db.flush()
        return sorted(squares, key=lambda square: (square.category != "good", -square.score))

    def _decision(self, question: str, of_kind: str, of_id: int, offered: Any, chosen: Any) -> None:
        taken = {row.id for row in chosen}
        self._add(
            m.Decision(
                session_id=1,
                question=question,
                of_kind=of_kind,
                of_id=of_id,
                policy="cluster-sampling",
                policy_version="1",
                seed=self.night.seed,
                seen_upto=1,
                at=self.now,
                offered=[row.id for row in offered],
                chosen=[row.id for row in chosen],
                scores={str(row.id): row.score for row in offered},
                reasons={
                    str(row.id): "highest score of its size group" if row.id in taken else "group is full"
                    for row in offered
                },
                summary=f"{len(taken)} of {len(offered)} {question}, one from each group",
            )
        )
        self._say(f"{question}_chosen", f"{len(taken)} of {len(offered)} {question}", None)

    def _square(self, grid: m.Grid, square: m.Square, wanted: Slot, order: int) -> None:
        self._step("square", grid, 45, f"grid {grid.id} square {square.number} survey")
        pixels, _, scale = self._canvas("square")
        half = len(pixels) * scale / 2
        affine = [[0.0, scale, square.stage_x_um - half], [scale, 0.0, square.stage_y_um - half]]
        square.status, square.visit_order = "done", order
        holes: list[m.Hole] = []
        cv2.rectangle(pixels, (20, 20), (len(pixels) - 20, len(pixels) - 20), 0.5, -1)
        for i in range(-4, 5):
            for j in range(-4, 5):
                x, y = i * 9.0, j * 9.0
                if max(abs(x), abs(y)) > 0.4 * 2 * half - 3:
                    continue
                at = (round((x + half) / scale), round((y + half) / scale))
                cv2.circle(pixels, at, max(round(1.2 / scale), 1), float(self.rng.normal(0.85, 0.05)), -1)
                site = "hole" if self.rng.random() < 0.85 else "covered"
                holes.append(
                    m.Hole(
                        square_id=square.id,
                        number=len(holes) + 1,
                        stage_x_um=square.stage_x_um + x,
                        stage_y_um=square.stage_y_um + y,
                        radius_um=1.2,
                        score=float(self.rng.random()),
                        site=site,
                    )
                )
        pixels += self.rng.normal(0, 0.05, pixels.shape).astype(np.float32)
        square.image_id = self._image(
            "square",
            square.id,
            "survey",
            f"square-{square.id}",
            pixels,
            image_to_stage=affine,
            pixel_size_a=scale * 1e4,
        ).id
        self.db.add_all(holes)
        self.db.flush()
        chosen = [holes[int(n)] for n in self.rng.choice(len(holes), min(wanted.shots, len(holes)), replace=False)]
        self._decision("holes", "square", square.id, holes, chosen)
        for number, pair in enumerate([chosen[n : n + 2] for n in range(0, len(chosen), 2)], 1):
            self._group(grid, square, pair, number, wanted)

    def _group(self, grid: m.Grid, square: m.Square, holes: list[m.Hole], number: int, wanted: Slot) -> None:
        group = self._add(
            m.BisGroup(
                square_id=square.id,
                number=number,
                stage_x_um=holes[0].stage_x_um,
                stage_y_um=holes[0].stage_y_um,
                visit_order=number,
                status="done",
                target_defocus_um=-1.2,
                drift_a_per_s=0.8,
            )
        )
        self._step("centre", grid, 30, f"square {square.id} group {number} view")
        pixels, _, scale = self._canvas("hole", 0.2)
        half = len(pixels) * scale / 2
        cv2.circle(pixels, (len(pixels) // 2,) * 2, round(1.2 / scale), 0.9, -1)
        affine = [[0.0, scale, group.stage_x_um - half], [scale, 0.0, group.stage_y_um - half]]
        group.image_id = self._image(
            "bis_group",
            group.id,
            "survey",
            f"group-{group.id}",
            pixels,
            image_to_stage=affine,
            pixel_size_a=scale * 1e4,
        ).id
        self._step("focus", grid, 25, f"square {square.id} group {number} focus")
        self._step("settle", grid, 12, f"square {square.id} group {number} settle")
        for hole in holes:
            hole.group_id = group.id
            self._shot(grid, group, hole, wanted)

    def _shot(self, grid: m.Grid, group: m.BisGroup, hole: m.Hole, wanted: Slot) -> None:
        self.shot_number += 1
        hole.status = "exposed"
        pending = self.shot_number <= wanted.pending
        usable = None if pending else bool(self.rng.random() < wanted.usable)
        shot = self._add(
            m.Exposure(
                hole_id=hole.id,
                group_id=group.id,
                number=self.shot_number,
                status="done",
                usable=usable,
                target_defocus_um=-1.2,
                dose_e_per_a2=40.0,
                taken_at=self.now,
                analysis="waiting" if pending else "done",
                flags=[] if usable is not False else list(wanted.flags),
            )
        )
        self._step("expose", grid, 8, f"hole {hole.id} expose")
        if pending:
            return
        self._say("exposure_judged", f"exposure {shot.number}: {'usable' if usable else 'not usable'}", grid.id)
        values = {
            "fit_resolution_a": wanted.resolution_a * self.rng.lognormal(0, 0.12) * (1 if usable else 1.9),
            "ice_nm": wanted.ice_nm * self.rng.lognormal(0, 0.2) * (1 if usable else 1.5),
            "defocus_um": -1.2 + self.rng.normal(0, 0.1),
            "astigmatism_a": 150.0,
            "motion_a": 14.0,
        }
        for name, value in values.items():
            self._add(
                m.Measure(of_kind="exposure", of_id=shot.id, name=name, value=float(value), version="1", at=self.now)
            )
        side = self.night.sides["shot"]
        noise = self.rng.normal(128, 32, (side // 2, side // 2)).astype(np.float32)
        grey = np.clip(cv2.resize(noise, (side, side)), 0, 255).astype(np.uint8)
        self._image("exposure", shot.id, "picture", f"shot-{shot.id}-micrograph", grey)
        y, x = np.mgrid[:side, :side] - side / 2
        k = np.hypot(y, x) / side
        rings = np.clip(128 + 90 * np.cos(160 * k * k * 2) * np.exp(-k * 6) + self.rng.normal(0, 12, k.shape), 0, 255)
        self._image("exposure", shot.id, "picture", f"shot-{shot.id}-spectrum", rings.astype(np.uint8))


@pytest.fixture(scope="session")
def paint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Paint a night into a fresh folder: slots as keyword arguments of `Slot`, the rest as those of `Night`."""

    def painted(slots: Mapping[int, Mapping[str, Any]], **night: Any) -> Path:
        return Painter(
            tmp_path_factory.mktemp("night"), Night({slot: Slot(**wanted) for slot, wanted in slots.items()}, **night)
        ).paint()

    return painted


@pytest.fixture
def reader_of() -> Iterator[Callable[[Path], Engine]]:
    """Open records read-only and close them afterwards."""
    opened: list[Engine] = []

    def read(path: Path) -> Engine:
        opened.append(open_reader(path))
        return opened[-1]

    yield read
    for engine in opened:
        engine.dispose()
