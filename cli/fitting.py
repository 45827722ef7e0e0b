"""From observations to error models: conditions are cut into cells, and each keeps how answers came out in it."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr, logsumexp, ndtri
from scipy.stats import rankdata

from .. import __version__
from ..files import atomic
from ..hardware.simulator.grid.cassette_world import FREQUENCY
from ..hardware.simulator.pixel_free.conditions import path_of
from ..hardware.simulator.pixel_free.error_models import (
    ANY,
    GROUPS,
    MEANING,
    PARTICULAR,
    TABLES,
    Cell,
    ErrorModels,
    Provenance,
    Table,
)
from ..protocols.errors import BadInput
from .seeing import GridToSee, Observations

Floats = NDArray[np.float64]
Case = tuple[str, str, float, "list[float] | None"]
"""Picture, class as a path, covariate, and the answer or None."""

MOST_ROWS = 40
"""Answers kept of one cell, at equal steps of its leading column."""

CELL_CASES, MOST_CELLS = 12, 10
"""Fewest cases of a cell, and about the most cells of a class."""

FINE_CASES, MOST_FINE = 4, 60
"""The same for the openings of one grid: which a finder likes best hangs on how they stand more than on chance."""

KIND = 3
"""Levels from one grid to all of its kind: between are those of its film and of its mesh, which have no cells."""

TRUSTED = "trusted"
"""Column that says whether an answer is one to act on."""

CERTAIN_CHANGE = 12.0
"""Chi-square of two shares, the best of many cuts, from which they are held to differ: once in a hundred by chance."""

PLACE = "#"
"""Before the number of a place that is one of several of a picture, tried one after the other."""

PARTICULAR_CASES = 12
"""Fewest cases of a class that has a more general one to stand for it."""

OF_WHOLE_GRIDS = "opening"
"""Table whose answers are kept grid by grid."""

RANKED_CASES = 12
"""Fewer answers say nothing of how answers of one group go together."""

SURE_SHARE, MOST_TOGETHER, NODES = 0.005, 0.95, 40
"""Shares so near to none or all say nothing of what goes together; the most that is believed; points of an integral."""

DIGITS = 5

ABOUT: Mapping[str, str] = {
    "opening": "Squares found on an atlas, by class, evenness, kind of grid, mesh, film; covariate: standing, 0 to 2.",
    "cut opening": "Squares that the atlas's border cuts, by class; covariate: share of the square in the picture.",
    "centre": "Middle of the opening in a view of a square, by its film; covariate: µm from the view's middle.",
    "square lattice": "Hole lattice on a view of a square, by film, square, what holes hold; covariate: its ice in nm.",
    "hole lattice": "Hole lattice on a view of holes, by film, middle site, what holes hold; covariate: square's ice.",
    "square site": "Site in a view of a square: class, if filled, ice, lattice; covariate: its standing beside others.",
    "hole site": "Site in a view of holes: class, if filled, ice, lattice; covariate: its standing beside others.",
    "picture offset": "View of holes found in the picture of its square, by film and middle site; covariate as there.",
    "reload": "Registration of a grid that was loaded again, by kind of grid; covariate: none.",
    "height": "Eucentric height by tilting, by what lies there; covariate: ice there in nm.",
    "autofocus": "Defocus after an autofocus, less the tilt scale's part, by field, steps, lattice; covariate: ice nm.",
    "verdict": "Verdict on an exposure, by what it looks at, what blurs it, drift; covariate: Å to be reached, or ice.",
}

FILMS: Sequence[tuple[str, str, str]] = (
    ("R1.2/1.3", "300", "Carbon"),
    ("UltrAuFoil R1.2/1.3", "300", "Gold"),
    ("R2/1", "200", "Carbon"),
    ("R1.2/1.3", "300", "Carbon"),
    ("R2/2", "300", "Carbon"),
    ("R1.2/1.3", "400", "Carbon"),
)
"""Hole type, mesh and material of the grids looked at, in turn."""

WITHOUT_LATTICE: Sequence[tuple[str, str, str]] = (("Lacey", "300", "Carbon"), ("NegativeStain", "300", "Carbon"))
EACH_SO_MANY = 6
"""Of films without a lattice, one grid is looked at besides for each so many others."""

AGAIN_EACH = 40
"""For each so many grids, every kind shall be seen once on every material."""


def grids_to_see(seed: int, count: int, kinds: Sequence[str]) -> list[GridToSee]:
    """Name grids of every kind on every film in turn, then some besides; each has its own seed.

    Besides are films without a lattice, and kinds on a material on which their turn has not brought them: how openings
    look beside each other hangs on both. The last half as many are of kinds as often as cassettes hold them, and
    exposed only: one fit in many is far better than the rest, and what nights count hangs on how often.
    """
    films = [FILMS[(n + n // len(FILMS)) % len(FILMS)] for n in range(count)]
    plan = [(kinds[n % len(kinds)], *film) for n, film in enumerate(films)]
    others = count // EACH_SO_MANY
    plan += [(kinds[n % len(kinds)], *WITHOUT_LATTICE[n % len(WITHOUT_LATTICE)]) for n in range(others)]
    plan += _seldom(plan[:count], count // AGAIN_EACH, kinds)
    whole = [GridToSee(seed + n, *what) for n, what in enumerate(plan)]
    after = seed + len(whole)
    exposed = (
        GridToSee(after + n, kind, *FILMS[n % len(FILMS)], "exposures") for n, kind in enumerate(_met(count // 2))
    )
    return [*whole, *exposed]


def _met(count: int) -> list[str]:
    """Name so many kinds in turn, each as often as a cassette holds it."""
    found: list[str] = []
    for n in range(1, count + 1):
        owed = {kind: share * n - found.count(kind) for kind, share in FREQUENCY.items()}
        found.append(max(owed, key=owed.__getitem__))
    return found


def _seldom(
    plan: Sequence[tuple[str, str, str, str]], least: int, kinds: Sequence[str]
) -> list[tuple[str, str, str, str]]:
    """Give what is missing for every kind to be seen so often on every material."""
    first_on = {film[2]: film for film in reversed(FILMS)}
    seen = Counter((kind, material) for kind, _, _, material in plan)
    return [
        (kind, *film)
        for material, film in sorted(first_on.items())
        for kind in kinds
        for _ in range(least - seen[kind, material])
    ]


def keep(folder: Path, grid: GridToSee, seen: Observations, profile: str) -> None:
    """Keep the observations of one grid, so that a fit that was cut off goes on where it was."""
    folder.mkdir(parents=True, exist_ok=True)
    body = {
        "profile": profile, "version": __version__, "meaning": MEANING, "seed": grid.seed,
        "pictures": seen.pictures, "false": seen.false, "rows": seen.rows,
    }  # fmt: skip
    atomic.write_bytes(folder / f"{grid.name}.json", json.dumps(body).encode())


def kept(folder: Path, grid: GridToSee, profile: str) -> dict[str, Any] | None:
    """Read them back; None where there are none.

    Raises
    ------
    BadInput
        They are of another profile or version.
    """
    path = folder / f"{grid.name}.json"
    if not path.exists():
        return None
    body: dict[str, Any] = json.loads(path.read_bytes())
    if (body["profile"], body["version"]) != (profile, __version__):
        raise BadInput(
            f"{path} is of profile {body['profile']} and version {body['version']}; give another folder with --work"
        )
    if body.get("meaning") != MEANING:
        raise BadInput(f"{path} holds what is no longer asked of pictures; give another folder with --work")
    return body


def fitted(parts: Iterable[Mapping[str, Any]], command: str, profile: str) -> ErrorModels:
    """Fit all tables to the observations of many grids.

    Raises
    ------
    BadInput
        Too little was seen for a table to be fitted.
    """
    cases: dict[str, list[Case]] = {}
    pictures: dict[str, int] = {}
    seeds = []
    for part in parts:
        seeds.append(int(part["seed"]))
        for level, count in part["pictures"].items():
            pictures[level] = pictures.get(level, 0) + count
        for name, rows in part["rows"].items():
            own = str(part["seed"]) if name == OF_WHOLE_GRIDS else ""
            cases.setdefault(name, []).extend(
                (f"{part['seed']} {row[0]}", path_of(row[1], own), row[2], row[3]) for row in rows
            )
    tables = {}
    for name, columns in TABLES.items():
        if not any(case[3] is not None for case in cases.get(name, [])):
            raise BadInput(f"nothing was seen from which the table {name!r} could be fitted; look at more grids")
        tables[name] = _table(name, columns, cases[name])
    made = Provenance(
        meaning=MEANING, command=command, seeds=tuple(seeds), version=__version__, profile=profile, pictures=pictures
    )
    return ErrorModels(fitted=made, tables=tables)


def _table(name: str, columns: tuple[str, ...], cases: Sequence[Case]) -> Table:
    classes: dict[str, list[Case]] = {}
    # Further places were tried because the first had shown nothing; they say what goes together, not how often.
    first = [case for case in cases if case[0].partition(PLACE)[2] in ("", "0")]
    for case in first:
        path = case[1]
        while path:
            classes.setdefault(path, []).append(case)
            path = path.rpartition(PARTICULAR)[0]
    # What is particular needs cases enough of its own, or the general stands for it. Of openings it never does where
    # there are any on that grid, or on grids of its kind: empty ones are taken for good squares on some kinds only.
    own = {case[1] for case in cases} if name == OF_WHOLE_GRIDS else set()
    alone = {of for path in own for of in (path, _above(path, KIND))}
    needless = {_above(path, levels) for path in own for levels in range(1, KIND)}
    wanted = (of for of in classes if of not in needless and (of in alone or len(classes[of]) >= _fewest(of)))
    classes = {of: classes[of] for of in wanted}
    sizes = dict.fromkeys(own, (FINE_CASES, MOST_FINE))
    trusted = columns.index(TRUSTED) if TRUSTED in columns else None
    cells = [cell for of in sorted(classes) for cell in _cells(of, classes[of], trusted, *sizes.get(of, ()))]
    cells += _cells(ANY, first, trusted)
    table = Table(about=ABOUT[name], columns=columns, alike=0.0, cells=tuple(cells))
    grouped = [(_group(name, case[0]), case) for case in cases]
    together = together_share(table, grouped)
    again = together_share(table, [(case[0], case) for case in cases]) if name == "autofocus" else together
    update = {"alike": _alike(table, grouped), "together": together, "again": max(again, together)}
    return table.model_copy(update={**update, "grids": _grids(own)})


def _fewest(of: str) -> int:
    return PARTICULAR_CASES if PARTICULAR in of else 1


def _grids(of_one_grid: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Name the grids of each class, from the general to the particular; among films with holes only such stand in."""
    without = {hole_type for hole_type, _, _ in WITHOUT_LATTICE}
    found: dict[str, set[str]] = {}
    for path in of_one_grid:
        *_, kind, mesh, film, name = path.split(PARTICULAR)
        whole = path_of(kind, mesh, film, name)
        particular = path_of(kind, mesh, film)
        found.setdefault(particular, set()).add(whole)
        if film not in without:
            found.setdefault(path_of(kind, mesh), set()).add(whole)
            found.setdefault(kind, set()).add(whole)
    return {kind: tuple(sorted(names)) for kind, names in sorted(found.items())}


