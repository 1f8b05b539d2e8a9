"""The way to an endpoint, the same for every client: which proxy, and whose certificates are trusted."""

from __future__ import annotations

import ipaddress
import os
import ssl
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi

from grading.errors import UserError
from grading.keys import redact

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")  # files or folders of certificates


def proxy_of(url: str) -> str | None:
    """The environment's proxy for `url`: HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, unless NO_PROXY names the host.

    UserError for a proxy that is not an HTTP proxy. aiohttp's `trust_env` would look into ~/.netrc at each
    request.
    """
    parts = urlsplit(url)
    host, known = parts.hostname or "", getproxies()
    proxy = known.get(parts.scheme) or known.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]) or _in_network(host, known.get("no", "")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        name = f"{parts.scheme.upper()}_PROXY" if known.get(parts.scheme) else "ALL_PROXY"
        raise UserError(
            f"The proxy in {name} is a {urlsplit(proxy).scheme} proxy: set {name} to an http:// address, or add "
            f"{host} to NO_PROXY."
        )
    return proxy


def trusted(url: str) -> ssl.SSLContext | bool:
    """The certificates of the system, of certifi, and of the variables that name further ones."""
    if urlsplit(url).scheme != "https":
        return True  # not used, and making a context takes time
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    for name in _BUNDLES:
        if path := os.environ.get(name):
            try:
                context.load_verify_locations(**{"capath" if Path(path).is_dir() else "cafile": path})
            except OSError as error:
                raise UserError(
                    f"The certificates {path} ({name}) cannot be read ({error.strerror or error}): name a PEM "
                    "file or unset the variable."
                ) from error
    return context


def fault_of(error: BaseException) -> str:
    """The fault of certificate or proxy, with advice; empty if an error is about neither."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            f"its certificate is not trusted ({redact(str(error.certificate_error))[:200]}): name the file of its "
            "authority with SSL_CERT_FILE"
        )
    if isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return (
            f"the proxy of the environment fails ({redact(str(error))[:200]}): set HTTP_PROXY or HTTPS_PROXY to a "
            "working one, or add the host to NO_PROXY"
        )
    return ""


def refuse_of_proxy(response: aiohttp.ClientResponse) -> None:
    """Raise aiohttp's error if the reply is from the proxy, which requires a login, and not from the endpoint."""
    if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        raise aiohttp.ClientHttpProxyError(
            response.request_info, response.history, status=response.status, message=response.reason or ""
        )


def _in_network(host: str, bypass: str) -> bool:
    """Whether `host` is an address in one of the networks that NO_PROXY names."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        for one in bypass.split(","):
            with suppress(ValueError):
                if "/" in one and address in ipaddress.ip_network(one.strip(), strict=False):
                    return True
    return False
