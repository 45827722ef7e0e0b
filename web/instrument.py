"""The instrument and the software of a night, put so that a person can read them: units apart, presets as a table."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_UNITS = {
    "e_per_a2": "e⁻/Å²",
    "a_per_s": "Å/s",
    "um": "µm",
    "nm": "nm",
    "a": "Å",
    "s": "s",
    "deg": "°",
    "px": "px",
    "kv": "kV",
    "mm": "mm",
    "ev": "eV",
    "mb": "MB",
}
"""Endings of names that stand for units, the longer ones first."""


@dataclass(frozen=True, slots=True)
class InstrumentSheet:
    """Facts by name, and the presets as rows under ``columns``, the level first."""

    name: str
    facts: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    presets: tuple[tuple[str, ...], ...]


def instrument_sheet(microscope: Mapping[str, Any]) -> InstrumentSheet:
    """Read what a session keeps of its microscope: plug-in, options, capabilities, presets."""
    capabilities = _mapping(microscope.get("capabilities"))
    presets = {str(level): _mapping(preset) for level, preset in _mapping(microscope.get("presets")).items()}
    single = {key: value for key, value in microscope.items() if not isinstance(value, Mapping)}
    facts = {**single, **_mapping(microscope.get("options")), **capabilities}
    keys = [key for key in dict.fromkeys(key for preset in presets.values() for key in preset) if key != "level"]
    columns = [key for key in keys if any(preset.get(key) is not None for preset in presets.values())]
    return InstrumentSheet(
        name=str(capabilities.get("name") or microscope.get("name") or microscope.get("use") or ""),
        facts=tuple(said(key, value) for key, value in facts.items() if value is not None),
        columns=("level", *(", ".join(filter(None, named(key))) for key in columns)),
        presets=tuple((level, *(_value(preset.get(key)) for key in columns)) for level, preset in presets.items()),
    )


def plugin_lines(plugins: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Gather plug-ins by kind and version: ``policies`` → ``first-come, random (epicycle 0.1.0)``."""
    shelves: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, version in plugins.items():
        kind, _, name = key.rpartition("/")
        text = " ".join(map(str, version.values())) if isinstance(version, Mapping) else str(version)
        shelves[kind or name, text].append(name if kind else "")
    return [
        (kind.replace("_", " "), f"{', '.join(names)} ({text})" if any(names) else text)
        for (kind, text), names in shelves.items()
    ]


def said(key: str, value: Any) -> tuple[str, str]:
    """Put a named value with its unit: ``voltage_kv`` 200.0 → ``voltage``, ``200 kV``."""
    name, unit = named(key)
    return name, f"{_value(value)} {unit}".rstrip()


def named(key: str) -> tuple[str, str]:
    """Split a name into words and the unit it ends with: ``beam_diameter_um`` → ``beam diameter``, ``µm``."""
    for ending, unit in _UNITS.items():
        if key.endswith(f"_{ending}"):
            return key.removesuffix(f"_{ending}").replace("_", " "), unit
    return key.replace("_", " "), ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _value(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
    return str(value)