def _above(path: str, levels: int) -> str:
    """Give the class so many levels above one."""
    return path.rsplit(PARTICULAR, levels)[0]


def _group(name: str, picture: str) -> str:
    """Give the group that a picture's answers may go together in."""
    if GROUPS[name] == "grid":
        return picture.partition(" ")[0]
    if GROUPS[name] == "square":
        found = re.match(r".*?-s\d+", picture)
        return found.group() if found else picture
    return picture


def _cells(
    of: str, cases: Sequence[Case], trusted: int | None, least: int = CELL_CASES, most: int = MOST_CELLS
) -> list[Cell]:
    """Cut one class along the covariate: where shares change, and into equal parts between.

    These are the shares of cases with an answer and, where a column says whether answers are ``trusted``, with one
    that is: answers lose their worth before they cease.
    """
    found = []
    for below, mine, stretch in _cut(cases, trusted, least, most):
        share = len(_answers(stretch)) / len(stretch)
        answers = _answers(mine) or _answers(stretch)
        rows = np.array(sorted(answers, key=lambda answer: answer[0]), np.float64)
        if len(rows) > MOST_ROWS:
            rows = rows[((np.arange(MOST_ROWS) + 0.5) * len(rows) / MOST_ROWS).astype(int)]
        short = tuple(tuple(float(f"{value:.{DIGITS}g}") for value in row) for row in rows.tolist())
        found.append(Cell(of=of, below=below, cases=len(mine), answered=round(share, 4), rows=short))
    return found


