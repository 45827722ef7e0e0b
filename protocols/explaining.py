"""What is wrong with a document, one sentence for each mistake, with its line and what would be accepted."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from .document import Document, load, parse
from .errors import BadInput
from .words import (
    Path,
    accepted,
    alternatives,
    dotted,
    field_at,
    is_pair,
    probably_meant,
    section_at,
    section_words,
    unit_of,
)

Model = TypeVar("Model", bound=BaseModel)
MOST_SENTENCES = 20


class Mistakes(BadInput):
    """A document with mistakes in it.

    Attributes
    ----------
    sentences
        One for each mistake, in the order of their lines.
    """

    def __init__(self, sentences: tuple[str, ...]) -> None:
        shown = sentences[:MOST_SENTENCES]
        more = len(sentences) - len(shown)
        super().__init__("\n".join([*shown, *([f"and {more} more"] if more else [])]))
        self.sentences = sentences


def read(model: type[Model], file: str | FilePath, what: str) -> Model:
    """Read a file into a model; raises `BadInput` with a sentence for each mistake."""
    return understand(model, parse(load(file, what), str(file), what))


def understand(model: type[Model], document: Document) -> Model:
    """Check a document against its model; raises `Mistakes`."""
    try:
        return check(model, document.values)
    except ValidationError as error:
        found = [(document.line_of(path), sentence) for path, sentence in explain(model, document.values, error)]
        sentences = (
            f"{document.source}:{line}: {sentence}" for line, sentence in sorted(found, key=lambda one: one[0])
        )
        raise Mistakes(tuple(sentences)) from None


def check(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Check plain values strictly: no text is taken for a number, no number for a truth value."""
    return model.model_validate_json(json.dumps(values), strict=True)


def explain(model: type[BaseModel], values: Mapping[str, Any], error: ValidationError) -> Iterator[tuple[Path, str]]:
    """Give for each mistake the path to point at, and a sentence.

    Parameters
    ----------
    model
        Of the whole document.
    values
        The document.
    error
        What the model said of it.
    """
    told: set[tuple[Path, str]] = set()
    for detail in error.errors(include_url=False):
        found = _one(model, values, detail)
        if found not in told:
            told.add(found)
            yield found


def _one(model: type[BaseModel], values: Mapping[str, Any], detail: ErrorDetails) -> tuple[Path, str]:
    path = tuple(detail["loc"])
    kind = detail["type"]
    if kind == "impossible":
        field = str(detail["ctx"]["field"])
        steps = tuple(int(step) if step.isdigit() else step for step in field.split(".") if step)
        path = (*path, *steps)
        return path, f"{dotted(path)}{_meaning(model, path)}: {detail['ctx']['sentence']}"
    if kind == "extra_forbidden":
        return path, _unknown_key(model, path)
    if kind == "missing":
        return path, f"{dotted(path)} is missing{_meaning(model, path)}; give {_accepted(model, path)}"
    return path, _not_accepted(model, path, _at(values, path))


def _unknown_key(model: type[BaseModel], path: Path) -> str:
    section = section_at(model, path[:-1])
    meant = probably_meant(str(path[-1]), path[:-1], model)
    unit = unit_of(meant) if meant else None
    hint = f"; did you mean {meant}{f' (in {unit})' if unit else ''}?" if meant else ";"
    where = f"under {dotted(path[:-1])}" if path[:-1] else "at the top level"
    keys = "none" if section is None else ", ".join(section.model_fields)
    return f"{dotted(path)} is not a known key{hint} accepted {where} are {keys}"


def _not_accepted(model: type[BaseModel], path: Path, given: Any) -> str:
    shown = "empty" if given is None else _shown(given)
    hint = _hint(model, path, given)
    return (
        f"{dotted(path) or 'the document'} is {shown}{_meaning(model, path)}; accepted is {_accepted(model, path)}"
        f"{f'; {hint}' if hint else ''}"
    )


def _shown(given: Any) -> str:
    if isinstance(given, dict):
        return "a section"
    if isinstance(given, list):
        return f"a list of {len(given)}"
    text = json.dumps(given, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _hint(model: type[BaseModel], path: Path, given: Any) -> str:
    """Tell what to do to somebody who wrote ``4 um``, ``0,1``, ``yes``, a number for a text, or nothing."""
    info = field_at(model, path)
    kinds = alternatives(info.annotation)[0] if info is not None else []
    if given is None:
        return "give a value or drop the line"
    if str in kinds and isinstance(given, int | float) and not isinstance(given, bool):
        return "put it in quotes"
    if bool in kinds and str(given).lower() in ("yes", "no", "on", "off"):
        return f"write {'true' if str(given).lower() in ('yes', 'on') else 'false'}"
    number = (
        re.fullmatch(r"\s*([-+]?[0-9]+(?:[.,][0-9]+)?)\s*([^\s0-9]*)\s*", given) if isinstance(given, str) else None
    )
    if number is None or not {int, float} & set(kinds):
        return ""
    unit = unit_of(str(path[-1]))
    if number[2]:
        return f"write the number alone, in {unit}" if unit else "write the number alone"
    return f"write it as {number[1].replace(',', '.')}, without quotes"


def _accepted(model: type[BaseModel], path: Path) -> str:
    info, section = field_at(model, path), section_at(model, path)
    if section is not None and (not path or isinstance(path[-1], int)):
        return section_words(section)
    if info is None:
        return "a finite number, text, true or false, a list or a section"
    return _accepted_item(info, path) if isinstance(path[-1], int) else accepted(info)


def _accepted_item(info: FieldInfo, path: Path) -> str:
    if not any(is_pair(item) for kind in alternatives(info.annotation)[0] for item in get_args(kind)[:1]):
        return "a whole number"
    return "a number" if isinstance(path[-2], int) else "a pair of numbers such as [0.3, 0]"


def _meaning(model: type[BaseModel], path: Path) -> str:
    info = field_at(model, path)
    if info is None or not info.description:
        return ""
    text = info.description.rstrip(".")
    return f" ({text[0].lower() if text[1:2].islower() else text[0]}{text[1:]})"


def _at(values: Any, path: Path) -> Any:
    for step in path:
        try:
            values = values[step]
        except (KeyError, IndexError, TypeError):
            return None
    return values
