"""Plug-ins come by entry points, with clear errors."""

import sys
from pathlib import Path

import pytest

from epicycle.orchestrator import plugins
from epicycle.protocols.errors import BadInput


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Install a distribution with one entry point, without pip: a folder with metadata on the path."""

    def install(distribution: str, entry: str, code: str = "") -> None:
        site = tmp_path / distribution
        metadata = site / f"{distribution}-2.5.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.5\n")
        (metadata / "entry_points.txt").write_text(entry)
        (site / f"{distribution}_code.py").write_text(code)
        monkeypatch.syspath_prepend(str(site))

    return install


def test_built_ins_come_by_the_same_door() -> None:
    assert {"first-come", "random", "cluster-sampling", "group-sampling"} <= set(plugins.names("epicycle.policies"))
    policy = plugins.load("epicycle.policies", "first-come")({})
    assert (policy.name, policy.version) == ("first-come", "1")
    assert plugins.versions()["policies/first-come"].startswith("epicycle ")


def test_somebody_elses_plug_in_is_found_with_its_version(installed) -> None:  # type: ignore[no-untyped-def]
    installed(
        "theirs", "[epicycle.policies]\ntheir-way = theirs_code:make\n", "def make(options):\n    return options\n"
    )
    assert "their-way" in plugins.names("epicycle.policies")
    assert plugins.load("epicycle.policies", "their-way")({"a": 1}) == {"a": 1}
    assert plugins.versions()["policies/their-way"] == "theirs 2.5"


def test_nothing_is_imported_before_it_is_asked_for(installed) -> None:  # type: ignore[no-untyped-def]
    installed("lazy", "[epicycle.detectors]\nlazy = lazy_code:make\n", "raise RuntimeError('imported')\n")
    assert "lazy" in plugins.names("epicycle.detectors")
    plugins.versions()
    assert "lazy_code" not in sys.modules


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        BadInput, match=r"No plug-in named 'gp' among the policies. Known: .*cluster-sampling, .*random"
    ):
        plugins.load("epicycle.policies", "gp")


def test_an_unknown_group_lists_the_groups() -> None:
    with pytest.raises(BadInput, match=r"Known: epicycle\.microscopes, epicycle\.detectors, epicycle\.policies\."):
        plugins.names("policies")


def test_two_of_one_name_are_an_error_that_names_both(installed) -> None:  # type: ignore[no-untyped-def]
    installed("rival", "[epicycle.policies]\nrandom = rival_code:make\n", "def make(options): ...\n")
    with pytest.raises(BadInput, match=r"Two plug-ins are named 'random' .*epicycle .* and rival 2\.5"):
        plugins.load("epicycle.policies", "random")
    assert plugins.names("epicycle.policies").count("random") == 1


@pytest.mark.parametrize(
    ("entry", "code", "said"),
    [
        ("gone_code_missing:make", "", "cannot be imported: No module named"),
        ("gone_code:make", "", "cannot be imported: module 'gone_code' has no attribute 'make'"),
        (
            "gone_code:make",
            "import nowhere_to_be_found\n",
            "from gone 2.5, cannot be imported: No module named 'nowhere",
        ),
        ("gone_code:make", "make = 3\n", "is not a factory that can be called"),
    ],
)
def test_a_broken_plug_in_says_whose_it_is(installed, entry: str, code: str, said: str) -> None:  # type: ignore[no-untyped-def]
    installed("gone", f"[epicycle.microscopes]\ngone = {entry}\n", code)
    sys.modules.pop("gone_code", None)
    with pytest.raises(BadInput, match=said):
        plugins.load("epicycle.microscopes", "gone")
