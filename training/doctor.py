"""Looking an installation over: one sentence for each part, and what to do where it is not well.

A missing worker or GPU is a warning: pages work, and small models train on the processor. A
failure is what makes the product stand still or lose data.
"""

import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from finetuneflow.lib import llm, net, storage
from finetuneflow.lib.llm_errors import LLMError
from projects import queues
from training import hardware, hub

OK, WARN, FAIL = "ok", "warn", "fail"
GIB = 2**30


@dataclass(frozen=True)
class Check:
    name: str
    state: str
    text: str
    todo: str = ""


def examine(*, online: bool = False) -> list[Check]:
    """Return the results of all checks; `online` also asks the language model's server."""
    parts: list[Callable[[], Check]] = [
        _python,
        lambda: _packages("requirements-web.txt", "packages", FAIL),
        lambda: _packages("requirements.txt", "training packages", WARN),
        _database,
        _data_folder,
        _models,
        _ask_language_model if online else _language_model,
        _hardware,
        *(lambda queue=queue: _worker(queue) for queue in (*settings.QUEUES, queues.RECONCILER)),
    ]
    return [part() for part in parts]


def _python() -> Check:
    """State the version: an older one than 3.11 does not come this far."""
    return Check("python", OK, f"Python {platform.python_version()}")


def _packages(file: str, name: str, worst: str) -> Check:
    """Compare what is installed with the pins of a requirements file."""
    missing, different = [], []
    pins = _pins(file)
    for package, wanted in pins:
        try:
            found = metadata.version(package)
        except metadata.PackageNotFoundError:
            missing.append(package)
        else:
            if found.partition("+")[0] != wanted:
                different.append(f"{package} {found} (wanted {wanted})")
    todo = f"Run `pip install -r {file}`."
    if missing:
        return Check(name, worst, f"Missing: {', '.join(missing)}.", todo)
    if different:
        return Check(name, WARN, f"Other versions than tested: {', '.join(different)}.", todo)
    return Check(name, OK, f"{len(pins)} packages as pinned in {file}")


def _pins(file: str) -> list[tuple[str, str]]:
    text = (settings.BASE_DIR / file).read_text(encoding="utf-8")
    return re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([\w.]+)", text, flags=re.MULTILINE)


def _database() -> Check:
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
        errors = checks.run_checks(tags=[checks.Tags.database], databases=["default"])
    except DatabaseError as error:
        todo = "Check DATABASE_URL, and that the server runs."
        return Check("database", FAIL, f"The database cannot be reached: {error}", todo)
    if pending:
        text = f"{len(pending)} migrations are not applied."
        return Check("database", FAIL, text, "Run `manage.py migrate`.")
    if errors:
        return Check("database", FAIL, errors[0].msg, errors[0].hint or "See the documentation.")
    return Check("database", OK, f"{connection.display_name} answers, migrations are applied")


def _data_folder() -> Check:
    probe = settings.DATA_DIR / "doctor"
    try:
        storage.write_bytes(probe, b"")
        probe.unlink()
    except OSError as error:
        text = f"{settings.DATA_DIR} cannot be written: {error.strerror}."
        todo = "Set FTF_DATA_DIR to a folder that this user may write."
        return Check("data folder", FAIL, text, todo)
    free = storage.free_bytes(settings.DATA_DIR)
    text = f"{settings.DATA_DIR} can be written, {free / GIB:.1f} GiB free"
    if free < settings.MIN_FREE_BYTES:
        return Check("data folder", FAIL, f"{text}: too little.", "Free some space.")
    return Check("data folder", OK, text)


def _models() -> Check:
    found = hub.local_models()
    if hub.local_path(settings.DEFAULT_BASE_MODEL) is None:
        text = f"{settings.DEFAULT_BASE_MODEL} is not in {settings.MODELS_DIR}."
        todo = "Run `make model` for the bundled one; others come from the Hub when they are used."
        return Check("models", WARN, text, todo)
    return Check("models", OK, f"In the models folder: {', '.join(found)}")


def _language_model() -> Check:
    """Look at the settings only; nothing leaves this machine."""
    try:
        address = net.api_address(settings.LLM_BASE_URL)
    except ValueError:
        todo = "It looks like https://host/v1."
        return Check("language model", FAIL, "OPENAI_BASE_URL is no web address.", todo)
    if not settings.LLM_API_KEY and not net.is_loopback(address):
        text = f"No key is set for {net.without_password(address)}."
        todo = "Set OLLAMA_API_KEY or OPENAI_API_KEY, or OPENAI_BASE_URL to a server of yours."
        return Check("language model", WARN, text, todo)
    text = f"{settings.LLM_MODEL} at {net.without_password(address)}"
    return Check("language model", OK, f"{text} is configured (--online asks it)")


def _ask_language_model() -> Check:
    found = _language_model()
    if found.state == FAIL:
        return found
    try:
        with llm.client_from_settings(attempts=1) as client:
            client.check()
    except LLMError as error:
        todo = "Check OPENAI_BASE_URL, the key and FTF_LLM_MODEL."
        return Check("language model", FAIL, str(error), todo)
    address = net.without_password(settings.LLM_BASE_URL)
    return Check("language model", OK, f"{settings.LLM_MODEL} at {address} answers")


def _hardware() -> Check:
    found = hardware.probe(refresh=True)
    if found.errors:
        return Check("hardware", WARN, " ".join(found.errors), "Check the driver (`nvidia-smi`).")
    memory = f"{found.ram_bytes / GIB:.0f} GiB memory" if found.ram_bytes else "memory not known"
    cpu = f"{found.cpu_count} processor cores, {memory}"
    if not found.gpus:
        todo = "Nothing for small models; larger ones need an NVIDIA GPU and its driver."
        return Check("hardware", WARN, f"No GPU; {cpu}.", todo)
    cards = ", ".join(f"{gpu.name} ({gpu.total_bytes / GIB:.0f} GiB)" for gpu in found.gpus)
    return Check("hardware", OK, f"{cards}; {cpu}; driver {found.driver}")


def _worker(queue: str) -> Check:
    is_reconciler = queue == queues.RECONCILER
    name = queue if is_reconciler else f"worker {queue}"
    command = "reconcile" if is_reconciler else f"worker --queue {queue}"
    todo = f"Run `make run`, or `manage.py {command}`."
    try:
        if queues.has_worker(queue):
            return Check(name, OK, "alive")
    except DatabaseError:
        return Check(name, WARN, "Not known: the database did not answer.", todo)
    return Check(name, WARN, "No sign of life.", todo)
