"""The simulator against its bars: speed, seeding, and what the other benchmarks of this folder found, in one table.

    python benchmarks/simulator.py [--results FOLDER] [--again NAME ...]

Speed and seeding are measured here. The long judgements (real images, networks that know real images, CTF fitters, the
recorded session, the two fidelities) are benchmarks of their own; each is run once and leaves its JSON in the folder of
results, and is read from there until it is named with ``--again``. Prints a table and writes ``simulator.json``.
CPU seconds are those of the process that does the work, after imports.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from epicycle.hardware.simulator.evaluation import studio
from epicycle.hardware.simulator.grid.cassette_world import GridSpec
from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.protocols.preset import Preset

HERE = Path(__file__).resolve().parent
PROFILES = ("screening-200kv", "collection-300kv")
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One bar: what is measured, the figure, the bar in words, and whether it is met."""

    what: str
    figure: str
    bar: str
    met: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A benchmark of its own: its script, the option that names its JSON, and how its bars are read from it."""

    script: str
    option: str
    read: Callable[[Any], Iterator[Row]]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("simulator-results"), help="folder of the JSON files")
    parser.add_argument("--again", nargs="*", default=[], choices=[*PARTS, []], help="run these although done before")
    parser.add_argument("--digest", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.digest is not None:
        print(digest(given.digest))
        return 0
    given.results.mkdir(parents=True, exist_ok=True)
    rows = [*speed(), *seeding()]
    for name, part in PARTS.items():
        rows += judged(name, part, given.results, again=name in given.again)
    for row in rows:
        print(f"{row.what:<58}{row.figure:>24}   bar {row.bar:<26}{'met' if row.met else 'NOT MET'}")
    (given.results / "simulator.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


def speed() -> Iterator[Row]:
    """Time whole pictures, from the state of the instrument to the array."""
    for profile in PROFILES:
        levels = load_profile(profile).levels
        for what, level, side, frames, bar in (
            ("atlas tile 1k", "atlas", 1024, False, 0.3),
            ("square 2k", "square", 2048, False, 0.6),
            ("hole view 2k", "hole", 2048, False, 0.6),
            ("micrograph 4k (sum)", "exposure", 4096, False, 1.0),
            ("movie 40 x 2k", "exposure", 2048, True, 3.0),
        ):
            preset = _of_side(levels[level].preset, side, 40 if frames else levels[level].preset.frames)
            spent = median(_seconds(profile, preset, frames, seed) for seed in range(1, REPEATS + 1))
            yield Row(f"{profile}: {what}", f"{spent:.2f} CPU s", f"<= {bar} CPU s", spent <= bar)


def _of_side(preset: Preset, side: int, frames: int) -> Preset:
    """Give the preset a camera of this side; survey views keep their field, exposures their pixel size."""
    changed: dict[str, Any] = {"rows_px": side, "cols_px": side, "frames": frames}
    if preset.level != "exposure":
        scale = preset.rows_px / side
        changed |= {"pixel_size_a": preset.pixel_size_a * scale, "dose_e_per_a2": preset.dose_e_per_a2 / scale**2}
    return preset.model_copy(update=changed)


def _seconds(profile: str, preset: Preset, frames: bool, seed: int) -> float:
    instrument = studio.stand_up(load_profile(profile), GridSpec(kind="good"), seed)
    square = studio.square_like(studio.world_of(instrument), "intact", skip=seed)
    hole = studio.hole_of(square)
    place = (square.x_um, square.y_um) if preset.level != "exposure" or hole is None else (hole.x_um, hole.y_um)
    studio.aim(instrument, preset, place)
    began = time.process_time()
    studio.photograph(instrument, preset, save_frames=frames)
    return time.process_time() - began


def seeding() -> Iterator[Row]:
    """Take the same pictures in processes of their own, with one thread and with four."""
    here = digest(7)
    others = []
    for threads in ("1", "4"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        ended = subprocess.run(
            [sys.executable, __file__, "--digest", "7"],
            env={**os.environ, **dict.fromkeys(names, threads)},
            capture_output=True,
            text=True,
            check=True,
        )
        others.append(ended.stdout.strip())
    other_seed = digest(8)
    same = all(found == here for found in others) and other_seed != here
    yield Row(
        "pictures of all levels in three processes, 1 and 4 threads", "equal" if same else "differ", "byte-equal", same
    )


def digest(seed: int) -> str:
    """Take one picture of each level and sum their bytes up."""
    total = hashlib.sha256()
    for profile in PROFILES:
        for level in ("atlas", "square", "hole", "exposure"):
            preset = load_profile(profile).levels[level].preset
            preset = _of_side(preset, 512, min(preset.frames, 4))
            instrument = studio.stand_up(load_profile(profile), GridSpec(kind="ordinary"), seed)
            square = studio.square_like(studio.world_of(instrument), "intact")
            studio.aim(instrument, preset, (square.x_um, square.y_um))
            pixels = studio.photograph(instrument, preset, save_frames=True)
            total.update(np.ascontiguousarray(pixels).tobytes())
    return total.hexdigest()


def judged(name: str, part: Part, results: Path, *, again: bool) -> list[Row]:
    """Run a benchmark if its JSON is not there yet, and read its bars."""
    path = results / f"{name}.json"
    if again or not path.exists():
        print(f"running {part.script} …", flush=True)
        with (results / f"{name}.txt").open("w") as log:
            subprocess.run([sys.executable, str(HERE / part.script), part.option, str(path)], stdout=log, check=False)
    if not path.exists():
        return [Row(part.script, "no answer", f"see {name}.txt", met=False)]
    return list(part.read(json.loads(path.read_text())))


def _planted(found: Any) -> Iterator[Row]:
    for name, one in found["summary"].items():
        who = "torch-ctf-estimation" if name == "reference" else "our own fitter"
        defocus, length = one["defocus_percent_median"], one["astigmatism_a_median"]
        yield Row(f"planted CTF, {who}: defocus, median", f"{defocus:.2f} %", "<= 1 %", defocus <= 1)
        yield Row(f"planted CTF, {who}: astigmatism, median", f"{length / 10:.1f} nm", "<= 10 nm", length <= 100)
        rank = max((value for key, value in one.items() if key.startswith("spearman")), default=float("nan"))
        yield Row(f"planted CTF, {who}: rank of thickness", f"{rank:.2f}", ">= 0.9", rank >= 0.9)


def _published(found: Any) -> Iterator[Row]:
    for real, words in ((False, "simulated"), (True, "real")):
        own = [row for row in found["holes"] if row["real"] is real]
        true = sum(row["true"] for row in own)
        recall, near = (sum(row[name] for row in own) / true for name in ("found", "near"))
        error_px = median(row["error_px"] for row in own if row["error_px"] is not None)
        figure = f"{recall:.1%}, median error {error_px:.1f} px"
        met = recall >= 0.95 and error_px <= 5
        yield Row(f"published hole pipeline, {words} views: holes found", figure, ">= 95 %, <= 5 px", met)
        yield Row(f"published hole pipeline, {words} views: each within 5 px", f"{near:.1%}", ">= 95 %", near >= 0.95)
        marks, refit = (sum(row[name] for row in own) / true for name in ("marked_near", "refit_near"))
        figure = f"{marks:.1%}, {refit:.1%}"
        yield Row(f"the same, {words} views: the network's marks, refitted", figure, ">= 95 %", refit >= 0.95)
    for film, auc in found["squares"]["auc"].items():
        if auc is not None:
            yield Row(f"published square scorer, {film}", f"AUC {auc:.3f}", ">= 0.9", auc >= 0.9)


def _real(found: Any) -> Iterator[Row]:
    for row in found:
        figure, bar = (f"{row[part]['histogram']:.3f}, {row[part]['spectrum']:.3f}" for part in ("match", "bar"))
        yield Row(f"{row['name']}: histogram, spectrum", figure, f"<= {bar}", row["held"])


def _spatial(found: Any) -> Iterator[Row]:
    worst = found["largest_difference"]
    yield Row("quality in space, largest difference", f"{worst:.3f}", f"<= {found['bar']}", worst <= found["bar"])


def _times(found: Any) -> Iterator[Row]:
    worst = max(abs(row["ratio"] - 1) for row in found)
    yield Row("medians of time costs, largest difference", f"{worst:.1%}", "<= 3 %", worst <= 0.03)


def _fidelities(found: Any) -> Iterator[Row]:
    sums = found["nights"]["sums"]
    for name in ("hours", "images", "exposures", "usable"):
        there, here = sums["pixels"][name], sums["pixel-free"][name]
        apart = here / there - 1 if there else 0.0
        yield Row(f"two fidelities: {name} of all nights", f"{apart:+.1%}", "within 3 %", abs(apart) <= 0.03)
    rate = found["speed"].get("nights_an_hour_on_two_cores")
    if rate is not None:
        yield Row("pixel-free nights of twelve grids", f"{rate:.0f} an hour", ">= 500", rate >= 500)


PARTS = {
    "planted_ctf": Part("planted_ctf.py", "--out", _planted),
    "published_judges": Part("published_judges.py", "--out", _published),
    "real_images": Part("real_images.py", "--json", _real),
    "spatial_correlation": Part("spatial_correlation.py", "--out", _spatial),
    "session_times": Part("session_times.py", "--json", _times),
    "two_fidelities": Part("two_fidelities.py", "--out", _fidelities),
}

if __name__ == "__main__":
    sys.exit(main())
