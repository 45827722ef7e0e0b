"""Who may ask the server: programs on this machine, or whoever knows the token; never a web page.

A browser sends ``Origin`` with every request that a page makes across sites, and a page that has its own name resolve
to this machine sends that name as ``Host``. No program that calls finders does either.
"""

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """The rule. Without a token only requests addressed to this machine by a loopback name are heeded."""

    token: str | None

    def refusal(self, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Give status and sentence for a request that is refused, None for one that is heeded."""
        if headers.get("origin") is not None:
            return 403, "requests of web pages are not heeded; ask from a program"
        if self.token is None:
            host = headers.get("host", "").rsplit(":", 1)[0].strip("[]")
            return None if is_loopback(host) else (403, f"the server answers to this machine only, not as {host!r}")
        if _given(headers.get("authorization", ""), self.token):
            return None
        return 401, "give the token, as 'Authorization: Bearer TOKEN' or as password in the URL"


def is_loopback(host: str) -> bool:
    """Tell whether a name or address is this machine's own and nobody else's."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _given(authorization: str, token: str) -> bool:
    """Compare in constant time; Basic carries the token as password: a URL is all that some clients let one set."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif kind.lower() != "bearer":
        return False
    return hmac.compare_digest(value.encode(), token.encode())
