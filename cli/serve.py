"""`epicycle serve-detectors`: the finders for Leginon, over HTTP."""

import secrets
import socket
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ..protocols.errors import BadInput
from .terminal import console

if TYPE_CHECKING:
    from ..detectors.serving.finding import Finders

_MEGABYTE = 1024 * 1024
_AT_ONCE = 128


def serve_detectors(
    host: Annotated[str, typer.Option(help="Address to listen at; another than this machine's own needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any that is free.")] = 8000,
    state: Annotated[Path, typer.Option(help="Folder for what is remembered; the only one read and written.")] = (
        Path("detector-state")
    ),
    squares: Annotated[str, typer.Option(help="Plug-in that finds squares.")] = "mixture-squares",
    holes: Annotated[str, typer.Option(help="Plug-in that finds holes.")] = "lattice-holes",
    weights: Annotated[Path | None, typer.Option(help="Folder of the weights, for finders that need them.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File whose first line is the token to ask for.")] = None,
    most_mb: Annotated[int, typer.Option(min=1, max=1024, help="Largest request, MB.")] = 128,
    most_s: Annotated[float, typer.Option(min=1, help="Longest search, seconds.")] = 120.0,
) -> None:
    """Answer Leginon's Ptolemy handler: squares, holes, and which square to visit next."""
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise BadInput("serve-detectors needs FastAPI and uvicorn; pip install epicycle[serve]")
    import uvicorn

    from ..detectors.serving.access import Access, is_loopback
    from ..detectors.serving.app import application
    from ..detectors.serving.finding import Looking
    from ..detectors.serving.session import Session

    make = partial(_finders, squares, holes, weights)
    make()  # what is wrong with names or weights is said here, not at the first request
    token = _token(token_file, is_loopback(host))
    looking = Looking(make, most_s)
    session = Session.in_folder(state, looking)
    listening = _socket(host, port)
    _tell(host, listening.getsockname()[1], state.resolve(), token if token_file is None else None)
    app = application(session, Access(token), most_mb * _MEGABYTE)
    config = uvicorn.Config(app, log_level="warning", timeout_keep_alive=30, limit_concurrency=_AT_ONCE)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        looking.close()


def _finders(squares: str, holes: str, weights: Path | None) -> "Finders":
    """Make both finders; runs in the searching process too."""
    from ..detectors.serving.finding import Finders
    from ..orchestrator import plugins

    def made(name: str) -> Any:
        options = {"weights": weights} if weights is not None and name.startswith("ptolemy-") else {}
        return plugins.load("epicycle.detectors", name)(options)

    return Finders(made(squares), made(holes))


def _token(path: Path | None, own: bool) -> str | None:
    """Give the token to ask for: that of the file, none on this machine alone, a new one elsewhere."""
    if path is None:
        return None if own else secrets.token_urlsafe(24)
    token = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    if len(token) < 16:
        raise BadInput(f"the first line of {path} is no token: it needs 16 characters at least")
    return token


def _socket(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        why = error.strerror or str(error)
        raise BadInput(f"cannot listen at {host}:{port} ({why}); choose another with --host and --port") from error


def _tell(host: str, port: int, state: Path, token: str | None) -> None:
    from ..detectors.serving.access import is_loopback

    lines = [f"detectors at http://{host}:{port}, state in {state}"]
    if not is_loopback(host):
        lines += [
            "Others can reach this address. Whoever knows the token may have images searched, and read and change the "
            "state; nothing else on this machine is open to them. What is sent is not encrypted: use it within a "
            "network that you trust."
        ]
    if token is not None and not is_loopback(host):
        lines += [f"token: {token}", f"in Leginon's ptolemy.cfg: url: http://leginon:{token}@{host}"]
    for line in lines:
        console.print(escape(line), soft_wrap=True, highlight=False)
