"""The morning report: one HTML file that opens from a memory stick and answers, first of all, what to do next.

Everything is inside the file: pictures as data URIs, charts as SVG, one style sheet, and a script that only
adds comforts (zoom, sort, filter): everything is read without it. Names and texts are
escaped by the template engine; nothing here builds markup.
"""

from datetime import tzinfo
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from sqlalchemy import Engine

from .. import __version__
from ..db.connection import open_reader
from ..files.atomic import write_bytes
from . import plots, sentences
from .instrument import instrument_sheet, plugin_lines
from .night import WholeNight, whole_night
from .sections import Darkroom, decision_section, grid_section, sides_of
from .templating import environment


def render_report(record_path: Path, out: Path, *, zone: tzinfo | None = None) -> Path:
    """Write the report of a record.

    Parameters
    ----------
    record_path
        The database of a night, finished or not; images are looked for beside it.
    out
        The HTML file; replaced only when the new one is whole.
    zone
        Zone of the times shown; this machine's where none is given.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    EpicycleError
        No record there, a corrupt or newer one, one without a night, or a place that cannot be written.
    """
    reader = open_reader(record_path)
    try:
        text = report_html(reader, record_path.parent, zone)
    finally:
        reader.dispose()
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, text.encode())
    return out


def report_html(reader: Engine, folder: Path, zone: tzinfo | None = None) -> str:
    """Give the report's text; images are looked for below ``folder``."""
    night = whole_night(reader)
    darkroom = Darkroom(folder, sides_of(night))
    page = environment(zone).get_template("report.html.j2")
    return page.render(
        night=night,
        status=night.status,
        sections=[grid_section(grid, darkroom) for grid in night.grids],
        by_grid=plots.resolution_by_grid(night.grids),
        timeline=plots.timeline(night, zone),
        night_decisions=[decision_section(d, night.grids) for d in night.decisions if d.question == "grids"],
        throughput=_throughput(night),
        shots=sorted((shot for grid in night.grids for shot in grid.shots), key=lambda shot: shot.number),
        microscope=instrument_sheet(night.status.microscope),
        plugins=plugin_lines(night.status.plugins),
        protocol=_yaml(night.status.protocol),
        zone=night.status.started_at.astimezone(zone).tzname(),
        version=__version__,
        **_first_screen(night),
    )


def _first_screen(night: WholeNight) -> dict[str, Any]:
    """Answer the five questions: how it went, which grids are good, how sure, what next, what went wrong."""
    status, ranking = night.status, [grid.ranked for grid in night.grids]
    summaries = [ranked.grid for ranked in ranking]
    squares = {grid.summary.id: [one.square for one in grid.squares] for grid in night.grids}
    faults = sentences.fault_lines(night.faults, summaries)
    return {
        "headline": sentences.headline(status, ranking),
        "tally": sentences.tally(status, ranking),
        "state": sentences.state(status),
        "good": sentences.good_grids(ranking),
        "next_steps": sentences.what_next(status, ranking, squares),
        "wrong": sentences.went_wrong(faults, summaries),
        "faults": faults,
        "worst_faults": sentences.fault_digest(night.faults, summaries),
    }


def _throughput(night: WholeNight) -> list[tuple[str, str]]:
    hours = sentences.elapsed(night.status).total_seconds() / 3600
    shots = [shot for grid in night.grids for shot in grid.shots if shot.status == "done"]
    said = [("length of the night", sentences.duration(hours * 3600))]
    if shots and hours > 0:
        said.append(("exposures per hour", f"{len(shots) / hours:.1f}"))
    times = [grid.summary.used_s for grid in night.grids if grid.shots and grid.summary.used_s > 0]
    if times:
        said.append(("time per grid exposed", sentences.duration(sum(times) / len(times))))
    doses = [shot.dose_e_per_a2 for shot in shots if shot.dose_e_per_a2 is not None]
    if doses:
        ends = sorted({f"{min(doses):.1f}", f"{max(doses):.1f}"}, key=float)
        said.append(("dose per exposure", f"{' to '.join(ends)} e⁻/Å²"))
    return said


def _yaml(data: Any) -> str:
    stream = StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.representer.sort_base_mapping_type_on_output = False
    writer.dump(data, stream)
    return stream.getvalue()
