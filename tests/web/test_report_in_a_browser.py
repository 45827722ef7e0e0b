"""The report in headless Chromium: both widths, by day and night; speed; access; the comforts of its script."""

import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epicycle.web.report import render_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(180),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(paint: Callable[..., Path]) -> Path:
    slots: dict[int, dict[str, Any]] = {n: {"name": f"sample {n}", "usable": 0.9 - 0.08 * n} for n in range(1, 10)}
    slots |= {10: {"status": "failed", "reason": "did not load"}, 11: {"status": "empty"}}
    night = paint(slots, faults=[(10, "LoadFailed", "slot 10: the cartridge did not arrive", "leave-grid")])
    return render_report(night, night.parent / "report.html")


@pytest.fixture
def opened(chromium: Any, report: Path) -> Iterator[Callable[..., Any]]:
    pages: list[Any] = []

    def go(width: int = 1440, height: int = 1000, scheme: str = "light", path: Path | None = None) -> Any:
        page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.said = []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto((path or report).as_uri())
        pages.append(page)
        return page

    yield go
    for page in pages:
        page.close()


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_screen_fits_and_answers(opened: Callable[..., Any], width: int, scheme: str) -> None:
    page = opened(width, 1000, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for question in ("How it went", "Good grids, and how sure", "What to do next", "What went wrong"):
        box = page.get_by_role("heading", name=question, exact=True).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 1000
    shown = np.asarray(Image.open(BytesIO(page.screenshot())).convert("L"), float)
    assert bool(np.median(shown) > 200) == (scheme == "light")
    assert shown.std() > 12
    assert page.said == []


def test_no_serious_barrier_is_found(opened: Callable[..., Any]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for scheme in ("light", "dark"):
        page = opened(scheme=scheme)
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        grave = {one["id"]: one["nodes"][0]["html"][:200] for one in found if one["impact"] in ("serious", "critical")}
        assert grave == {}


def test_it_paints_soon_and_scrolls_smoothly(opened: Callable[..., Any]) -> None:
    page = opened()
    paint_ms = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert paint_ms <= 1000
    longest_ms = page.evaluate(
        """async () => {
            let longest = 0;
            new PerformanceObserver((list) => {
                for (const task of list.getEntries()) longest = Math.max(longest, task.duration);
            }).observe({ type: "longtask" });
            for (let y = 0; y < document.body.scrollHeight; y += 700) {
                scrollTo(0, y);
                await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)));
            }
            return longest;
        }"""
    )
    assert longest_ms <= 200


def test_squares_are_coloured_as_asked(opened: Callable[..., Any]) -> None:
    page = opened()
    line = page.locator("figure.atlas").first.locator("polygon.line").first
    colours = []
    for way in ("class", "score", "result"):
        page.locator(f"figure.atlas input.by-{way}").first.check()
        colours.append(line.evaluate("line => getComputedStyle(line).stroke"))
        shown = [
            name
            for name in ("class", "score", "result")
            if page.locator(f"figure.atlas .legend.of-{name}").first.is_visible()
        ]
        assert shown == [way]
    assert len(set(colours)) == 3


def test_exposures_are_sorted_and_filtered(opened: Callable[..., Any]) -> None:
    page = opened()
    page.locator("#night details summary", has_text="exposures").click()
    fits = "rows => rows.filter(r => !r.hidden).map(r => Number(r.cells[5].dataset.value))"
    page.get_by_role("button", name="fit, Å").click()
    values = page.locator("table.sortable tbody tr").evaluate_all(fits)
    assert values == sorted(values)
    assert len(values) > 50
    page.get_by_role("button", name="fit, Å").click()
    assert page.locator("table.sortable tbody tr").evaluate_all(fits) == values[::-1]
    page.get_by_role("searchbox").fill("not usable")
    assert 0 < len(page.locator("table.sortable tbody tr").evaluate_all(fits)) < len(values)


def test_an_enlarged_picture_zooms_and_closes(opened: Callable[..., Any]) -> None:
    page = opened()
    view = page.locator("figure.atlas .view").first
    before = view.locator("svg").get_attribute("viewBox")
    view.locator("a.in").click()
    page.mouse.move(700, 500)
    page.mouse.wheel(0, -300)
    page.wait_for_function("b => document.querySelector('.view:target svg').getAttribute('viewBox') !== b", arg=before)
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('.view:target')")
    assert [float(v) for v in view.locator("svg").get_attribute("viewBox").split()] == [
        float(v) for v in before.split()
    ]


def test_without_script_everything_is_there(chromium: Any, report: Path) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.get_by_role("heading", name="How it went").is_visible()
    assert page.locator("section.grid").count() == 10
    assert page.locator(".filter").count() == 0
    context.close()
