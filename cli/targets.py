"""`epicycle targets`: beam-image-shift groups and the way through them, for a person's own holes."""

import csv
import io
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..protocols.errors import BadInput
from .terminal import console

if TYPE_CHECKING:
    from ..targeting.plans import Plan
    from ..targeting.wishes import Offsets, Wishes
    from .target_holes import Holes

STANDARD_OUTPUT = Path("-")

_MOST_ROWS = 60
_GIVEN_BARE = ("--json", "--csv")


class Goal(StrEnum):
    """What the groups shall be best at."""

    RATE = "rate"
    SCORE = "score"


class Standing(StrEnum):
    """Where a group may stand."""

    HOLE = "hole"
    LATTICE = "lattice"
    FREE = "free"


class BareToOutput(typer.core.TyperCommand):
    """A command whose options for a file may stand without one; they then write to the standard output."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``-`` behind such an option where no name follows it."""
        told: list[str] = []
        for place, argument in enumerate(args):
            told.append(argument)
            bare = place + 1 == len(args) or args[place + 1].startswith("--")
            if argument in _GIVEN_BARE and bare:
                told.append(str(STANDARD_OUTPUT))
        return super().parse_args(ctx, told)


HolesFile = Annotated[
    Path, typer.Argument(help="CSV (x_um, y_um, value), JSON of `detect holes`, or an image.", metavar="IMAGE_OR_CSV")
]


def targets(
    path: HolesFile,
    radius: Annotated[float, typer.Option(help="Longest beam-image shift, µm; 0 for each hole alone.")] = 4.0,
    min_group: Annotated[int, typer.Option(help="Groups of fewer holes are not made.")] = 1,
    pattern: Annotated[str, typer.Option(help="all, cross, a block such as 3x3, or offsets: '0,0 1,0 0,1'.")] = "all",
    pattern_in_um: Annotated[bool, typer.Option("--pattern-in-um", help="Offsets are µm, not lattice steps.")] = False,
    tilt: Annotated[float, typer.Option(help="Tilt of the stage, degrees.")] = 0.0,
    tilt_axis: Annotated[float, typer.Option(help="Direction of its axis, degrees from x towards y.")] = 0.0,
    objective: Annotated[Goal, typer.Option(help="Good exposures per hour, or SmartScope's score.")] = Goal.RATE,
    weight: Annotated[float, typer.Option(help="Of a group in the score: 100 x coverage - weight x groups.")] = 2.0,
    coverage: Annotated[float, typer.Option(help="Least share to be covered, whatever the objective says.")] = 1.0,
    centre: Annotated[Standing, typer.Option(help="Where a group may stand.")] = Standing.HOLE,
    bad_centres: Annotated[bool, typer.Option("--bad-centres", help="A hole of value 0 may be a centre.")] = False,
    defocus_spread: Annotated[float | None, typer.Option(help="Largest within a group, µm.")] = None,
    beam_diameter: Annotated[float | None, typer.Option(help="Of the lit disc, µm; no hole is lit twice.")] = None,
    hole_diameter: Annotated[float | None, typer.Option(help="Of the holes, µm; needed with the beam's.")] = None,
    shots: Annotated[int, typer.Option(help="In each hole.")] = 1,
    start: Annotated[str, typer.Option(help="Where the stage is: x,y in µm.")] = "0,0",
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds to search; little is enough for one square.")
    ] = None,
    pixel_size_a: Annotated[float | None, typer.Option(min=0.01, help="Å, where the file does not say.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write groups and route as JSON; - prints.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write a line for each shot; - prints it.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a PNG: circles, shifts, route.")] = None,
) -> None:
    """Group holes for beam-image shift and order the groups: from a table, from detections, or from an image."""
    from ..targeting.routes import route_time_s, shortest_route
    from ..targeting.tilt import Tilt
    from ..targeting.travel import TravelTimes
    from ..targeting.wishes import Wishes
    from .target_holes import read_holes

    _check_outputs(path, json_file, csv_file, plot)
    wishes = Wishes(
        radius_um=radius,
        minimum_size=min_group,
        objective=objective.value,
        weight=weight,
        least_coverage=coverage,
        centre=centre.value,
        bad_centres=bad_centres,
        pattern=_pattern(pattern),
        pattern_unit="um" if pattern_in_um else "lattice",
        tilt=Tilt(tilt, tilt_axis),
        defocus_spread_um=defocus_spread,
        beam=_beam(beam_diameter, hole_diameter),
        shots=shots,
        time_limit_s=time_limit,
    )
    here = _place(start)
    holes = read_holes(path, pixel_size_a)
    plan = _planned(holes, wishes)
    centres = [(group.x_um, group.y_um) for group in plan.groups]
    travel = TravelTimes()
    route = shortest_route(centres, here, travel=travel)
    if STANDARD_OUTPUT not in (json_file, csv_file):
        _show(plan, route, route_time_s(centres, route, here, travel))
    _write(json_file, json.dumps(_body(plan, route), indent=1) + "\n")
    _write(csv_file, _lines(plan, route, holes, wishes))
    if plot is not None:
        from ..targeting.drawing import draw_plan

        draw_plan(plan, route, holes.positions_um, wishes, here, plot, y_down=holes.y_down)


