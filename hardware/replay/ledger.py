"""What a replay has done so far, in a file beside the night's memory, so that a crash of the process loses none of it.

One JSON line for each act, appended when the act has ended: what it was paid for, the image it gave, or where the
instrument now stands. A torn last line is an act that did not end.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ..records import Acquired, ImageShift, StagePosition


class Ledger:
    """The acts of one replay.

    Attributes
    ----------
    acts
        How often each recorded thing was asked for, by its key.
    images
        Every image given, by the name asked for.
    state
        The instrument's own state: stage, slot on the stage, valve.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.acts: Counter[str] = Counter()
        self.images: dict[str, Acquired] = {}
        self.state: dict[str, Any] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self._read()

    def enter(self, keys: tuple[str, ...] = (), image: Acquired | None = None, **state: Any) -> None:
        """Write down one act: the recorded things it was for, its image, and what it changed of the instrument."""
        line = {"keys": keys, "image": image and _written(image), "state": state}
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        self._take(keys, image, state)

    def _take(self, keys: tuple[str, ...], image: Acquired | None, state: Mapping[str, Any]) -> None:
        self.acts.update(keys)
        self.state.update(state)
        if image is not None:
            self.images[image.name] = image

    def _read(self) -> None:
        kept = 0
        with self._path.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                entry = json.loads(line)
                image = entry["image"] and _image(entry["image"])
                self._take(tuple(entry["keys"]), image or None, entry["state"])
                kept += len(line)
        if kept < self._path.stat().st_size:
            with self._path.open("r+b") as stream:
                stream.truncate(kept)


def _written(image: Acquired) -> dict[str, Any]:
    times = {"started_at": image.started_at.isoformat(), "ended_at": image.ended_at.isoformat()}
    return {**asdict(replace(image, details=dict(image.details))), **times}


def _image(entry: Mapping[str, Any]) -> Acquired:
    (a, b, c), (d, e, f) = entry["image_to_stage"]
    read = {
        "image_to_stage": ((a, b, c), (d, e, f)),
        "stage": StagePosition(**entry["stage"]),
        "image_shift": ImageShift(**entry["image_shift"]),
        "started_at": datetime.fromisoformat(entry["started_at"]),
        "ended_at": datetime.fromisoformat(entry["ended_at"]),
    }
    return Acquired(**{**entry, **read})
