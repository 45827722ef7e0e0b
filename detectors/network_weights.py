"""Weights of this project's own networks as safetensors: tensors and a few words of text, never code.

Shipped weights lie in ``weights/`` beside this module, each with its model card; a person's own lie where training
wrote them. The words say of which architecture they are, so that weights of another are refused with a reason.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..protocols.errors import BadInput

if TYPE_CHECKING:
    from torch import nn

SHIPPED = Path(__file__).parent / "weights"


def missing_libraries() -> str:
    """Say which library that runs networks is not installed; empty when all are there."""
    return " and ".join(name for name in ("torch", "safetensors") if find_spec(name) is None)


def shipped(name: str) -> Path:
    """Give the path at which weights of this name are shipped, whether or not they are there."""
    return SHIPPED / f"{name}.safetensors"


def save(network: "nn.Module", path: Path, architecture: str, said: Mapping[str, str] | None = None) -> None:
    """Write a network's tensors whole or not at all, with the name of its architecture."""
    from safetensors.torch import save as packed

    from ..files.atomic import write_bytes

    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, packed(tensors, metadata={**(said or {}), "architecture": architecture}))


def load(network: "nn.Module", path: Path, architecture: str) -> Mapping[str, str]:
    """Fill a network from a file and set it to evaluation mode; answers the words stored with the tensors.

    Raises
    ------
    BadInput
        There is no file, it is damaged or no safetensors file, or it holds weights of another architecture.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise BadInput(f"there are no weights at {path}; train them with `epicycle train`, or name another file")
    try:
        with safe_open(str(path), framework="pt") as file:
            said: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as a safetensors file: {str(error).splitlines()[0]}") from error
    theirs = said.get("architecture", "one that is not named")
    if theirs != architecture:
        raise BadInput(f"{path} holds weights of {theirs}, and {architecture} is needed; name the right file")
    wanted = network.state_dict()
    odd = sorted(wanted.keys() ^ tensors.keys()) or [n for n in wanted if wanted[n].shape != tensors[n].shape]
    if odd:
        raise BadInput(f"{path} does not hold the tensors of {architecture}: {odd[0]} and {len(odd) - 1} more differ")
    network.load_state_dict(tensors, strict=True)
    network.eval().requires_grad_(False)
    return said
