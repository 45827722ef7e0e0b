"""A simulated microscope that cannot be ends `epicycle run` in one sentence and exit code 2, before a night begins."""

import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

CASSETTE = "slots:\n  - {slot: 1, name: one, hole_type: R5/2, mesh: '300'}\n"
SHIPPED = resources.files("epicycle.hardware.simulator") / "profiles" / "demo-2k.yaml"
BIG = (
    "presets:\n  exposure: {level: exposure, magnification: 1000, pixel_size_a: 1.0, rows_px: 4096, cols_px: 4096, "
    "exposure_s: 1.0, dose_e_per_a2: 10.0}\n"
)


@pytest.mark.parametrize(
    ("profile", "options", "more", "says"),
    [
        (("  error_um: ", "  eror_um: 1.0\n  error_um: "), "profile: PROFILE", "", "eror_um"),
        (("  stage_um_per_s: 100", "  stage_um_per_s: -100"), "profile: PROFILE", "", "stage_um_per_s"),
        (("  rows_px: 2048", "  rows_px: 1024"), "profile: PROFILE", "", "the camera has 1024 × 2048"),
        (None, "faults: [{kind: gremlins, at: {slot: 1}}]", "", "faults.0.kind"),
        (None, "faults: [{kind: focus-fails, at: {call: lode, number: 1}}]", "", "there is no call lode"),
        (None, "profile: demo-2k", BIG, "camera has 2048 × 2048"),
    ],
)
def test_it_is_said_before_the_night(
    tmp_path: Path, profile: tuple[str, str] | None, options: str, more: str, says: str
) -> None:
    if profile is not None:
        text = SHIPPED.read_text(encoding="utf-8")
        assert profile[0] in text
        (tmp_path / "own.yaml").write_text(text.replace(*profile, 1), encoding="utf-8")
    (tmp_path / "cassette.yaml").write_text(CASSETTE)
    microscope = options.replace("PROFILE", str(tmp_path / "own.yaml"))
    (tmp_path / "plan.yaml").write_text(f"name: x\nmicroscope:\n  use: sim\n  options: {{{microscope}}}\n{more}")
    given = [
        "--cassette",
        tmp_path / "cassette.yaml",
        "--protocol",
        tmp_path / "plan.yaml",
        "--out",
        tmp_path / "night",
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "epicycle.cli", "run", *map(str, given)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
        timeout=55,
    )
    assert ended.returncode == 2, (ended.stdout, ended.stderr)
    assert "Traceback" not in ended.stderr + ended.stdout
    assert says in ended.stderr, ended.stderr
