"""A picture of a plan: holes, the reach of each group, shift vectors, and the way of the stage.

Kinds are told by colour and by shape together, in the palette of Okabe and Ito, so that no eye is left out.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from .plans import Plan
from .points import Points
from .wishes import Wishes

_HOLE, _LEFT_OUT, _REACH, _SHIFT, _ROUTE = "#009E73", "#777777", "#56B4E9", "#0072B2", "#D55E00"
_SIDE_IN = 8.0
_DPI = 110
_NUMBERED = 120
_MARGIN_UM = 1.0


def draw_plan(
    plan: Plan,
    route: tuple[int, ...],
    positions_um: Points,
    wishes: Wishes,
    start_um: tuple[float, float],
    path: Path,
    *,
    y_down: bool = False,
) -> None:
    """Write a PNG of a plan.

    Parameters
    ----------
    route
        Group numbers in the order of visits.
    positions_um
        All holes of the plan's input, (n, 2).
    start_um
        Where the way begins.
    y_down
        Whether y goes down, as in an image.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    figure = Figure(figsize=(_SIDE_IN, _SIDE_IN), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_aspect("equal", adjustable="datalim")
    size = _marker_size(positions_um)
    _holes(axes, plan, positions_um, size)
    _reaches(axes, plan, wishes)
    _shifts(axes, plan, positions_um)
    _way(axes, plan, route, start_um, size)
    axes.autoscale_view()
    if y_down:
        axes.invert_yaxis()
    axes.set_xlabel("x (µm)")
    axes.set_ylabel("y (µm)")
    tilted = f", tilt {wishes.tilt.alpha_deg:g}°" if wishes.tilt.alpha_deg else ""
    axes.set_title(
        f"{len(plan.groups)} groups within {wishes.reach_um():g} µm{tilted}; {100 * plan.coverage:.0f} % covered"
    )
    figure.legend(loc="outside lower center", fontsize=8, ncols=5, frameon=False)
    figure.savefig(path, format="png")


def _marker_size(positions: Points) -> float:
    """Give an area of markers, points², at which neighbours do not touch."""
    if len(positions) < 2:
        return 60.0
    spread = max(float(np.ptp(positions, axis=0).max()), _MARGIN_UM)
    pitch_points = _SIDE_IN * 72 / max(np.sqrt(len(positions)), spread / _SIDE_IN * 0.1)
    return float(np.clip((0.35 * pitch_points) ** 2, 1.5, 90.0))


def _holes(axes: Axes, plan: Plan, positions: Points, size: float) -> None:
    grouped = np.isfinite(plan.defocus_um)
    taken, left = positions[grouped], positions[~grouped]
    axes.scatter(
        taken[:, 0], taken[:, 1], s=size, color=_HOLE, alpha=0.75, linewidths=0, label="hole in a group", zorder=2
    )
    if len(left):
        axes.scatter(
            left[:, 0], left[:, 1], s=size, color=_LEFT_OUT, marker="x", linewidths=0.9, label="left out", zorder=2
        )


def _reaches(axes: Axes, plan: Plan, wishes: Wishes) -> None:
    """Draw what each group reaches: a circle, on a tilted specimen an ellipse, longer across the axis."""
    across = 2 * wishes.reach_um() / np.cos(np.deg2rad(wishes.tilt.alpha_deg))
    for number, group in enumerate(plan.groups):
        reach = Ellipse(
            (group.x_um, group.y_um),
            width=2 * wishes.reach_um(),
            height=across,
            angle=wishes.tilt.axis_deg,
            fill=False,
            edgecolor=_REACH,
            linewidth=0.8,
            label="reach of a group" if number == 0 else None,
            zorder=1,
        )
        axes.add_patch(reach)


def _shifts(axes: Axes, plan: Plan, positions: Points) -> None:
    lines = [[(group.x_um, group.y_um), tuple(positions[member])] for group in plan.groups for member in group.members]
    if lines:
        axes.add_collection(
            LineCollection(lines, colors=_SHIFT, linewidths=1.1, label="image shift", zorder=3), autolim=False
        )


def _way(axes: Axes, plan: Plan, route: tuple[int, ...], start: tuple[float, float], size: float) -> None:
    if not route:
        return
    stops = np.array([(plan.groups[number].x_um, plan.groups[number].y_um) for number in route])
    way = np.vstack([start, stops])
    axes.plot(*way.T, color=_ROUTE, linewidth=1.2, linestyle="--", label="way of the stage", zorder=4)
    axes.scatter(stops[:, 0], stops[:, 1], s=0.7 * size, marker="s", color=_ROUTE, linewidths=0, zorder=5)
    axes.scatter(*start, s=50, marker="*", color="black", label="start", zorder=6)
    if len(route) <= _NUMBERED:
        for visit, (x_um, y_um) in enumerate(stops, start=1):
            axes.annotate(
                str(visit), (x_um, y_um), xytext=(3, 3), textcoords="offset points", fontsize=7, color="black", zorder=7
            )
