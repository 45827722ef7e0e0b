"""A YAML file as plain values that know their lines, or one sentence that says why it cannot be read."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .errors import BadInput
from .words import Path, dotted

LARGEST_BYTES = 500_000
MOST_VALUES = 5_000
LARGEST_NUMBER = 1e300
_TAG = "tag:yaml.org,2002:"
_START = {
    "protocol": "start from a shipped one, `epicycle protocols show screening-default` prints it",
    "cassette": "list the grids under the key slots, each with its slot and name",
}


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says.

    Attributes
    ----------
    source
        The file as the user named it.
    values
        Its top-level mapping, of JSON's types only.
    lines
        Line, from 1, of every key and list item by its path.
    """

    source: str
    values: Mapping[str, Any]
    lines: Mapping[Path, int]

    def line_of(self, path: Path) -> int:
        """Give the line of a path, or of the nearest thing above it that the file holds."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def load(file: str | FilePath, what: str) -> str:
    """Read a text file.

    Parameters
    ----------
    file
        Its path.
    what
        What it should be, for the sentence: ``protocol``, ``cassette``.

    Raises
    ------
    BadInput
        It does not exist, is no plain file, cannot be read, is too large or is not UTF-8 text.
    """
    path = FilePath(file)
    try:
        if path.is_dir():
            raise BadInput(f"{file}: this is a folder; name the {what} file in it")
        if path.exists() and not path.is_file():
            raise BadInput(f"{file}: this is a device or a pipe; name a plain {what} file")
        with path.open("rb") as handle:
            raw = handle.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise BadInput(f"{file}: there is no such {what} file; check the path") from None
    except PermissionError:
        raise BadInput(f"{file}: this {what} file may not be read by this user; change its permissions") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadInput(f"{file}: this {what} file cannot be read ({reason.lower()}); check the path") from None
    if len(raw) > LARGEST_BYTES:
        raise BadInput(f"{file}: with more than {LARGEST_BYTES // 1000} kB this cannot be a {what} file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{file}:{line}: this is not UTF-8 text; save the {what} file as UTF-8") from None


def parse(text: str, source: str, what: str) -> Document:
    """Turn YAML text into values and lines.

    Raises
    ------
    BadInput
        It is empty, not YAML, not a mapping, has a key twice, or holds what JSON cannot say.
    """
    root = _compose(text, source)
    if root is None:
        raise BadInput(f"{source}: the {what} file is empty; {_START[what]}")
    if not isinstance(root, MappingNode):
        raise BadInput(
            f"{source}:{_line(root)}: a {what} file is a list of `key: value` lines, this one starts with "
            f"{'a list' if isinstance(root, SequenceNode) else 'a single value'}"
        )
    reader = _Reader(source)
    values = reader.value(root, ())
    return Document(source, values, reader.lines)


def scalar(text: str) -> Any:
    """Read one value typed on a command line as YAML would; text that is not one plain value stays text."""
    try:
        node = _compose(text, "")
        return text if not isinstance(node, ScalarNode) else _Reader("").value(node, ())
    except BadInput:
        return text


def _compose(text: str, source: str) -> Node | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: Node | None = YAML(typ="safe", pure=True).compose(text)
        return found
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}" if mark else source
        column = f", column {mark.column + 1}" if mark else ""
        problem = " ".join(str(error.problem or error.context or "it cannot be parsed").split())
        raise BadInput(f"{place}: this is not YAML{column}: {problem}; check indentation, colons and quotes") from None
    except YAMLError as error:
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position if isinstance(position, int) else 0) + 1
        raise BadInput(f"{source}:{line}: this is not YAML: it holds characters that no text file should") from None
    except RecursionError:
        raise BadInput(f"{source}: this is nested far too deeply to be read") from None


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


class _Reader:
    """Walks the nodes of one file, noting lines."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[Path, int] = {}
        self._open: list[int] = []
        self._count = 0
        self._constructor = YAML(typ="safe", pure=True).constructor

    def value(self, node: Node, path: Path) -> Any:
        """Give the plain value of a node."""
        self._count += 1
        if self._count > MOST_VALUES or len(self._open) > 50 or id(node) in self._open:
            raise self._refuse(node, path, "repeats or nests without end; write the values out")
        self._open.append(id(node))
        try:
            if isinstance(node, MappingNode):
                self._expect(node, path, "map")
                return self._mapping(node, path)
            if isinstance(node, SequenceNode):
                self._expect(node, path, "seq")
                return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._plain(node, path)
        finally:
            self._open.pop()

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                raise self._refuse(key_node, path, "has a key that is not plain text; keys are single words")
            key = self._text(key_node, path)
            here = (*path, key)
            if key in found:
                raise BadInput(
                    f"{self.source}:{_line(key_node)}: {dotted(here)} is given twice, first on line "
                    f"{self.lines[here]}; keep one of the two"
                )
            self.lines[here] = _line(key_node)
            found[key] = self.value(value_node, here)
        return found

    def _item(self, node: Node, path: Path) -> Any:
        self.lines[path] = _line(node)
        return self.value(node, path)

    def _plain(self, node: Node, path: Path) -> Any:
        tag, text = _tag(node), self._text(node, path)
        if tag in ("str", "timestamp"):
            return text
        if tag not in ("int", "float", "bool", "null"):
            raise self._refuse(node, path, f"has the tag {tag}; tags are not used here, drop it")
        try:
            found = self._constructor.construct_object(node, deep=True)
            if found is None or abs(found) < LARGEST_NUMBER:
                return found
        except (ValueError, ArithmeticError, YAMLError):
            pass
        raise self._refuse(node, path, f"is {text[:40]!r}, which is not a number that can be used")

    def _text(self, node: Node, path: Path) -> str:
        text = str(node.value)
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self._refuse(node, path, "holds half of a character; write the text anew")
        return text

    def _expect(self, node: Node, path: Path, tag: str) -> None:
        if _tag(node) != tag:
            raise self._refuse(node, path, f"has the tag {_tag(node)}; tags are not used here, drop it")

    def _refuse(self, node: Node, path: Path, why: str) -> BadInput:
        return BadInput(f"{self.source}:{_line(node)}: {dotted(path) or 'the file'} {why}")


def _tag(node: Node) -> str:
    return str(node.tag).removeprefix(_TAG)
