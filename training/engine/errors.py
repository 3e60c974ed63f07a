"""Why an engine ended: a short stable code and a sentence that says what to do next."""

import errno

OOM = (
    "The memory was not enough for this training. Start a new one with a smaller micro batch or a "
    "smaller maximum length (under Advanced), with QLoRA, or with a smaller base model."
)
DISK_FULL = (
    "The disk is full. Free some space and press Try again on this job: it goes on from the last "
    "checkpoint."
)
GATED = (
    "The base model is gated. Accept its terms on its page and set HF_TOKEN to a token of that "
    "account."
)
MODEL_MISSING = (
    "The base model {model} cannot be loaded. Check its name, put it into the models folder, or "
    "make sure that the Hub can be reached."
)
INTERNAL = "The training stopped with an unexpected error. The engine's log has the details."

_MISSING_NAMES = {
    "RepositoryNotFoundError",
    "RevisionNotFoundError",
    "EntryNotFoundError",
    "LocalEntryNotFoundError",
    "RemoteEntryNotFoundError",
    "OfflineModeIsEnabled",
    "HFValidationError",
}
_OOM_TEXTS = ("out of memory", "can't allocate memory", "cannot allocate memory")


class EngineError(Exception):
    """Ends the run. `code` is one of oom, bad_data, model_missing, gated, nan, disk_full,
    cancelled, internal; `detail` holds plain values for the log."""

    def __init__(self, code: str, message: str, detail: dict | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail or {}


class Stopped(EngineError):
    """Somebody asked the engine to end: SIGTERM, Ctrl-C, or the lifeline's end."""

    def __init__(self, reason: str) -> None:
        super().__init__("cancelled", f"Stopped: {reason}.")


def classify(error: BaseException, *, model: str = "") -> EngineError:
    """Return what `error` means. Libraries raise many types for one cause: the chain decides."""
    chain = list(_chain(error))
    for each in chain:
        if isinstance(each, EngineError):
            return each
    names = {type(each).__name__ for each in chain}
    text = " ".join(str(each) for each in chain)
    detail = {"error": f"{type(error).__name__}: {error}"[:2000]}
    if isinstance(error, MemoryError) or any(t in text.lower() for t in _OOM_TEXTS):
        return EngineError("oom", OOM, detail)
    if _is_disk_full(chain, text):
        return EngineError("disk_full", DISK_FULL, detail)
    if "GatedRepoError" in names or "gated repo" in text:
        return EngineError("gated", GATED, detail)
    if names & _MISSING_NAMES:
        return EngineError("model_missing", MODEL_MISSING.format(model=model), detail)
    return EngineError("internal", INTERNAL, detail)


def _chain(error: BaseException | None):
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_disk_full(chain: list[BaseException], text: str) -> bool:
    numbers = (errno.ENOSPC, errno.EDQUOT)
    found = any(isinstance(each, OSError) and each.errno in numbers for each in chain)
    return found or "No space left on device" in text
