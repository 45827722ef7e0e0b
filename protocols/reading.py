"""Protocols and cassettes from files and by name, and their schemas for editors."""

import difflib
from pathlib import Path
from typing import Any, Literal

from .cassette import Cassette
from .document import load, parse
from .errors import BadInput
from .explaining import read, understand
from .screening import ScreeningProtocol

SHIPPED = Path(__file__).with_name("shipped")


def shipped_names() -> tuple[str, ...]:
    """Give the names of the protocols that come with the program, in alphabetical order."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def shipped_text(name: str) -> str:
    """Give the commented YAML of a shipped protocol; raises `BadInput` with the names when there is none."""
    if name not in shipped_names():
        raise BadInput(f"there is no shipped protocol {name!r}{_nearest(name)}")
    return load(SHIPPED / f"{name}.yaml", "protocol")


def read_protocol(name_or_file: str | Path) -> ScreeningProtocol:
    """Read a shipped protocol by its name, or any other from its file.

    Raises
    ------
    BadInput
        Neither exists, the file cannot be read, or the protocol has mistakes: then one sentence for each, with file,
        line, field, what was given and what is accepted.
    """
    given = str(name_or_file)
    if given in shipped_names():
        return parse_protocol(shipped_text(given), given)
    if not Path(given).suffix and "/" not in given and "\\" not in given and not _exists(given):
        raise BadInput(f"there is neither a shipped protocol nor a file {given!r}{_nearest(given)}")
    return read(ScreeningProtocol, name_or_file, "protocol")


def parse_protocol(text: str, source: str) -> ScreeningProtocol:
    """Read a protocol from YAML text; ``source`` stands where the file's name would in the sentences of `BadInput`."""
    return understand(ScreeningProtocol, parse(text, source, "protocol"))


def read_cassette(file: str | Path) -> Cassette:
    """Read a cassette from its file; raises `BadInput` with one sentence for each mistake."""
    return read(Cassette, file, "cassette")


def parse_cassette(text: str, source: str) -> Cassette:
    """Read a cassette from YAML text; ``source`` stands where the file's name would in the sentences of `BadInput`."""
    return understand(Cassette, parse(text, source, "cassette"))


def json_schema(of: Literal["protocol", "cassette"] = "protocol") -> dict[str, Any]:
    """Give the JSON Schema by which an editor completes and checks such a file."""
    model = ScreeningProtocol if of == "protocol" else Cassette
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
    preset = schema["$defs"].get("Preset")
    if preset is not None:
        preset["required"] = [key for key in preset["required"] if key != "level"]
    return schema


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name.casefold(), shipped_names(), n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ";"
    return f"{hint} shipped are {', '.join(shipped_names())}"
