"""All settings. Every value comes from the environment with a default that runs."""

import fcntl
import os
import secrets as token_source
import zoneinfo
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from finetuneflow.lib import env, logs

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

DATA_DIR = Path(env.text("FTF_DATA_DIR", str(BASE_DIR / "data"))).expanduser().resolve()
MODELS_DIR = Path(env.text("FTF_MODELS_DIR", str(DATA_DIR / "models"))).expanduser().resolve()
PROJECTS_DIR = DATA_DIR / "projects"


def _secret_key() -> str:
    """Return SECRET_KEY, or one that is generated once and kept in the data folder.

    The lock makes processes that start together agree; an empty file (a crash) is filled again.
    """
    given = env.secret("SECRET_KEY")
    if given:
        return given
    path = DATA_DIR / "secret_key"
    try:
        if path.is_file() and (kept := path.read_text(encoding="ascii").strip()):
            return kept
        DATA_DIR.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        with os.fdopen(descriptor, "r+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            kept = file.read().strip()
            if not kept:
                kept = token_source.token_urlsafe(50)
                file.write(kept)
                file.flush()
                os.fsync(file.fileno())
            return kept
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"FTF_DATA_DIR: cannot use {path}: {error}") from None


SECRET_KEY = _secret_key()
DEBUG = env.boolean("FTF_DEBUG", False)
# The loopback address is always answered: the container's health check uses it.
ALLOWED_HOSTS = [*env.words("FTF_ALLOWED_HOSTS", "localhost,[::1]"), "127.0.0.1"]
CSRF_TRUSTED_ORIGINS = env.words("FTF_CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "django_htmx",
    "django_q",
    "finetuneflow.apps.FineTuneFlowConfig",
    "projects.apps.ProjectsConfig",
    "datasets.apps.DatasetsConfig",
    "training.apps.TrainingConfig",
]

