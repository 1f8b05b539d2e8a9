"""Opens the store where it is."""

from __future__ import annotations

from pathlib import Path

from grading.errors import UserError
from grading.home import StorePlace
from grading.store.database import Database
from grading.store.sqlite import SqliteDatabase


def open_database(place: StorePlace) -> Database:
    """The store with its tables up to date; a file is made when it is not there, and tables on a server, too."""
    if isinstance(place, Path):
        return SqliteDatabase(place)
    try:
        from grading.store.postgres import PostgresDatabase
    except ImportError as error:
        raise UserError(
            f'The verdict store {place} needs the package psycopg: type `pip install "skillmix-tasks[postgres]"`.'
        ) from error
    return PostgresDatabase(place)
