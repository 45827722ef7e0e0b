"""The HTTP application: one request at a time, of bounded size, received and answered in bounded time.

Bodies are read here and not by FastAPI's own models: Leginon's handler sends JSON without saying so in a header, and a
body must be refused before it has filled the memory.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError

from ...protocols.errors import EpicycleError
from .access import Access
from .finding import TookTooLong
from .session import ASKED, POSTED, Nothing, Session

RECEIVED_WITHIN_S = 60.0
"""Time for a body to arrive: 128 MB at 20 Mbit/s."""


class _Refused(Exception):
    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def application(session: Session, access: Access, most_bytes: int) -> FastAPI:
    """Make the application.

    Parameters
    ----------
    session
        What the requests act on; they take turns, so there is never more than one image in memory.
    access
        Who may ask.
    most_bytes
        Size from which on a body is refused.
    """
    app = FastAPI(title="epicycle detectors", docs_url=None, redoc_url=None, openapi_url=None)
    turn = asyncio.Lock()

    @app.middleware("http")
    async def guarded(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        refusal = access.refusal(request.headers)
        if refusal is None:
            return await call_next(request)
        headers = {"WWW-Authenticate": "Basic"} if refusal[0] == 401 else None
        return JSONResponse({"detail": refusal[1]}, refusal[0], headers)

    async def posted(request: Request) -> Response:
        model, act = POSTED[request.url.path.strip("/")]

        async def answer() -> Response:
            body = await _body(request, most_bytes)
            return await run_in_threadpool(_acted, session, act, lambda: model.model_validate(_json(body)))

        return await _in_turn(turn, answer)

    async def asked(request: Request) -> Response:
        act = ASKED[request.url.path.strip("/")]
        return await _in_turn(turn, lambda: run_in_threadpool(_acted, session, act, Nothing))

    for name in POSTED:
        app.add_api_route(f"/{name}", posted, methods=["POST"], response_model=None)
    for name in ASKED:
        app.add_api_route(f"/{name}", asked, methods=["GET"], response_model=None)
    return app


async def _in_turn(turn: asyncio.Lock, answer: Callable[[], Awaitable[Response]]) -> Response:
    async with turn:
        try:
            return await answer()
        except _Refused as error:
            return JSONResponse({"detail": str(error)}, error.status)


async def _body(request: Request, most_bytes: int) -> bytes:
    """Read the body; keep no more of it than is allowed. The rest is let pass, else the client would not hear why."""
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(RECEIVED_WITHIN_S):
            async for part in request.stream():
                size += len(part)
                if size <= most_bytes:
                    body += part
    except TimeoutError:
        raise _Refused(408, f"the request did not arrive within {RECEIVED_WITHIN_S:g} s") from None
    if size > most_bytes:
        raise _Refused(413, f"the request is larger than {most_bytes} bytes; send a smaller or a binned image")
    return bytes(body)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise _Refused(400, "the request is no JSON") from None


def _acted(session: Session, act: Callable[[Session, Any], Any], asked: Callable[[], Any]) -> Response:
    """Do what is asked and answer in JSON; what cannot be done is a sentence."""
    try:
        return JSONResponse(_plain(act(session, asked())))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the request"
        raise _Refused(422, f"{where}: {first['msg']}") from None
    except TookTooLong as error:
        raise _Refused(503, str(error)) from None
    except EpicycleError as error:
        raise _Refused(422, str(error)) from None


def _plain(answer: Any) -> Any:
    """JSON has no word for what is no number."""
    if isinstance(answer, float):
        return answer if math.isfinite(answer) else None
    if isinstance(answer, list):
        return [_plain(part) for part in answer]
    return {name: _plain(part) for name, part in answer.items()} if isinstance(answer, dict) else answer
