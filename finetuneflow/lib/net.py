"""Addresses and headers of HTTP, read strictly. Nothing here opens a connection."""

import email.utils
import ipaddress
import time

import httpx


def api_address(base_url: str) -> str:
    """Return an OpenAI-compatible address with /v1 at its end.

    Raises `ValueError` when `base_url` is no web address.
    """
    address = base_url.strip().rstrip("/")
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise ValueError(f"{address!r} is no web address.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{address!r} is no web address.")
    return address if address.endswith("/v1") else f"{address}/v1"


def is_loopback(address: str) -> bool:
    """True when the address leads to this machine."""
    host = httpx.URL(address).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def without_password(address: str) -> str:
    """Return the address as it may be shown: without a user's name and password in it."""
    return str(httpx.URL(address).copy_with(username="", password=""))


def retry_after_seconds(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header: a number, or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