def _planned(holes: "Holes", wishes: "Wishes") -> "Plan":
    """Plan, the holes of each group in the order of short image shifts."""
    from dataclasses import replace

    from ..targeting.plans import plan_groups
    from ..targeting.routes import shooting_order

    plan = plan_groups(holes.positions_um, wishes, values=holes.values, heights_um=holes.heights_um)
    groups = []
    for group in plan.groups:
        order = shooting_order(plan.shifts_um[list(group.members)])
        groups.append(replace(group, members=tuple(group.members[place] for place in order)))
    return replace(plan, groups=tuple(groups))


def _check_outputs(path: Path, *outputs: Path | None) -> None:
    given = [one for one in outputs if one is not None and one != STANDARD_OUTPUT]
    for one in given:
        if path.exists() and one.exists() and path.samefile(one):
            raise BadInput(f"{one} is what is to be read; name another file to write.")
    if len(set(given)) < len(given) or outputs[:2] == (STANDARD_OUTPUT, STANDARD_OUTPUT):
        raise BadInput("Two things cannot be written to one place; name a file for each.")


def _pattern(told: str) -> "Offsets | None":
    """Understand a pattern: its name, or offsets as pairs."""
    from ..targeting.wishes import pattern_named

    if "," not in told:
        return pattern_named(told)
    return tuple(_place(pair) for pair in told.replace(";", " ").split())


def _place(told: str) -> tuple[float, float]:
    try:
        x, y = map(float, told.split(","))
    except ValueError:
        raise BadInput(f"{told!r} is no pair; give two numbers with a comma between, such as 1.5,-2.") from None
    return x, y


def _beam(beam_um: float | None, hole_um: float | None) -> Any:
    from ..targeting.wishes import Beam

    if beam_um is None and hole_um is None:
        return None
    if beam_um is None or hole_um is None:
        raise BadInput("The beam and the holes go together; give --beam-diameter and --hole-diameter.")
    return Beam(beam_um / 2, hole_um / 2)


def _body(plan: "Plan", route: tuple[int, ...]) -> dict[str, Any]:
    return {
        "groups": [{"x_um": g.x_um, "y_um": g.y_um, "holes": list(g.members)} for g in plan.groups],
        "route": list(route),
        "coverage": plan.coverage,
        "lower_bound": plan.lower_bound,
        "stage_moves": len(route),
    }


def _lines(plan: "Plan", route: tuple[int, ...], holes: "Holes", wishes: "Wishes") -> str:
    """Give a line for each shot in the order of exposure, then one for each hole that is left out."""
    from ..targeting.tilt import seen

    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    names = "hole x_um y_um value group stage_x_um stage_y_um shift_x_um shift_y_um defocus_um aim_x_um aim_y_um"
    table.writerow([*names.split(), "left_out"])
    for number in route:
        group = plan.groups[number]
        for hole in group.members:
            x_um, y_um = holes.positions_um[hole]
            within = seen(plan.aims_um[hole] - (x_um, y_um), wishes.tilt)
            for aim, shift in zip(plan.aims_um[hole], plan.shifts_um[hole] + within, strict=True):
                numbers = (group.x_um, group.y_um, *shift, plan.defocus_um[hole], *aim)
                table.writerow([*_hole(hole, holes), number, *(f"{value:.4f}" for value in numbers), ""])
    for hole, why in plan.left_out.items():
        table.writerow([*_hole(hole, holes), *[""] * 8, why])
    return out.getvalue()


def _hole(hole: int, holes: "Holes") -> tuple[int, str, str, str]:
    x_um, y_um = holes.positions_um[hole]
    return hole, f"{x_um:.4f}", f"{y_um:.4f}", f"{holes.values[hole]:g}"


def _write(path: Path | None, text: str) -> None:
    if path == STANDARD_OUTPUT:
        typer.echo(text, nl=False)
    elif path is not None:
        path.write_text(text, encoding="utf-8")


def _show(plan: "Plan", route: tuple[int, ...], seconds: float) -> None:
    if not len(plan.shifts_um):
        console.print("The file names no holes, so there is nothing to group.")
        return
    if route:
        table = Table("visit", "group", "x µm", "y µm", "holes", "longest shift µm")
        for visit, number in enumerate(route[:_MOST_ROWS], start=1):
            group = plan.groups[number]
            longest = max(float((plan.shifts_um[hole] ** 2).sum()) ** 0.5 for hole in group.members)
            cells = (str(visit), str(number), f"{group.x_um:.2f}", f"{group.y_um:.2f}", str(len(group.members)))
            table.add_row(*cells, f"{longest:.2f}")
        console.print(table)
        if len(route) > _MOST_ROWS:
            console.print(f"and {len(route) - _MOST_ROWS} more groups; --json, --csv and --plot have all of them")
    grouped = sum(len(group.members) for group in plan.groups)
    proven = "proven the fewest" if plan.exact else f"never fewer than {plan.lower_bound}"
    proven += " for these holes" if plan.left_out else ""
    console.print(f"{len(plan.groups)} groups ({proven}) of {grouped} holes: {100 * plan.coverage:.1f} % coverage")
    console.print(
        f"{len(route)} stage moves, {seconds:.0f} s of moving; about {plan.good_per_hour:.1f} good exposures/h"
    )
    reasons: dict[str, int] = {}
    for why in plan.left_out.values():
        reasons[why] = reasons.get(why, 0) + 1
    for why, count in reasons.items():
        console.print(f"{count} left out: {why}", markup=False, highlight=False)
