"""The checks that stop a start, and SQLite under many writers at once."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from finetuneflow import checks
from projects.tests.threads import at_once

ROOT = Path(__file__).resolve().parents[2]


def ids(found):
    return [error.id for error in found]


def test_a_writable_data_folder_is_made_and_passes(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "new" / "folder"
    assert checks.data_folder_is_writable(None) == []
    assert list(settings.DATA_DIR.iterdir()) == []


@pytest.mark.parametrize("folder", ["/dev/null/data", "/proc/data"])
def test_a_data_folder_that_cannot_be_written_is_an_error_that_names_its_variable(settings, folder):
    settings.DATA_DIR = Path(folder)
    (error,) = checks.data_folder_is_writable(None)
    assert error.id == "finetuneflow.E001"
    assert folder in error.msg and "FTF_DATA_DIR" in error.hint


def test_the_command_line_stops_at_a_data_folder_that_cannot_be_written(process_env):
    process_env |= {"FTF_DATA_DIR": "/dev/null/data", "SECRET_KEY": "given"}
    process_env.pop("DATABASE_URL")
    for command in (["check"], ["setup"]):
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            env=process_env,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode != 0
        assert "finetuneflow.E001" in done.stderr
        assert "Traceback" not in done.stderr


sqlite_only = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="about SQLite alone")


@pytest.mark.django_db
def test_the_database_of_the_settings_passes():
    assert checks.sqlite_takes_concurrent_writers(None, databases=["default"]) == []


@pytest.mark.django_db
@sqlite_only
def test_sqlite_without_immediate_transactions_is_an_error(monkeypatch):
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "transaction_mode", "DEFERRED")
    found = checks.sqlite_takes_concurrent_writers(None, databases=["default"])
    assert ids(found) == ["finetuneflow.E002"]


@sqlite_only
def test_sqlite_without_wal_is_an_error(tmp_path, monkeypatch, django_db_blocker):
    path = tmp_path / "db.sqlite3"
    with sqlite3.connect(path) as plain:
        plain.execute("PRAGMA journal_mode=DELETE")
        plain.execute("CREATE TABLE t (a)")
    other = connection.copy()
    other.settings_dict = other.settings_dict | {"NAME": str(path)}
    options = dict(other.settings_dict["OPTIONS"])
    del options["init_command"]
    other.settings_dict["OPTIONS"] = options
    monkeypatch.setattr(checks, "connection", other)
    with django_db_blocker.unblock():
        found = checks.sqlite_takes_concurrent_writers(None, databases=["default"])
        other.close()
    assert ids(found) == ["finetuneflow.E003"]
    assert "local disk" in found[0].hint


@sqlite_only
def test_an_sqlite_file_in_a_missing_folder_is_an_error_and_no_traceback(
    tmp_path, monkeypatch, django_db_blocker
):
    other = connection.copy()
    other.settings_dict = other.settings_dict | {"NAME": str(tmp_path / "missing" / "db")}
    monkeypatch.setattr(checks, "connection", other)
    with django_db_blocker.unblock():
        found = checks.sqlite_takes_concurrent_writers(None, databases=["default"])
    assert ids(found) == ["finetuneflow.E004"]
    assert "DATABASE_URL" in found[0].hint


def add_to_counter(pk, times):
    """Read, then write what was read plus one: the pattern that DEFERRED transactions lose."""
    for _ in range(times):
        with transaction.atomic():
            user = User.objects.select_for_update().get(pk=pk)
            user.last_name = str(int(user.last_name) + 1)
            user.save(update_fields=["last_name"])


@pytest.mark.django_db(transaction=True)
def test_many_threads_that_read_and_write_one_row_lose_nothing():
    user = User.objects.create(username="counter", last_name="0")
    results = at_once(*[lambda: add_to_counter(user.pk, 50)] * 8)
    assert results == [None] * 8
    user.refresh_from_db()
    assert user.last_name == "400"


WRITER = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "finetuneflow.settings"
django.setup()
from finetuneflow.tests.test_checks import add_to_counter
sys.stdin.read()
add_to_counter(int(sys.argv[1]), 60)
"""


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_many_processes_that_read_and_write_one_row_lose_nothing(process_env):
    user = User.objects.create(username="counter", last_name="0")
    command = [sys.executable, "-c", WRITER, str(user.pk)]
    options = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT}
    processes = [subprocess.Popen(command, env=process_env, **options) for _ in range(3)]
    for process in processes:  # All are waiting at the line: let them go together.
        process.stdin.close()
    errors = [process.stderr.read() for process in processes]
    assert [process.wait() for process in processes] == [0] * 3, errors
    user.refresh_from_db()
    assert user.last_name == "180"
