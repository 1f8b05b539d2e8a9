"""Fixtures around ChatServer and PostgreSQL."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from openai import DefaultHttpxClient, OpenAI

from grading.home import StorePlace
from tests.servers.chat import ChatServer
from tests.servers.postgres import PostgresServer, programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def _shared_chat_server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


@pytest.fixture
def chat_server(_shared_chat_server: ChatServer) -> ChatServer:
    """A chat server with default behaviour and nothing received; its process is shared, for speed."""
    _shared_chat_server.start()  # in case a test stopped it
    _shared_chat_server.reset()
    return _shared_chat_server


@pytest.fixture
def chat_client(chat_server: ChatServer) -> Iterator[OpenAI]:
    """A client of `chat_server` that tries once."""
    # Plain HTTP needs no certificates, and loading them takes most of a client's making.
    http = DefaultHttpxClient(verify=False, trust_env=False)
    base_url = chat_server.base_url
    with OpenAI(base_url=base_url, api_key="test", max_retries=0, timeout=10, http_client=http) as client:
        yield client


@pytest.fixture
def new_chat_server() -> Iterator[Callable[..., ChatServer]]:
    """Start further servers, each with the behaviour given to the call; all end with the test."""
    with ExitStack() as stack:

        def start(**behaviour: Any) -> ChatServer:
            return stack.enter_context(ChatServer(**behaviour))

        yield start


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of this process: it takes a second or two to make."""
    if programs() is None:
        pytest.skip("needs PostgreSQL's programs: apt-get install postgresql")
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> StorePlace:
    """Where an empty store is to be: each test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return tmp_path / "verdicts.sqlite"
    store: StorePlace = request.getfixturevalue("postgres").new_store()
    return store
