"""System checks that stop a start which could lose data later."""

import tempfile

from django.conf import settings
from django.core.checks import Error, Tags, register
from django.db import OperationalError, connection


@register()
def data_folder_is_writable(app_configs, **kwargs) -> list[Error]:
    try:
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.DATA_DIR):
            return []
    except OSError as error:
        return [
            Error(
                f"The data folder {settings.DATA_DIR} cannot be written: {error.strerror}.",
                hint="Set FTF_DATA_DIR to a folder that this user may write.",
                id="finetuneflow.E001",
            )
        ]


@register(Tags.database)
def sqlite_takes_concurrent_writers(app_configs, databases=None, **kwargs) -> list[Error]:
    """WAL and IMMEDIATE: without them two writers fail at once with "database is locked"."""
    if connection.vendor != "sqlite" or not databases:
        return []
    errors = []
    if connection.settings_dict["OPTIONS"].get("transaction_mode") != "IMMEDIATE":
        errors.append(Error("SQLite must use transaction_mode IMMEDIATE.", id="finetuneflow.E002"))
    try:
        with connection.cursor() as cursor:
            mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
    except OperationalError as error:
        hint = (
            "DATABASE_URL (or FTF_DATA_DIR) must point into a folder that exists and is writable."
        )
        return [*errors, Error(f"SQLite: {error}.", hint=hint, id="finetuneflow.E004")]
    if mode not in {"wal", "memory"}:
        errors.append(
            Error(
                f"SQLite is in journal mode {mode!r}, not WAL.",
                hint="Put the data folder on a local disk; network file systems cannot do WAL.",
                id="finetuneflow.E003",
            )
        )
    return errors