def _answers(cases: Sequence[Case]) -> list[list[float]]:
    return [case[3] for case in cases if case[3] is not None]


Part = tuple["float | None", Sequence[Case], Sequence[Case]]
"""Upper end of a cell, its cases, and those of the stretch of equal share that it belongs to."""


def _cut(cases: Sequence[Case], trusted: int | None, least: int, most: int) -> list[Part]:
    ordered = sorted(cases, key=lambda case: case[2])
    values = np.array([case[2] for case in ordered])
    places = [0, *_turns(values, np.array([case[3] is not None for case in ordered])), len(ordered)]
    if trusted is not None:
        sure = np.array([case[3] is not None and case[3][trusted] > 0 for case in ordered])
        inner = ([low + turn for turn in _turns(values[low:high], sure[low:high])] for low, high in pairwise(places))
        places = sorted({*places, *chain.from_iterable(inner)})
    parts: list[Part] = []
    for first, last in pairwise(places):
        stretch = ordered[first:last]
        count = min(max(len(stretch) // least, 1), math.ceil(most * len(stretch) / len(ordered)))
        own = values[first:last].tolist()
        edges = sorted({own[len(own) * n // count] for n in range(1, count)} - {own[0]})
        within = [0, *(int(np.searchsorted(own, edge, side="left")) for edge in edges), len(stretch)]
        below = [*edges, None if last == len(ordered) else ordered[last][2]]
        parts += [(edge, stretch[low:high], stretch) for edge, (low, high) in zip(below, pairwise(within), strict=True)]
    return parts


def _turns(values: Floats, said: NDArray[np.bool_]) -> list[int]:
    """Give the places, in order of the covariate ``values``, at which the share of ``said`` changes for certain.

    The best of all cuts into two, then those of both parts, as a regression tree is grown (Breiman et al. 1984,
    section 8.4): what works up to some thickness and not beyond it would be smeared by cells of equal numbers.
    """
    count = len(values)
    if count < 2 * CELL_CASES:
        return []
    answered = np.cumsum(said, dtype=np.float64)
    share = answered[-1] / count
    if share in (0.0, 1.0):
        return []
    before = np.arange(CELL_CASES, count - CELL_CASES + 1)
    off = answered[before - 1] - share * before
    gain = off**2 * count / (before * (count - before)) / (share * (1 - share))
    gain[values[before] == values[before - 1]] = 0.0
    if gain.max() < CERTAIN_CHANGE:
        return []
    place = int(before[gain.argmax()])
    after = (place + more for more in _turns(values[place:], said[place:]))
    return [*_turns(values[:place], said[:place]), place, *after]


def _alike(table: Table, grouped: Sequence[tuple[str, Case]]) -> float:
    """Estimate how much answers of one group go together: the share of variance between groups, of ranks in cells."""
    cells: dict[tuple[str, int], list[tuple[str, float]]] = {}
    for group, (_, of, covariate, answer) in grouped:
        if answer is not None:
            cells.setdefault(table.cell_of(of, covariate), []).append((group, answer[0]))
    scores: list[float] = []
    groups: list[str] = []
    for part in cells.values():
        if len(part) < RANKED_CASES:
            continue
        rank = rankdata([value for _, value in part])
        scores += ndtri((rank - 0.5) / len(part)).tolist()
        groups += [group for group, _ in part]
    if not scores:
        return 0.0
    return _between_share(np.array(scores), np.array(groups))


def together_share(table: Table, grouped: Sequence[tuple[str, Case]]) -> float:
    """Estimate the correlation, within a group, of the normal scores that decide whether there is an answer.

    By maximum likelihood, which does not mind that places are tried only where others have shown nothing.
    """
    shares = np.array([table.share(case[1], case[2]) for _, case in grouped])
    missing = np.array([case[3] is None for _, case in grouped])
    _, own = np.unique([group for group, _ in grouped], return_inverse=True)
    sure = (shares <= SURE_SHARE) | (shares >= 1 - SURE_SHARE)
    if (~sure).sum() < RANKED_CASES:
        return 0.0
    own, missing, score = own[~sure], missing[~sure], ndtri(shares[~sure])
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)

    def unlikely(correlation: float) -> float:
        spread = math.sqrt(1 - correlation)
        chances = []
        for node in nodes:
            away = (math.sqrt(correlation) * node - score) / spread
            chances.append(np.bincount(own, log_ndtr(np.where(missing, away, -away))))
        return -float(logsumexp(np.array(chances) + np.log(weights)[:, None], axis=0).sum())

    best = minimize_scalar(unlikely, bounds=(0.0, MOST_TOGETHER), method="bounded", options={"xatol": 1e-3})
    return round(float(best.x), 3) if best.fun < unlikely(0.0) else 0.0


def _between_share(scores: Floats, pictures: NDArray[np.str_]) -> float:
    """Share of the variance that lies between groups, by one-way analysis of variance; 0 to 1."""
    _, own, sizes = np.unique(pictures, return_inverse=True, return_counts=True)
    groups, total = len(sizes), len(scores)
    if groups < 2 or total <= groups or float(np.ptp(scores)) == 0.0:
        return 0.0
    means = np.bincount(own, scores) / sizes
    within = float(((scores - means[own]) ** 2).sum()) / (total - groups)
    between = float((sizes * (means - scores.mean()) ** 2).sum()) / (groups - 1)
    size = (total - float((sizes**2).sum()) / total) / (groups - 1)
    share = (between - within) / (between + (size - 1) * within)
    return round(float(np.clip(share, 0.0, 1.0)), 3)
