"""The places of data that must outlive a run."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from grading.errors import UserError
from grading.keys import register_argument_keys, register_keys

STORE = "SKILLMIX_STORE"
# The part before the host's name, and parameters, may hold a password and are not shown. The form is strict: in
# an address with a sign too many, any part could be a piece of a password.
_ADDRESS = re.compile(
    r"postgres(?:ql)?://(?:(?:[^@/?#%\s]|%[\da-fA-F]{2})*@)?"
    r"(?P<shown>(?:[\w.,-]|%[\da-fA-F]{2}|:(?=\d)|\[[\da-fA-F:.]+\])*(?:/(?:[\w.-]|%[\da-fA-F]{2})*)?)"
    r"(?:\?(?:[^@?#%\s]|%[\da-fA-F]{2})*)?"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Server:
    """A database of a PostgreSQL server; its address may hold a password and is never shown."""

    address: str = field(repr=False)

    def __post_init__(self) -> None:
        if _ADDRESS.fullmatch(self.address):
            with suppress(ValueError):  # of brackets around something that is not an IPv6 address
                register_keys(unquote(urlsplit(self.address).password or ""))
                register_argument_keys({"address": self.address})
                return
        raise UserError(
            "The address of the verdict store does not have the form postgresql://USER@HOST:PORT/DATABASE (it is "
            f"not shown, as it may hold a password): fix it in {STORE}, with %40, %2F, %3F and %23 for @, /, ? "
            "and # in a password, or leave the password to PGPASSWORD or ~/.pgpass."
        )

    def __str__(self) -> str:
        """The address without user, password and parameters."""
        found = _ADDRESS.fullmatch(self.address)
        return f"postgresql://{found['shown'] if found else ''}"


StorePlace = Path | Server


def named_store(name: str) -> StorePlace:
    """The store that an option names: a file, or a server without its password, which others could see there."""
    if "://" not in name:
        return Path(name)
    server = Server(name)
    if re.search(r"password\s*=", name) or urlsplit(name).password is not None:
        raise UserError(
            "A password in an option can be seen by every user of this machine: leave it out of the address, and "
            "set PGPASSWORD or write ~/.pgpass."
        )
    return server


def home() -> Path:
    """The folder of answers and verdicts: SKILLMIX_HOME, or .skillmix in the user's home."""
    return Path(os.environ.get("SKILLMIX_HOME") or Path.home() / ".skillmix")


def verdict_store() -> StorePlace:
    """The place of the verdict store: the server that SKILLMIX_STORE names, or a file in `home`."""
    address = os.environ.get(STORE)
    return Server(address) if address else home() / "verdicts.sqlite"


def remember_own(record: bytes) -> None:
    """Note that a run of this user wrote `record`, so that later commands follow the names in it; see `is_own`."""
    mark = _mark(record)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        logger.warning(
            "%s cannot be written (%s): later commands will not recognise this run's files as yours, and will "
            "require --trust-file.",
            mark.parent,
            error.strerror,
        )


def is_own(record: bytes) -> bool:
    """Whether a run with this folder of answers and verdicts wrote `record`, byte for byte."""
    return _mark(record).is_file()


def _mark(record: bytes) -> Path:
    return home() / "own" / hashlib.sha256(record.strip()).hexdigest()
