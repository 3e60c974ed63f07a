"""Test set-up: a data folder of its own, and the environment for processes that tests start."""

import atexit
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
_data = tempfile.mkdtemp(prefix="ftf-test-")
atexit.register(shutil.rmtree, _data, ignore_errors=True)
os.environ["FTF_MODELS_DIR"] = os.environ.get("FTF_MODELS_DIR") or str(ROOT / "data" / "models")
os.environ["FTF_DATA_DIR"] = _data
# Here and not in pyproject.toml: from there the settings would be read before this file.
os.environ["DJANGO_SETTINGS_MODULE"] = "finetuneflow.settings"
os.environ["FTF_RATE_LIMIT_PER_MINUTE"] = "0"
for name in ("LOGIN", "UPLOAD", "PREVIEW", "START"):
    os.environ[f"FTF_{name}_LIMIT_PER_MINUTE"] = "0"
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright's sync API runs an event loop.
for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OLLAMA_API_KEY", "FTF_LLM_MODEL"):
    os.environ.pop(name, None)


def pytest_configure() -> None:
    """Read the settings only now, with the environment above."""
    import django
    from django.contrib.auth.hashers import PBKDF2PasswordHasher

    django.setup()
    # Parallel test processes would inherit the name and read the settings before this file.
    del os.environ["DJANGO_SETTINGS_MODULE"]
    # A third of a second per user otherwise; other processes can still check the password.
    PBKDF2PasswordHasher.iterations = 1


@pytest.fixture
def user(django_user_model, db):
    return django_user_model.objects.create_user("ada", password="correct horse battery")


@pytest.fixture
def stranger(django_user_model, db):
    return django_user_model.objects.create_user("eve", password="correct horse battery")


@pytest.fixture
def project(user):
    from projects import services

    return services.create_project(owner=user, name="Handbook")


@pytest.fixture
def model_dir() -> Path:
    """The bundled model's folder; its absence is a failure, never a skip."""
    path = Path(os.environ["FTF_MODELS_DIR"]) / "SmolLM2-135M-Instruct"
    assert (path / "model.safetensors").is_file(), "Run `make model` first: the model is missing."
    return path


@pytest.fixture
def unused_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def process_env() -> dict:
    """The environment for a `manage.py` process that shall see the test's database and folders.

    The test needs `@pytest.mark.django_db(transaction=True)`: other processes see only commits.
    """
    from django.db import connection

    values = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{values['NAME']}"
    else:
        host, port = values["HOST"] or "127.0.0.1", values["PORT"] or 5432
        url = f"postgres://{values['USER']}:{values['PASSWORD']}@{host}:{port}/{values['NAME']}"
    return os.environ | {"DATABASE_URL": url, "PYTHONUNBUFFERED": "1", "PYTHON": sys.executable}
