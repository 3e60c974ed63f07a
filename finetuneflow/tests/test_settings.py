"""The start: wrong settings stop it and are named; secrets are generated once and never shown."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOW = "import json; from finetuneflow import settings as s; print(json.dumps({}))"


def start(data_dir, code="import finetuneflow.settings", **variables):
    """Import the settings in a process of its own, with only these variables."""
    environment = {"PATH": os.environ["PATH"], "FTF_DATA_DIR": str(data_dir)} | variables
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True
    )


def shown(data_dir, expression, **variables):
    done = start(data_dir, SHOW.format(expression), **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


WRONG = {
    "FTF_DEBUG": "perhaps",
    "FTF_HTTPS": "2",
    "TZ": "Mars/Olympus",
    "DATABASE_URL": "mysql://db/ftf",
    "FTF_RATE_LIMIT_PER_MINUTE": "-1",
    "FTF_LOGIN_LIMIT_PER_MINUTE": "few",
    "FTF_LOGIN_FAILURES": "-1",
    "FTF_LOGIN_PAUSE_MINUTES": "0",
    "FTF_UPLOAD_LIMIT_PER_MINUTE": "many",
    "FTF_PREVIEW_LIMIT_PER_MINUTE": "-1",
    "FTF_START_LIMIT_PER_MINUTE": "1.5",
    "FTF_MAX_UPLOAD_MB": "0",
    "FTF_PROJECT_QUOTA_MB": "1.5",
    "FTF_MIN_FREE_MB": "-5",
    "FTF_EXTRACT_MEMORY_MB": "64",
    "FTF_EXTRACT_SECONDS": "0",
    "FTF_LLM_TIMEOUT_SECONDS": "nan",
    "FTF_LLM_CONCURRENCY": "65",
    "FTF_STOP_SECONDS": "0",
    "FTF_DEFAULT_WORKERS": "33",
    "FTF_LOG_LEVEL": "LOUD",
    "FTF_LOG_FORMAT": "xml",
    "FTF_DATA_DIR": "/dev/null/data",
    "SECRET_KEY_FILE": "/nowhere/key",
    "DATABASE_URL_FILE": "/nowhere/url",
    "OLLAMA_API_KEY_FILE": "/nowhere/key",
    "OPENAI_API_KEY_FILE": "/dev/null",
    "HF_TOKEN_FILE": "/nowhere/token",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_stops_the_start_and_its_variable_is_named_in_the_last_line(name, tmp_path):
    done = start(tmp_path, **{name: WRONG[name]})
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "ImproperlyConfigured" in last
    assert name in last


def test_the_management_command_stops_with_the_same_last_line(tmp_path):
    code = "import manage, sys; sys.argv = ['manage.py', 'check']; manage.main()"
    done = start(tmp_path, code, FTF_LLM_CONCURRENCY="many")
    assert done.returncode != 0
    assert "FTF_LLM_CONCURRENCY must be a whole number" in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ftf:pa55-w0rd-xyz@db/ftf",
        "postgres://ftf:pa55-w0rd-xyz@db:notaport/ftf",
        "ftf:pa55-w0rd-xyz@db",
        "nonsense://ftf:pa55-w0rd-xyz@[::1/ftf",
    ],
)
def test_a_wrong_database_url_is_refused_without_printing_its_password(url, tmp_path):
    done = start(tmp_path, DATABASE_URL=url)
    assert done.returncode != 0
    assert "DATABASE_URL" in done.stderr.strip().splitlines()[-1]
    assert "pa55" not in done.stderr + done.stdout


def test_the_password_of_an_unreachable_database_is_not_printed(tmp_path):
    code = "import manage, sys; sys.argv = ['manage.py', 'migrate']; manage.main()"
    url = "postgres://ftf:pa55-w0rd-xyz@127.0.0.1:9/ftf?connect_timeout=2"
    done = start(tmp_path, code, DATABASE_URL=url)
    assert done.returncode != 0
    assert "127.0.0.1" in done.stderr
    assert "pa55" not in done.stderr + done.stdout


def test_postgres_is_read_from_the_url_and_from_a_file(tmp_path):
    secret = tmp_path / "url"
    secret.write_text("postgresql://ftf:s%40fe@db:5433/flow\n")
    keys = (
        "{k: s.DATABASES['default'][k] for k in ('ENGINE','NAME','USER','PASSWORD','HOST','PORT')}"
    )
    found = shown(tmp_path, keys, DATABASE_URL_FILE=str(secret))
    assert found == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "flow",
        "USER": "ftf",
        "PASSWORD": "s@fe",
        "HOST": "db",
        "PORT": 5433,
    }


def test_sqlite_in_the_data_folder_is_the_default_with_wal_and_immediate(tmp_path):
    found = shown(tmp_path, "s.DATABASES['default'] | {'CONN': 0}")
    assert found["NAME"] == str(tmp_path / "db.sqlite3")
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in found["OPTIONS"]["init_command"]
    assert found["OPTIONS"]["timeout"] >= 30


def test_the_secret_key_is_generated_once_for_the_owner_alone(tmp_path):
    first = shown(tmp_path, "s.SECRET_KEY")
    assert len(first) >= 50
    assert shown(tmp_path, "s.SECRET_KEY") == first
    path = tmp_path / "secret_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == first


def test_processes_that_start_at_once_agree_on_the_secret_key(tmp_path):
    environment = {"PATH": os.environ["PATH"], "FTF_DATA_DIR": str(tmp_path / "new")}
    code = f"import sys; sys.stdin.read(); {SHOW.format('s.SECRET_KEY')}"
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": ROOT, "env": environment}
    processes = [subprocess.Popen([sys.executable, "-c", code], **pipe) for _ in range(6)]
    for process in processes:  # All are waiting at the line: let them go together.
        process.stdin.close()
    keys = [process.stdout.read() for process in processes]
    assert [process.wait() for process in processes] == [0] * 6
    assert len(set(keys)) == 1 and len(keys[0]) > 50


def test_an_empty_secret_key_file_of_a_crashed_start_is_filled(tmp_path):
    (tmp_path / "secret_key").touch(mode=0o600)
    first = shown(tmp_path, "s.SECRET_KEY")
    assert len(first) >= 50
    assert shown(tmp_path, "s.SECRET_KEY") == first


def test_a_given_secret_key_wins_and_writes_no_file(tmp_path):
    assert shown(tmp_path, "s.SECRET_KEY", SECRET_KEY="given-by-hand") == "given-by-hand"
    assert list(tmp_path.iterdir()) == []


def test_secrets_of_the_environment_never_reach_the_log(tmp_path):
    secrets = {
        "SECRET_KEY": "aaaa-django-secret",
        "OLLAMA_API_KEY": "bbbb-ollama-secret",
        "OPENAI_API_KEY": "cccc-openai-secret",
        "HF_TOKEN": "dddd-hub-secret",
        "DATABASE_URL": "postgres://ftf:eeee-database-secret@db/ftf",
    }
    code = (
        "import os, django, logging; os.environ['DJANGO_SETTINGS_MODULE']='finetuneflow.settings';"
        "django.setup(); logging.getLogger('x').error('all: %s', dict(os.environ))"
    )
    done = start(tmp_path, code, **secrets)
    assert "all:" in done.stderr
    assert "-secret" not in done.stderr


def test_a_wrong_host_name_is_one_line_in_the_log(tmp_path):
    code = (
        "import os, django; os.environ['DJANGO_SETTINGS_MODULE']='finetuneflow.settings';"
        "django.setup(); from django.test import Client;"
        "print(Client().get('/login/', headers={'host': 'evil.example'}).status_code)"
    )
    done = start(tmp_path, code)
    assert done.stdout.strip() == "400", done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "DisallowedHost" in line]
    assert "evil.example" in line
    assert "Traceback" not in done.stderr


def test_a_key_goes_only_to_its_own_provider_and_ollama_cloud_is_the_default(tmp_path):
    both = {"OLLAMA_API_KEY": "ollama-key", "OPENAI_API_KEY": "openai-key"}
    elsewhere = {"OPENAI_BASE_URL": "http://127.0.0.1:8080/v1"}
    assert shown(tmp_path, "s.LLM_API_KEY", **both) == "ollama-key"
    assert shown(tmp_path, "s.LLM_API_KEY", **both, **elsewhere) == "openai-key"
    assert shown(tmp_path, "s.LLM_API_KEY", OPENAI_API_KEY="openai-key") == ""
    assert shown(tmp_path, "s.LLM_API_KEY", OLLAMA_API_KEY="ollama-key", **elsewhere) == ""
    assert shown(tmp_path, "s.LLM_BASE_URL") == "https://ollama.com/v1"


def test_the_loopback_address_is_answered_whatever_hosts_are_allowed(tmp_path):
    hosts = shown(tmp_path, "s.ALLOWED_HOSTS", FTF_ALLOWED_HOSTS="tune.example")
    assert hosts == ["tune.example", "127.0.0.1"]


def test_https_makes_cookies_secure_and_leaves_health_reachable_without_it(tmp_path):
    expression = "[s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SECURE_SSL_REDIRECT]"
    assert shown(tmp_path, expression) == [False] * 3
    assert shown(tmp_path, expression, FTF_HTTPS="true") == [True] * 3
    assert shown(tmp_path, "s.SECURE_REDIRECT_EXEMPT") == ["^health$"]


def test_sessions_and_passwords_are_safe_without_any_setting(tmp_path):
    code = (
        "import os, json, django; os.environ['DJANGO_SETTINGS_MODULE']='finetuneflow.settings';"
        "django.setup(); from django.conf import settings as s; from django.contrib.auth import"
        " hashers; print(json.dumps([s.SESSION_COOKIE_HTTPONLY, s.SESSION_COOKIE_SAMESITE,"
        " s.CSRF_COOKIE_SAMESITE, s.DEBUG, s.AXES_ENABLED,"
        " hashers.get_hasher().iterations >= 600_000, len(s.AUTH_PASSWORD_VALIDATORS)]))"
    )
    done = start(tmp_path, code)
    assert json.loads(done.stdout) == [True, "Lax", "Lax", False, True, True, 4], done.stderr


def test_the_gpu_queue_has_one_worker_and_its_own_name(tmp_path):
    cluster = shown(tmp_path, "s.Q_CLUSTER", FTF_DEFAULT_WORKERS="5")
    assert cluster["workers"] == 5
    assert cluster["ALT_CLUSTERS"]["gpu"]["workers"] == 1
    assert cluster["retry"] > cluster["timeout"]
    assert cluster["save_limit"] <= 20
