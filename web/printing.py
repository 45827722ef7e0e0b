"""A page as PDF, by a browser that is installed: what is printed is what the browser shows."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from ..files.atomic import write_bytes
from ..protocols.errors import EpicycleError

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
    "microsoft-edge",
)
"""Names under which the browsers that can do it are found."""
LONGEST_S = 300


class NoBrowser(EpicycleError):
    """There is no browser to print with, or it failed."""


def browser() -> str | None:
    """Find a browser that prints without a window."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def print_to_pdf(page: Path, out: Path) -> Path:
    """Print a page.

    Parameters
    ----------
    page
        The HTML file.
    out
        The PDF; replaced only when the new one is whole.

    Raises
    ------
    NoBrowser
        None is installed, or it gave no PDF.
    """
    found = browser()
    if found is None:
        raise NoBrowser(
            f"a PDF needs one of {', '.join(BROWSERS[:3])} and there is none here; install one, or print {page} from "
            "another browser"
        )
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "page.pdf"
        command = [
            found, "--headless", "--disable-gpu", "--no-sandbox", "--no-pdf-header-footer",
            f"--user-data-dir={folder}/profile", f"--print-to-pdf={made}", page.resolve().as_uri(),
        ]  # fmt: skip
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoBrowser(f"{found} could not print {page}: {error}") from error
        if not made.exists() or not made.read_bytes().startswith(b"%PDF"):
            said = ended.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            raise NoBrowser(f"{found} made no PDF of {page}: {said[0]}")
        write_bytes(out, made.read_bytes())
    return out
