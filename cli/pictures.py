"""Pictures of a night, in the terminal or as files."""

from pathlib import Path
from typing import Annotated

import typer

from .terminal import Record, console, record_of


def show(
    record: Record,
    place: Annotated[
        list[str] | None, typer.Argument(help="grid 3 [square 14 [hole 7]]; every grid if nothing")
    ] = None,
    png: Annotated[Path | None, typer.Option("--png", help="Write PNG files into this folder instead.")] = None,
) -> None:
    """Show the atlas of a grid, a square or a hole with everything that is known of it drawn over."""
    from ..db.connection import open_reader
    from ..web.blocks import Blocks
    from ..web.drawing import pixels_of, write
    from ..web.night import whole_night
    from ..web.showing import show as shown_of

    path = record_of(record)
    reader = open_reader(path)
    try:
        shown = shown_of(whole_night(reader), path.parent, place or ())
    finally:
        reader.dispose()
    if png is not None:
        png.mkdir(parents=True, exist_ok=True)
    for one in shown:
        if png is None:
            console.print(Blocks(pixels_of(one.figure.picture)))
            console.print(one.title, markup=False, highlight=False)
            continue
        target = png / f"{one.name}.png"
        write(target, one.figure, one.title)
        console.print(str(target), markup=False, highlight=False, soft_wrap=True)
