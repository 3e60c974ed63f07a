"""Who writes a project's examples: the configured server, or the bundled model on this machine."""

from collections.abc import Callable
from contextlib import contextmanager
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import cache

from datasets.generation import local_server
from finetuneflow.lib import llm
from finetuneflow.lib.llm_errors import LLMError
from projects.models import Project

LIST_SECONDS, MODELS_SECONDS, FAILED_SECONDS = 3, 600, 60
MOST_MODELS = 300
SERVER, BUNDLED = "server", "bundled"
NO_KEY = (
    "No key for ollama.com is configured. Put OLLAMA_API_KEY=… into the file .env (or name another "
    "server there with OPENAI_BASE_URL), restart the application and try again; or choose the "
    "bundled model in the settings of the Preview step: it needs no key."
)


class NoKey(Exception):
    """The configured server answers nobody without a key, and there is none."""


def needs_key() -> bool:
    """True when the configured server is one that wants a key, and none is configured."""
    return not settings.LLM_API_KEY and urlsplit(settings.LLM_BASE_URL).hostname == "ollama.com"


def default_provider() -> str:
    """Return who writes where the project does not say: without a key, the bundled model."""
    return BUNDLED if needs_key() and local_server.is_there() else SERVER


def provider_of(project: Project) -> str:
    chosen = project.generation.get("provider")
    return chosen if chosen in (SERVER, BUNDLED) else default_provider()


def is_bundled(project: Project) -> bool:
    return provider_of(project) == BUNDLED


def model_of(project: Project) -> str:
    """Return the name of the model that writes the project's examples, as its server knows it.

    For a configured server the environment wins over the project, the project over the default.
    """
    if is_bundled(project):
        return str(local_server.folder())
    if settings.LLM_MODEL_IS_SET:
        return settings.LLM_MODEL
    return project.generation.get("model") or settings.LLM_MODEL


def short_name(model: str) -> str:
    """Return the name as it is shown: a folder's own name, anything else as it is."""
    return model.rstrip("/").rsplit("/", 1)[-1] if model.startswith("/") else model


def host() -> str:
    """Return the configured server's name and port, never its key or password."""
    address = urlsplit(settings.LLM_BASE_URL)
    try:
        port = f":{address.port}" if address.port else ""
    except ValueError:
        port = ""
    return f"{address.hostname or 'no web address'}{port}"


def concurrency_of(project: Project) -> int:
    return local_server.CONCURRENCY if is_bundled(project) else settings.LLM_CONCURRENCY


def queue_of(project: Project) -> str:
    """Return the queue whose worker can write the project's examples.

    Where the training stack is installed for the gpu worker alone, as in the containers, the
    bundled model runs there.
    """
    return "gpu" if is_bundled(project) and not local_server.has_stack() else "default"


def check(project: Project) -> None:
    """Raise `NoKey` or `local_server.NotPossible` for what is known without asking anybody."""
    if is_bundled(project):
        local_server.check()
    elif needs_key():
        raise NoKey(NO_KEY)


@contextmanager
def client_for(project: Project, *, on_wait: Callable[[str], None]):
    """Yield a client of the project's generator; the bundled model runs only inside the block.

    Raises an `LLMError`, `local_server.NotPossible`, and what `on_wait` raises.
    """
    if not is_bundled(project):
        with llm.client_from_settings(model_of(project)) as client:
            yield client
        return
    with local_server.serving(on_wait) as url:
        options = {"timeout_seconds": local_server.TIMEOUT_SECONDS}
        with llm.ChatClient(url, model=model_of(project), **options) as client:
            yield client


def listed_models() -> list[str]:
    """Return the models that the configured server lists, asked at most once in a while.

    Only to suggest names: a server that is slow, or away, suggests nothing for a minute.
    """
    key = f"llm-models:{settings.LLM_BASE_URL}"
    names = cache.get(key)
    if names is None:
        names = _ask_for_models()
        cache.set(key, names, MODELS_SECONDS if names else FAILED_SECONDS)
    return names


def _ask_for_models() -> list[str]:
    if needs_key():
        return []
    options = {"timeout_seconds": LIST_SECONDS, "attempts": 1}
    try:
        with llm.ChatClient(settings.LLM_BASE_URL, settings.LLM_API_KEY, **options) as client:
            return sorted(str(name) for name in client.list_models())[:MOST_MODELS]
    except LLMError:
        return []
