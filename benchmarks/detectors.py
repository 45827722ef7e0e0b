"""The detectors' table: what published Ptolemy was measured to do, the bar, and what is found here.

    python benchmarks/detectors.py [--quick] [--only holes|squares|published|simulated|noise] [--finder NAME]...
                                   [--data FOLDER] [--weights FOLDER] [--out FILE.json]

Reference figures are measurements of the unmodified published program, where they are not those of this very run (rows
"as published": its weights through this project's code). Seconds are of the processor, one thread; memory is the most a
process of its own ever had. Squares come from `detectors_squares.py`.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from detectors_real import hole_rows, published_rows
from detectors_rows import Row
from detectors_simulated import noise_rows, simulated_rows

from epicycle.orchestrator import plugins

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
HOLES, SQUARES = ("lattice-holes", "network-holes"), ("mixture-squares", "scored-squares")
PARTS = ("squares", "holes", "published", "simulated", "noise")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the simulated pictures")
    parser.add_argument("--only", action="append", choices=PARTS, help="some of the parts")
    parser.add_argument("--finder", action="append", help="of holes; those that ship if none is named")
    parser.add_argument("--data", type=Path, default=SHARED / "images", help="folder of the real images")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights", help="folder of the published weights")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    given = parser.parse_args(arguments)
    for folder in (given.data, given.weights):
        if not folder.is_dir():
            print(f"there is no folder {folder}; see --data and --weights", file=sys.stderr)
            return 2
    known = plugins.names("epicycle.detectors")
    finders = given.finder or [name for name in HOLES if name in known]
    start = time.process_time()
    rows = []
    for row in table(given, finders, [name for name in SQUARES if name in known]):
        print(
            f"{row.case}\n    Ptolemy {row.reference}; bar {row.bar}\n    here    {row.here}   {said(row)}", flush=True
        )
        rows.append(row)
    missed = sum(row.met is False for row in rows)
    print(f"{len(rows)} rows, {missed} below the bar, {time.process_time() - start:.0f} CPU s in this process")
    if given.out:
        given.out.write_text(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n")
    return 0


def table(given: argparse.Namespace, finders: list[str], square_finders: list[str]) -> Iterator[Row]:
    wanted = given.only or PARTS
    if "squares" in wanted:
        from detectors_squares import square_rows

        yield from square_rows(given.data, given.quick)
    if "holes" in wanted:
        yield from hole_rows(given.data, finders, given.quick)
    if "published" in wanted:
        yield from published_rows(given.data, given.weights)
    if "simulated" in wanted:
        yield from simulated_rows(finders, 10 if given.quick else 100)
    if "noise" in wanted:
        yield from noise_rows([*square_finders, *finders], 20 if given.quick else 200)


def said(row: Row) -> str:
    return "" if row.met is None else "met" if row.met else "NOT MET"


if __name__ == "__main__":
    sys.exit(main())