MIDDLEWARE = [
    "finetuneflow.lib.middleware.CompressMiddleware",
    "finetuneflow.lib.middleware.ContentSecurityPolicyMiddleware",
    "finetuneflow.lib.middleware.RequestSizeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "finetuneflow.lib.middleware.HtmxLoginRedirectMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "finetuneflow.lib.middleware.RateLimitMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "finetuneflow.urls"
WSGI_APPLICATION = "finetuneflow.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def _database() -> dict:
    """Return the database of DATABASE_URL; SQLite in the data folder when unset."""
    url = env.secret("DATABASE_URL", f"sqlite:///{DATA_DIR / 'db.sqlite3'}")
    try:
        database = dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True)
    except (ValueError, dj_database_url.ParseError) as error:
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {type(error).__name__}") from None
    if database["ENGINE"].endswith("sqlite3"):
        # WAL lets readers go on beside a writer; IMMEDIATE makes writers wait instead of failing.
        database["OPTIONS"] = {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        # A file, so that tests can start real worker processes on it.
        database["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
    elif not database["ENGINE"].endswith("postgresql"):
        raise ImproperlyConfigured("DATABASE_URL must start with sqlite:// or postgres://.")
    logs.register_secrets(database.get("PASSWORD") or "")
    return database


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "projects:list"
LOGOUT_REDIRECT_URL = "login"

# Guessing one password: counted in the database for each name and client, by all processes.
LOGIN_FAILURES = env.integer("FTF_LOGIN_FAILURES", 5, minimum=0)
LOGIN_PAUSE_MINUTES = env.integer("FTF_LOGIN_PAUSE_MINUTES", 15, minimum=1)
AXES_ENABLED = LOGIN_FAILURES > 0
AXES_FAILURE_LIMIT = LOGIN_FAILURES
AXES_COOLOFF_TIME = timedelta(minutes=LOGIN_PAUSE_MINUTES)
# Not the name alone: anybody could then keep its owner out.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_CALLABLE = "finetuneflow.lib.refusals.locked_out"
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False


def _time_zone() -> str:
    name = env.text("TZ", "UTC")
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise ImproperlyConfigured(f"TZ is not the name of a time zone: {name!r}.") from None
    return name


LANGUAGE_CODE = "en"
TIME_ZONE = _time_zone()
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
# WhiteNoise serves from the source folders; there is no collectstatic step to forget.
STATIC_ROOT = None
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
MEDIA_ROOT = PROJECTS_DIR

HTTPS = env.boolean("FTF_HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^health$"]
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
X_FRAME_OPTIONS = "DENY"

CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
RATE_LIMIT_PER_MINUTE = env.integer("FTF_RATE_LIMIT_PER_MINUTE", 1200, minimum=0)
# What costs more than a page, for each account (logins: for each client); see lib/limits.py.
LIMITS_PER_MINUTE = {
    "login": env.integer("FTF_LOGIN_LIMIT_PER_MINUTE", 10, minimum=0),
    "upload": env.integer("FTF_UPLOAD_LIMIT_PER_MINUTE", 120, minimum=0),
    "preview": env.integer("FTF_PREVIEW_LIMIT_PER_MINUTE", 10, minimum=0),
    "start": env.integer("FTF_START_LIMIT_PER_MINUTE", 30, minimum=0),
}

# Uploads and storage
MAX_UPLOAD_BYTES = env.integer("FTF_MAX_UPLOAD_MB", 100, minimum=1) * 1024 * 1024
PROJECT_QUOTA_BYTES = env.integer("FTF_PROJECT_QUOTA_MB", 5000, minimum=1) * 1024 * 1024
MIN_FREE_BYTES = env.integer("FTF_MIN_FREE_MB", 500, minimum=0) * 1024 * 1024
# One request may carry a few files of the largest size, and the rest of its form.
MAX_REQUEST_BYTES = 4 * MAX_UPLOAD_BYTES + 1024 * 1024
# In the data folder, so that MIN_FREE_BYTES looks at the disk that an upload fills.
FILE_UPLOAD_TEMP_DIR = DATA_DIR / "uploads"
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# Documents: limits of the parser's child process
EXTRACT_MEMORY_BYTES = env.integer("FTF_EXTRACT_MEMORY_MB", 1024, minimum=128) * 1024 * 1024
EXTRACT_SECONDS = env.integer("FTF_EXTRACT_SECONDS", 120, minimum=1)

# The language model that writes examples
OLLAMA_API_KEY = env.secret("OLLAMA_API_KEY")
OPENAI_API_KEY = env.secret("OPENAI_API_KEY")
LLM_BASE_URL = env.text("OPENAI_BASE_URL", "https://ollama.com/v1")
# A key goes only to the provider that it was made for.
LLM_API_KEY = OPENAI_API_KEY if env.text("OPENAI_BASE_URL") else OLLAMA_API_KEY
if urlsplit(LLM_BASE_URL).hostname == "ollama.com":
    LLM_API_KEY = OLLAMA_API_KEY or LLM_API_KEY
LLM_MODEL = env.text("FTF_LLM_MODEL", "gpt-oss:20b")
LLM_MODEL_IS_SET = bool(env.text("FTF_LLM_MODEL"))  # Then it wins over a project's own model.
LLM_TIMEOUT_SECONDS = env.number("FTF_LLM_TIMEOUT_SECONDS", 60, minimum=1)
LLM_CONCURRENCY = env.integer("FTF_LLM_CONCURRENCY", 4, minimum=1, maximum=64)
HF_TOKEN = env.secret("HF_TOKEN")
HF_ENDPOINT = env.text("HF_ENDPOINT", "https://huggingface.co").rstrip("/")

# Training
DEFAULT_BASE_MODEL = env.text("FTF_BASE_MODEL", "SmolLM2-135M-Instruct")
STOP_SECONDS = env.integer("FTF_STOP_SECONDS", 30, minimum=1)

# Queues (django-q2 on the ORM broker). The Job row is the truth; the queue only delivers.
QUEUES = ("default", "gpu")
DEFAULT_WORKERS = env.integer("FTF_DEFAULT_WORKERS", 2, minimum=1, maximum=32)
_CLUSTER = {
    "orm": "default",
    # A training may take days, and a second delivery is harmless (projects/jobs.py).
    "timeout": 30 * 24 * 3600,
    "retry": 31 * 24 * 3600,
    "save_limit": 20,
    "max_attempts": 1,
    "ack_failures": True,
    "poll": 0.2,
    "catch_up": False,
    "label": "Queue",
}
Q_CLUSTER = {
    **_CLUSTER,
    "name": "default",
    "workers": DEFAULT_WORKERS,
    "queue_limit": DEFAULT_WORKERS,
    "ALT_CLUSTERS": {"gpu": {**_CLUSTER, "workers": 1, "queue_limit": 1}},
}

logs.register_secrets(SECRET_KEY, OLLAMA_API_KEY, OPENAI_API_KEY, HF_TOKEN)
LOGGING = logs.config(
    level=env.choice("FTF_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
    log_format=env.choice("FTF_LOG_FORMAT", "keyvalue", ("keyvalue", "json")),
)
