"""The simulated microscope for people: single pictures, cassettes, labelled sets of images, a page of all it shows."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperCommand

from ..protocols.errors import BadInput
from .steering import pair
from .terminal import console, errors

if TYPE_CHECKING:
    from ..hardware.simulator.evaluation.sitting import Portrait

simulate_app = typer.Typer(help="Pictures, cassettes and training sets from the simulator.", no_args_is_help=True)

BESIDE = "beside"
"""Stands for the name of a plot nobody named: as the image's, with another ending."""


class PlotBesideCommand(TyperCommand):
    """A command whose ``--plot`` may stand without a name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a bare ``--plot`` its value."""
        full = list(args)
        for place, word in enumerate(args):
            bare = place + 1 == len(args) or args[place + 1].startswith("-")
            if word == "--plot" and bare:
                full.insert(full.index("--plot") + 1, BESIDE)
        return super().parse_args(ctx, full)


Profile = Annotated[str, typer.Option(help="Instrument: a shipped profile's name or a YAML file.", metavar="NAME")]
Films = Annotated[list[str] | None, typer.Option(help="Support films to draw from.", metavar="NAME")]
Meshes = Annotated[list[str] | None, typer.Option(help="Meshes to draw from.", metavar="NAME")]
Materials = Annotated[list[str] | None, typer.Option(help="Materials to draw from.", metavar="NAME")]
Kinds = Annotated[list[str] | None, typer.Option(help="Kinds of grids to draw from.", metavar="NAME")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the world and of everything the instrument draws.")]


@simulate_app.command(cls=PlotBesideCommand)
def image(
    level: Annotated[str, typer.Option(help="atlas, square, hole or exposure")],
    out: Annotated[Path, typer.Option("--out", "-o", help="MRC file to write.", metavar="FILE.mrc")],
    profile: Profile = "demo-2k",
    grid_type: Annotated[str, typer.Option(help="Support film, e.g. R1.2/1.3.", metavar="NAME")] = "",
    mesh: Annotated[str, typer.Option(help="Mesh, e.g. 300.", metavar="NAME")] = "",
    material: Annotated[str, typer.Option(help="Carbon or Gold.", metavar="NAME")] = "",
    kind: Annotated[
        str, typer.Option(help="How the grid turned out, e.g. good or thick-ice.", metavar="NAME")
    ] = "good",
    square: Annotated[str | None, typer.Option(help="Class of the square, e.g. torn.", metavar="CLASS")] = None,
    on: Annotated[str, typer.Option(help="Hole and exposure level: hole, film, edge, or a defect.")] = "hole",
    place: Annotated[
        tuple[float, float] | None, typer.Option(help="Where to look, µm from the grid's centre.", metavar="X Y")
    ] = None,
    seed: Seed = 1,
    defocus_um: Annotated[
        float | None, typer.Option("--defocus", help="Defocus in µm, underfocus negative.", metavar="UM")
    ] = None,
    ice_nm: Annotated[
        float | None, typer.Option("--ice", min=0, help="Median thickness of the grid's ice in nm.", metavar="NM")
    ] = None,
    tilt_deg: Annotated[float, typer.Option("--tilt", help="Tilt of the stage in degrees.", metavar="DEG")] = 0.0,
    drift: Annotated[float, typer.Option(help="Drift as the picture begins, Å/s.", metavar="A")] = 0.0,
    fault: Annotated[
        list[str] | None, typer.Option(help="A fault that has just struck, e.g. vibration.", metavar="NAME")
    ] = None,
    exposed: Annotated[bool, typer.Option("--exposed", help="The place in the middle was exposed before.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Another number: of the profile, or of the grid as grid.NAME.", metavar="NAME=VALUE"
        ),
    ] = None,
    dose: Annotated[float | None, typer.Option(min=0, help="Dose in e⁻/Å².", metavar="E")] = None,
    pixel_size_a: Annotated[float | None, typer.Option(min=0, help="Pixel size in Å.", metavar="A")] = None,
    size_px: Annotated[int | None, typer.Option(min=16, help="Rows and columns of the image.", metavar="PX")] = None,
    particle_a: Annotated[float | None, typer.Option(min=1, help="Diameter of the particles in Å.")] = None,
    density_map: Annotated[
        Path | None, typer.Option(help="The particle's density, an MRC map with its pixel size.", metavar="FILE.mrc")
    ] = None,
    density_map_pixel_a: Annotated[
        float | None, typer.Option(min=0.01, help="Å per voxel, where the map does not say.", metavar="A")
    ] = None,
    frames: Annotated[bool, typer.Option("--frames", help="Exposure: keep the movie, frame by frame.")] = False,
    align: Annotated[bool, typer.Option("--align", help="Exposure: align the frames before they are summed.")] = False,
    plot: Annotated[
        str | None, typer.Option(help="Write a PNG too, beside the image if not named.", metavar="[FILE.png]")
    ] = None,
    plot_px: Annotated[int, typer.Option(min=64, max=8192, help="Longer side of the plot.", metavar="PX")] = 1000,
    labels: Annotated[bool, typer.Option("--labels", help="Draw squares and holes as they are over the plot.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the labels as COCO JSON.")] = None,
) -> None:
    """Take one picture of a simulated grid."""
    from ..files.atomic import write_bytes
    from ..files.mrc import write_mrc
    from ..hardware.simulator.evaluation import coco
    from ..hardware.simulator.evaluation.plates import draw
    from ..hardware.simulator.evaluation.sitting import Sitting, sit

    grid = {"hole_type": grid_type, "mesh": mesh, "material": material, "kind": kind, "ice_nm": ice_nm}
    grid |= {"particle_a": particle_a, "density_map": None if density_map is None else str(density_map)}
    grid |= {"density_map_pixel_a": density_map_pixel_a}
    numbers = dict(pair(text) for text in changes or ())
    grid |= {name[5:]: value for name, value in numbers.items() if name.startswith("grid.")}
    numbers = {name: value for name, value in numbers.items() if not name.startswith("grid.")}
    optics = {"defocus_um": defocus_um, "dose_e_per_a2": dose, "pixel_size_a": pixel_size_a}
    optics |= {"rows_px": size_px, "cols_px": size_px}
    taken = sit(
        Sitting(
            level=level, profile=profile, seed=seed, grid=_given(grid), optics=_given(optics), square_kind=square,
            place_um=place, on=on, tilt_deg=tilt_deg, drift_a_per_s=drift, faults=tuple(fault or ()),
            exposed=exposed, numbers=numbers, save_frames=frames or align,
        )
    )  # fmt: skip
    aligned = _aligned(taken) if align else None
    kept = taken.pixels if aligned is None or frames else aligned
    write_mrc(out, kept, taken.preset.pixel_size_a, metadata=taken.about)
    _say("image", out)
    if json_file is not None:
        info = {"description": "one simulated image, everything in it known"}
        body = coco.document([taken.entry(str(out))], info)
        write_bytes(json_file, json.dumps(body, ensure_ascii=False).encode() + b"\n")
        _say("labels", json_file)
    if plot is not None:
        path = out.with_suffix(".png") if plot == BESIDE else Path(plot)
        draw(taken.plate(labelled=labels, pixels=aligned), path, plot_px)
        _say("plot", path)


@simulate_app.command()
def cassette(
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the files.", metavar="FOLDER")],
    slots: Annotated[int, typer.Option(help="How many grids.")] = 12,
    grid_type: Films = None,
    mesh: Meshes = None,
    material: Materials = None,
    kind: Kinds = None,
    profile: Profile = "demo-2k",
    seed: Seed = 1,
    holes: Annotated[bool, typer.Option("--holes", help="A table of every hole too; they are large.")] = False,
) -> None:
    """Draw a cassette of grids and write it with its world, a protocol to screen it with, and its truth."""
    from ..hardware.simulator.evaluation.drawn_cassette import write_cassette
    from ..hardware.simulator.evaluation.variety import Choices

    choices = Choices(profile, *_names(grid_type, mesh, material, kind))
    for _ in _shown(write_cassette(out, seed, slots, choices, holes=holes), "truth of slots", slots):
        pass
    for name in ("cassette.yaml", "world.yaml", "protocol.yaml", "truth"):
        _say(name.removesuffix(".yaml"), out / name)
    command = f"epicycle run --cassette {out}/cassette.yaml --protocol {out}/protocol.yaml --seed {seed}"
    _print(f"screen it with: {command}")


@simulate_app.command()
def dataset(
    count: Annotated[int, typer.Argument(help="How many images.", metavar="N")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder, or one to go on with.", metavar="FOLDER")],
    levels: Annotated[str, typer.Option(help="Which levels, with commas between.")] = "atlas,square,hole",
    grid_type: Films = None,
    mesh: Meshes = None,
    material: Materials = None,
    kind: Kinds = None,
    profile: Profile = "demo-2k",
    camera_scale: Annotated[float, typer.Option(help="Shrinks images of atlas, square and hole level.")] = 1.0,
    seed: Seed = 1,
) -> None:
    """Write labelled training images: MRC files, and COCO JSON with boxes, classes, hole centres, radii and quality."""
    from ..hardware.simulator.evaluation.dataset import INDEX, make, wanted
    from ..hardware.simulator.evaluation.variety import Choices

    asked = [level.strip() for level in levels.split(",") if level.strip()]
    of = wanted(seed, asked, Choices(profile, *_names(grid_type, mesh, material, kind), camera_scale))
    for _ in _shown(make(out, of, count), "images", count):
        pass
    _say("images", out / "images")
    _say("labels", out / INDEX)


@simulate_app.command()
def gallery(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page and its pictures.", metavar="FOLDER")],
    section: Annotated[list[str] | None, typer.Option(help="Only these sections.", metavar="NAME")] = None,
    side_px: Annotated[int, typer.Option(help="Longer side of each picture.", metavar="PX")] = 256,
    sheets: Annotated[bool, typer.Option("--sheets", help="One PNG of each section too.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the worlds shown.")] = None,
) -> None:
    """Show everything the simulator can: one page of pictures, section by section."""
    from ..hardware.simulator.evaluation import gallery as walls
    from ..hardware.simulator.evaluation.gallery_page import PAGE, chosen, hang
    from ..imaging.motion import align_frames

    shown = chosen(walls.sections(walls.GALLERY_SEED if seed is None else seed), section or ())

    def aligned(frames: Any, pixel_size_a: float) -> Any:
        return align_frames(frames, pixel_size_a)[0]

    for _ in _shown(hang(out, shown, aligned, side_px=side_px, sheets=sheets), "pictures", walls.count(shown)):
        pass
    _say("page", out / PAGE)
    if sheets:
        _say("sheets", out / "sheets")


def _names(
    films: Films, meshes: Meshes, materials: Materials, kinds: Kinds
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return tuple(films or ()), tuple(meshes or ()), tuple(materials or ()), tuple(kinds or ())


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _aligned(taken: "Portrait") -> Any:
    """Sum the frames of a movie in place, as the analysis of a night does."""
    from ..imaging.motion import align_frames

    if taken.preset.level != "exposure":
        raise BadInput("only an exposure has frames to align; leave out --align")
    if taken.pixels.ndim < 3:
        return None
    return align_frames(taken.pixels, taken.preset.pixel_size_a)[0]


def _shown(steps: Iterable[int], what: str, total: int) -> Iterator[int]:
    """Go through steps with a bar beside them, on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        yield from progress.track(steps, total=max(total, 1), description=what)


def _say(what: str, path: Path) -> None:
    _print(f"{what:9} {path}")


def _print(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
