"""Verdicts on exposures: begun beside the night, entered between steps, in shot order."""

import math
from collections.abc import Mapping

from sqlalchemy import select

from ..db import models
from ..db.journal import Entry
from ..hardware.records import Acquired
from ..imaging.records import MicrographVerdict
from ..protocols.errors import EpicycleError
from ..protocols.screening import Thresholds
from . import worker
from .analyst import Judged
from .giving_up import expose_key
from .night import Night
from .shooting import look_again

OF_A_FIT = frozenset({"defocus_um", "astigmatism_a", "astigmatism_angle_deg", "fit_resolution_a"})
"""Numbers that mean nothing without rings to fit; they are not kept then."""

JUDGES = ("micrograph", "recorded", "sighted")
"""By its frames; by what a recording says; by what a pixel-free microscope saw."""

METHOD = "1"
"""Version of the verdict; stands beside every number it measures."""


def begin(night: Night, exposure: models.Exposure, details: Mapping[str, object] | None = None) -> None:
    """Start the analysis of an exposure, unless it has one; ``details`` spare a look into the record."""
    if exposure.analysis != "waiting" or exposure.taken_at is None:
        return
    plan = night.plan.analysis
    if plan.judge.use == "recorded":
        night.analyst.begin(
            exposure.number,
            worker.judge_from_record,
            _recorded_details(night, exposure) if details is None else details,
            latency_s=plan.judge_s,
            since=exposure.taken_at,
        )
        return
    if plan.judge.use not in JUDGES:
        raise EpicycleError(f"no judge is called {plan.judge.use}; there are: {', '.join(JUDGES)}")
    with night.journal.read() as db:
        row = db.get_one(models.ImageRow, exposure.image_id)
    optics = _optics(night)
    expected = _expected(row.dose_e_per_a2, row.pixel_size_a, row.scope)
    if plan.judge.use == "sighted":
        night.analyst.begin(
            exposure.number,
            worker.judge_by_sightings,
            look_again(night, row.id),
            row.mean_counts,
            expected,
            plan.mean_free_path_nm,
            latency_s=plan.judge_s,
            since=exposure.taken_at,
        )
        return
    night.analyst.begin(
        exposure.number,
        worker.judge_micrograph,
        look_again(night, row.id),
        optics,
        expected,
        latency_s=plan.judge_s,
        since=exposure.taken_at,
    )


def _optics(night: Night) -> worker.Optics:
    scope = night.me.microscope["capabilities"]
    return worker.Optics(
        scope["voltage_kv"], scope["cs_mm"], scope["amplitude_contrast"], night.plan.analysis.mean_free_path_nm
    )


def _recorded_details(night: Night, exposure: models.Exposure) -> Mapping[str, object]:
    with night.journal.read() as db:
        body = db.scalar(
            select(models.Event.body).where(
                models.Event.kind == "exposed",
                models.Event.step_key == expose_key(exposure.hole_id, exposure.shot),
            )
        )
    details: Mapping[str, object] = {} if body is None else body.get("details", {})
    return details


def begin_waiting(night: Night) -> None:
    """After a restart: start again every analysis that was under way."""
    with night.journal.read() as db:
        waiting = db.scalars(
            select(models.Exposure).where(models.Exposure.analysis == "waiting").order_by(models.Exposure.number)
        ).all()
    for exposure in waiting:
        begin(night, exposure)


def take_results(night: Night) -> None:
    """Enter the verdicts that are due."""
    for judged in night.analyst.collect():
        _enter(night, judged)


def drain(night: Night) -> None:
    """Wait for every verdict under way and enter it; the time it takes is on the record as idle for analysis."""
    if not night.analyst.waiting:
        return
    with night.journal.read() as db:
        waits = len(db.scalars(select(models.Step.key).where(models.Step.kind == "wait for analysis")).all())
    night.journal.step(
        f"wait for analysis {waits + 1}",
        "wait for analysis",
        lambda _: _enter_all(night),
        _said_waited,
    )


def _enter_all(night: Night) -> int:
    count = 0
    for judged in night.analyst.drain():
        _enter(night, judged)
        count += 1
    return count


def _said_waited(entry: Entry, count: int) -> None:
    entry.say("waited_for_analysis", f"waited for the last {count} verdicts")


def _enter(night: Night, judged: Judged) -> None:
    verdict: MicrographVerdict | None = judged.answer
    with night.journal.read() as db:
        number = judged.number
        exposure = db.scalars(select(models.Exposure).where(models.Exposure.number == number)).one()
        grid_id = db.scalar(
            select(models.Square.grid_id)
            .join(models.Hole, models.Hole.square_id == models.Square.id)
            .where(models.Hole.id == exposure.hole_id)
        )
    if exposure.analysis != "waiting":
        return
    with night.journal.write(grid_id=grid_id) as entry:
        row = entry.row(models.Exposure, exposure.id)
        if verdict is None:
            row.analysis, row.flags, row.usable = "failed", ["not-analysed"], None
            entry.say("analysis_failed", f"exposure {number}: {judged.failure}", exposure_id=row.id)
            entry.db.add(_analysis_fault(night, entry, number, judged.failure, grid_id))
        else:
            _record_verdict(night, entry, row, verdict)


