"""The record as plain tables: CSV that any program opens, Parquet that keeps types and says what columns mean."""

import csv
import io
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from ...files.atomic import write_bytes
from ...protocols.errors import EpicycleError
from ..querying import Reader
from .rows import TABLES, Table


class ParquetMissing(EpicycleError):
    """The library that writes Parquet is not installed."""


def write_csv(reader: Reader, folder: Path) -> list[Path]:
    """Write every table as ``NAME.csv``, and ``columns.csv`` that says what every column means.

    Times are ISO 8601 UTC, truth is ``true`` or ``false``, what is not known is empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in TABLES.values():
        head = list(table.model.model_fields)
        body = ([_cell(getattr(row, name)) for name in head] for row in table.read(reader))
        written.append(_write(folder / f"{table.name}.csv", [head, *body]))
    meanings = [
        [table.name, name, _type_name(field.annotation), field.description or ""]
        for table in TABLES.values()
        for name, field in table.model.model_fields.items()
    ]
    return [*written, _write(folder / "columns.csv", [["table", "column", "type", "meaning"], *meanings])]


def write_parquet(reader: Reader, folder: Path) -> list[Path]:
    """Write every table as ``NAME.parquet``; each column's meaning is in its field's metadata.

    Raises
    ------
    ParquetMissing
        pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ParquetMissing(
            "Parquet needs pyarrow, which is not installed: pip install 'epicycle[export]', or export csv"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
        str: pa.string(),
        datetime: pa.timestamp("us", "UTC"),
    }
    written = []
    for table in TABLES.values():
        schema = pa.schema(
            [
                pa.field(name, kinds[_plain(field.annotation)], metadata={"meaning": field.description or ""})
                for name, field in table.model.model_fields.items()
            ]
        )
        rows = [row.model_dump() for row in table.read(reader)]
        target = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(rows, schema=schema), target)
        write_bytes(folder / f"{table.name}.parquet", target.getvalue())
        written.append(folder / f"{table.name}.parquet")
    return written


def columns_page() -> str:
    """Describe every table and column in Markdown; `docs/reference/export.md` is this."""
    lines = [
        "# Exported tables",
        "",
        "What `epicycle export DB --to csv` and `--to parquet` write, one file for each table. Made by "
        "`python -m epicycle.db.export.tables`.",
    ]
    for table in TABLES.values():
        lines += ["", f"## {table.name}", "", _about(table), "", "| column | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{name}` | {_type_name(field.annotation)} | {field.description} |"
            for name, field in table.model.model_fields.items()
        ]
    return "\n".join(lines) + "\n"


def _about(table: Table) -> str:
    return (table.model.__doc__ or "").splitlines()[0]


def _write(path: Path, lines: list[list[Any]]) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    write_bytes(path, text.getvalue().encode())
    return path


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else value


def _plain(annotation: Any) -> type:
    """Give the type beside None."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    return annotation  # type: ignore[no-any-return]


def _type_name(annotation: Any) -> str:
    plain = _plain(annotation)
    names = {int: "whole number", float: "number", bool: "true or false", str: "text", datetime: "time"}
    return names[plain] + (", may be empty" if plain is not annotation else "")


if __name__ == "__main__":
    print(columns_page(), end="")
