"""The gallery on disk: pictures one by one, then a sheet for each wall, then one page with everything in it.

A picture that is there is kept (its name tells what it shows, and by which version), so a gallery that was cut off goes
on where it stood.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from .... import __version__
from ....files.atomic import sweep, write_bytes
from ....protocols.errors import BadInput
from .gallery import Align, Exhibit, Section, thumbnail
from .plates import sheet

ACROSS_PX = 1600
"""Sheets are about as wide as this."""

SHEET_BYTES = 270_000
"""A wall whose pictures take more is cut into several sheets."""

PAGE = "gallery.html"

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Everything the simulator can show</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 110rem; padding: 0 1rem; color: #222;
  background: #fff; }
section { margin-bottom: 2.5rem; } h2 { margin-bottom: 0; } p { margin: .2rem 0 .8rem; color: #555; }
nav a { margin-right: 1rem; } div { display: flex; flex-wrap: wrap; gap: .5rem; } img { display: block; }
</style></head><body>
<h1>Everything the simulator can show</h1>
"""


def hang(folder: Path, walls: Sequence[Section], align: Align, *, side_px: int, sheets: bool) -> Iterator[int]:
    """Take all pictures and write the page; yields how many hang after each.

    Parameters
    ----------
    folder
        Gets ``gallery.html``, ``pictures/`` and, if asked, ``sheets/``; made where it is not there.
    side_px
        Longer side of each picture.

    Raises
    ------
    BadInput
        Pictures too small to see, or ``folder`` is a file.
    NoRoom, NotWritable
        See `files.atomic`.
    """
    if not 64 <= side_px <= 2000:
        raise BadInput(f"pictures of {side_px} pixels cannot be hung; give 64 to 2000")
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; name a folder for the gallery")
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    sweep(folder / "pictures")
    done, hung = 0, []
    for wall in walls:
        paths = []
        for number, exhibit in enumerate(wall.exhibits, 1):
            path = folder / "pictures" / f"{wall.slug}-{number:02d}-{_mark(exhibit, side_px)}.png"
            if not path.exists():
                write_bytes(path, thumbnail(exhibit, align, side_px))
            paths.append(path)
            done += 1
            yield done
        hung.append((wall, paths))
        if sheets:
            _write_sheets(folder / "sheets", wall, paths)
    write_bytes(folder / PAGE, _page(hung).encode())


def chosen(walls: Sequence[Section], slugs: Sequence[str]) -> tuple[Section, ...]:
    """Pick walls by name, all where none is named; raises `BadInput` for one that is not there."""
    known = {wall.slug: wall for wall in walls}
    for slug in slugs:
        if slug not in known:
            raise BadInput(f"the gallery has no section called {slug}; it has {', '.join(known)}")
    return tuple(walls) if not slugs else tuple(known[slug] for slug in slugs)


def _mark(exhibit: Exhibit, side_px: int) -> str:
    return hashlib.sha256(f"{__version__} {side_px} {exhibit!r}".encode()).hexdigest()[:8]


def _write_sheets(folder: Path, wall: Section, paths: Sequence[Path]) -> None:
    """Lay a wall out on as many sheets as it takes, none much larger than `SHEET_BYTES`."""
    folder.mkdir(exist_ok=True)
    pictures = [path.read_bytes() for path in paths]
    # Bytes 16 to 20 of a PNG are its width.
    width = max(int.from_bytes(one[16:20], "big") for one in pictures)
    columns = max(ACROSS_PX // width, 1)
    parts: list[list[bytes]] = [[]]
    for first in range(0, len(pictures), columns):
        row = pictures[first : first + columns]
        if parts[-1] and sum(map(len, [*parts[-1], *row])) > SHEET_BYTES:
            parts.append([])
        parts[-1] += row
    for number, part in enumerate(parts, 1):
        name = wall.slug if len(parts) == 1 else f"{wall.slug}-{number}"
        write_bytes(folder / f"{name}.png", sheet(part, columns))


def _page(hung: Sequence[tuple[Section, Sequence[Path]]]) -> str:
    links = "".join(f'<a href="#{wall.slug}">{escape(wall.heading)}</a>' for wall, _ in hung)
    return f"{_HEAD}<nav>{links}</nav>\n{''.join(_wall(wall, paths) for wall, paths in hung)}</body></html>\n"


def _wall(wall: Section, paths: Sequence[Path]) -> str:
    coded = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    pictures = "\n".join(
        f'<img alt="{escape(exhibit.title)}" src="data:image/png;base64,{code}">'
        for exhibit, code in zip(wall.exhibits, coded, strict=True)
    )
    return (
        f'<section id="{wall.slug}"><h2>{escape(wall.heading)}</h2>\n<p>{escape(wall.about)}</p>\n'
        f"<div>{pictures}</div></section>\n"
    )
