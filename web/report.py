"""The morning report: one HTML file that opens from a memory stick and answers, first of all, what to do next.

Everything is inside the file: pictures as data URIs, charts as SVG, one style sheet, no script. Names and texts are
escaped by the template engine; nothing here builds markup.
"""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from io import StringIO
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from ruamel.yaml import YAML
from sqlalchemy import Engine

from .. import __version__
from ..db.connection import open_reader
from ..files.atomic import write_bytes
from . import plots, sentences
from .night import NightView, whole_night
from .ranking import CARE_ABOVE, COLLECT_ABOVE, Standing, Verdict, rank
from .sections import Darkroom, decision_section, grid_section, sides_of

SYMBOLS = {Verdict.COLLECT: "●", Verdict.CARE: "◐", Verdict.REMAKE: "✕", Verdict.NO_DATA: "○"}
"""The second cue of a verdict, beside its colour."""


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
    standings = rank(night.grids)
    darkroom = Darkroom(folder, sides_of(night))
    sections = [grid_section(night, standing, darkroom) for standing in standings]
    return (
        _environment(zone)
        .get_template("report.html.j2")
        .render(
            night=night,
            standings=standings,
            sections=sections,
            headline=sentences.headline(night, standings),
            tally=sentences.tally(night, standings),
            state=sentences.state(night),
            good=sentences.good_grids(standings),
            next_steps=sentences.what_next(night, standings),
            wrong=sentences.went_wrong(night),
            faults=sentences.fault_lines(night),
            by_grid=plots.resolution_by_grid(standings),
            night_decisions=[
                decision_section(night, d) for d in night.decisions if d.of_kind not in ("grid", "square")
            ],
            timeline=plots.timeline(night, zone),
            throughput=_throughput(night, standings),
            protocol=_yaml(night.protocol),
            zone=night.started_at.astimezone(zone).tzname(),
            version=__version__,
        )
    )


def _throughput(night: NightView, standings: Sequence[Standing]) -> list[tuple[str, str]]:
    hours = sentences.elapsed(night).total_seconds() / 3600
    shots = [shot for standing in standings for shot in standing.grid.exposures if shot.status == "done"]
    said = [("length of the night", sentences.duration(hours * 3600))]
    if shots and hours > 0:
        said.append(("exposures per hour", f"{len(shots) / hours:.1f}"))
    times = [standing.grid.used_s for standing in standings if standing.shots and standing.grid.used_s > 0]
    if times:
        said.append(("time per grid", sentences.duration(sum(times) / len(times))))
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


def _environment(zone: tzinfo | None) -> Environment:
    def clock(when: datetime) -> str:
        return f"{when.astimezone(zone):%H:%M}"

    def day(when: datetime) -> str:
        local = when.astimezone(zone)
        return f"{local.day} {local:%B %Y}"

    environment = Environment(
        loader=PackageLoader("epicycle.web", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clock=clock,
        day=day,
        duration=sentences.duration,
        percent=sentences.percent,
        words=lambda name: sentences.CATEGORIES.get(name, str(name).replace("_", " ")),
    )
    environment.globals.update(
        why=sentences.why,
        next_step=sentences.next_step,
        count=sentences.count,
        grid_title=sentences.title,
        listed=sentences.listed,
        Verdict=Verdict,
        symbols=SYMBOLS,
        time_kinds=plots.KINDS,
        edges=(CARE_ABOVE, COLLECT_ABOVE),
    )
    return environment
