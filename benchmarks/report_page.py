"""The morning report of a night: size, CPU seconds to make it, and how it opens and scrolls in Chromium.

    python benchmarks/report_page.py DB [--out FILE.json]

Prints a table and writes JSON. The bars are those of ordinary nights (200 exposures: 15 MB, 10 s) and huge ones
(3,000 exposures: 60 MB, 90 s); between them they grow with the number of exposures. Without a Chromium on this machine
the page's own figures are left out.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from epicycle.db.connection import open_reader
from epicycle.db.views import exposures_of
from epicycle.web.report import render_report

SCROLL = """async () => {
  let longest = 0;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) longest = Math.max(longest, task.duration);
  }).observe({ type: "longtask" });
  for (let y = 0; y < document.body.scrollHeight; y += 700) {
    scrollTo(0, y);
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 16)));
  }
  return longest;
}"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path, help="database of a night")
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args(arguments)
    page = given.record.parent / "report-benchmark.html"
    start = time.process_time()
    render_report(given.record, page)
    spent_s = time.process_time() - start
    reader = open_reader(given.record)
    shots = len(exposures_of(reader))
    reader.dispose()
    share = min(max((shots - 200) / 2800, 0.0), 1.0)
    rows = [
        ("size, MB", page.stat().st_size / 1e6, 15 + 45 * share),
        ("time to make it, CPU s", spent_s, 10 + 80 * share),
        *in_chromium(page),
    ]
    print(f"{shots} exposures")
    for what, value, bar in rows:
        print(f"{what:<28} {value:>9.2f}   bar {bar:>7.1f}   {'met' if value <= bar else 'NOT MET'}")
    if given.out:
        body: dict[str, Any] = {"exposures": shots, "rows": [{"what": w, "value": v, "bar": b} for w, v, b in rows]}
        given.out.write_text(json.dumps(body, indent=1))
    page.unlink()
    return 0


def in_chromium(page: Path) -> list[tuple[str, float, float]]:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        print("no Chromium here: how the page opens and scrolls is not measured")
        return []
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1440, "height": 1000})
        shown.set_default_timeout(600_000)
        shown.goto(page.as_uri())
        paint_ms = shown.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        longest_ms = shown.evaluate(SCROLL)
        browser.close()
    return [("first paint, ms", paint_ms, 1000.0), ("longest task scrolling, ms", longest_ms, 200.0)]


if __name__ == "__main__":
    sys.exit(main())
