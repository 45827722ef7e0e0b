"""Looking at a night must not wait for what only running, or simulating, one needs."""

import subprocess
import sys

HEAVY = ("numpy", "scipy", "matplotlib", "cv2", "sqlalchemy", "epicycle.hardware", "epicycle.orchestrator")


def test_the_command_line_alone_loads_nothing_heavy() -> None:
    code = f"import epicycle.cli, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=55)
    assert loaded.stdout.strip() == "[]"
