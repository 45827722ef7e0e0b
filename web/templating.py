"""The template engine of the pages: everything is escaped, and nothing is missing without a word."""

from datetime import datetime, tzinfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from .. import __version__
from ..db.ranking import CARE_ABOVE, COLLECT_ABOVE
from ..db.views import Verdict
from . import palette, plots, sentences
from .night import WholeNight
from .quality_map import shares


def environment(zone: tzinfo | None) -> Environment:
    """Make the engine with the filters and words of all pages; times are shown in a zone."""

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
        reason=sentences.reason,
        signed=lambda value: f"{value:.2f}".replace("-", "−"),
        words=lambda name: sentences.CATEGORIES.get(name, str(name).replace("_", " ")),
    )
    environment.globals.update(
        count=sentences.count,
        grid_title=sentences.title,
        listed=sentences.listed,
        Verdict=Verdict,
        symbols=sentences.SYMBOLS,
        time_kinds=plots.KINDS,
        shares=shares(),
        worst_fit_a=plots.WORST_SHOWN_A,
        fifths=[f"{step / 5:.1f} to {(step + 1) / 5:.1f}" for step in range(5)],
        scale=palette.SCALE,
        strokes_of_results=palette.RESULTS,
        strokes_of_squares=palette.SQUARES,
        strokes_of_holes=palette.HOLES,
        colours_of_marks=palette.MARKS,
        edges=(CARE_ABOVE, COLLECT_ABOVE),
        headline=_headline,
        tally=_tally,
        version=__version__,
    )
    return environment


def _headline(night: WholeNight) -> str:
    return sentences.headline(night.status, [grid.ranked for grid in night.grids])


def _tally(night: WholeNight) -> str:
    return sentences.tally(night.status, [grid.ranked for grid in night.grids])
