import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_CODE = {"tests", "benchmarks", "docs", "examples", "build", "dist", "nights"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def packages_on_disk() -> set[str]:
    found = {"epicycle"}
    for init in ROOT.rglob("__init__.py"):
        parts = init.parent.relative_to(ROOT).parts
        if parts and not parts[0].startswith(".") and parts[0] not in NOT_CODE:
            found.add(".".join(("epicycle", *parts)))
    return found


def test_the_packages_listed_are_those_on_disk() -> None:
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages_on_disk()


def test_no_code_lies_at_the_root() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py"}


def test_every_data_file_beside_code_is_shipped() -> None:
    listed = PROJECT["tool"]["setuptools"]["package-data"]
    for package in packages_on_disk() - {"epicycle"}:
        folder = ROOT / Path(*package.split(".")[1:])
        shipped = {path for pattern in listed.get(package, ()) for path in folder.glob(pattern)}
        below = {path for path in folder.rglob("*") if path.suffix in (".yaml", ".j2", ".mako")}
        own = {path for path in below if _package_of(path) == folder}
        assert own <= shipped, sorted(map(str, own - shipped))


def _package_of(path: Path) -> Path:
    return next(parent for parent in path.parents if (parent / "__init__.py").exists())


def test_every_file_of_code_says_what_it_is() -> None:
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).parts
        if parts[0].startswith(".") or parts[0] in NOT_CODE:
            continue
        assert path.read_text(encoding="utf-8").startswith(('"""', 'r"""')), path


def test_bare_names_of_our_folders_are_banned() -> None:
    banned = set(PROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"])
    tops = {package.split(".")[1] for package in packages_on_disk() - {"epicycle"}} | {"cli"}
    assert tops <= banned