def _analysis_fault(night: Night, entry: Entry, number: int, why: str, grid_id: int | None) -> models.Fault:
    return models.Fault(
        session_id=night.me.id,
        at=entry.at,
        grid_id=grid_id,
        step_key=f"analysis of exposure {number}",
        kind="AnalysisFailed",
        message=why,
        recovery="go-on",
    )


def _record_verdict(night: Night, entry: Entry, row: models.Exposure, verdict: MicrographVerdict) -> None:
    measures = measures_of(verdict)
    if "no-fit" in verdict.flags:
        measures = {name: value for name, value in measures.items() if name not in OF_A_FIT}
    flags = [*verdict.flags, *shortcomings(measures, row.target_defocus_um, night.protocol.thresholds)]
    of_it = {"of_kind": "exposure", "of_id": row.id, "version": METHOD, "at": entry.at}
    named = [{**of_it, "name": name, "value": value} for name, value in measures.items()]
    entry.add_many(models.Measure, named, apart_by="name")
    row.flags = sorted(set(flags))
    row.usable = not row.flags
    row.analysis = "done"
    for suffix, picture in (("micrograph", verdict.micrograph_png), ("spectrum", verdict.spectrum_png)):
        if picture:
            _keep_picture(night, entry, row, suffix, picture)
    fit = measures.get("fit_resolution_a")
    said = "usable" if row.usable else ", ".join(row.flags)
    text = f"exposure {row.number}: {said}" + (f", fit to {fit:.1f} Å" if fit is not None else "")
    entry.say("exposure_judged", text, exposure_id=row.id, usable=row.usable)


def _keep_picture(night: Night, entry: Entry, row: models.Exposure, suffix: str, picture: bytes) -> None:
    name = f"e{row.number:05}-{suffix}"
    path = night.images.write_bytes(f"{name}.png", picture)
    night.images.add_file(
        entry.db,
        session_id=night.me.id,
        of_kind="exposure",
        of_id=row.id,
        kind="picture",
        name=name,
        path=path,
        taken_at=entry.at,
    )


def measures_of(verdict: MicrographVerdict) -> dict[str, float]:
    """Give a verdict's numbers by name; underfocus negative, as everywhere in the record. Only finite ones."""
    measures: dict[str, float] = {"mean_counts": verdict.mean_counts}
    if verdict.ctf is not None:
        measures |= {
            "defocus_um": -verdict.ctf.defocus_um,
            "astigmatism_a": verdict.ctf.astigmatism_a,
            "astigmatism_angle_deg": verdict.ctf.angle_deg,
            "fit_resolution_a": verdict.ctf.fit_resolution_a,
            "ctf_confidence": verdict.ctf.confidence,
        }
    if verdict.ice_nm is not None:
        measures["ice_nm"] = verdict.ice_nm
    if verdict.motion is not None:
        measures["motion_a"] = verdict.motion.total_a
    return {name: float(value) for name, value in measures.items() if math.isfinite(value)}


def shortcomings(measures: Mapping[str, float], target_defocus_um: float, limits: Thresholds) -> list[str]:
    """Say in short words what keeps an exposure from being usable; empty for a usable one."""
    found = []
    ice = measures.get("ice_nm")
    if ice is not None and ice > limits.ice_max_nm:
        found.append("thick")
    if ice is not None and ice < limits.ice_min_nm:
        found.append("dry")
    fit = measures.get("fit_resolution_a")
    # Without rings to follow, astigmatism, defocus and motion are numbers of noise.
    if fit is None:
        return [*found, "no-fit"]
    if measures.get("ctf_confidence", 1.0) < limits.confidence_min:
        return [*found, "unsure-fit"]
    if fit > limits.fit_resolution_a:
        found.append("poor-fit")
    if measures.get("motion_a", 0.0) > limits.motion_max_a:
        found.append("moved")
    if measures.get("astigmatism_a", 0.0) > limits.astigmatism_max_a:
        found.append("astigmatic")
    defocus = measures.get("defocus_um")
    if defocus is not None and abs(defocus - target_defocus_um) > limits.defocus_error_max_um:
        found.append("off-focus")
    return found


def expected_counts(acquired: Acquired) -> float | None:
    """Give the counts per pixel that the dose makes with nothing in the beam; None without pixels."""
    if acquired.path is None:
        return None
    return _expected(acquired.dose_e_per_a2, acquired.pixel_size_a, acquired.details)


def _expected(dose_e_per_a2: float | None, pixel_size_a: float | None, details: Mapping[str, object]) -> float | None:
    if dose_e_per_a2 is None or pixel_size_a is None:
        return None
    gain = details.get("counts_per_electron", 1.0)
    return dose_e_per_a2 * pixel_size_a**2 * (float(gain) if isinstance(gain, int | float) else 1.0)
