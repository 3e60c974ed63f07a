"""What the Hub's errors mean to a person: a code, a sentence, and where to go on."""

import httpx2
from django.conf import settings
from huggingface_hub import errors

from training.model_info import HubError

_ELSE = "Check the connection and HF_ENDPOINT, or put the model into the models folder."
_OFFLINE = f"The Hub cannot be reached for {{id}}. {_ELSE}"
_MISSING = (
    "There is no model {id} in the models folder or on the Hub. Check the name; "
    "a private model needs HF_TOKEN."
)
_NO_TOKEN = (
    "{id} is gated. Accept its terms at {page}, make a token at {tokens}, put it into .env as "
    "HF_TOKEN and start FineTuneFlow again."
)
_OTHER_TOKEN = (
    "{id} is gated, and the account of HF_TOKEN may not read it. Accept its terms at {page} with "
    "that account; some owners confirm by hand."
)
_BAD_TOKEN = (
    "The Hub refuses the token in HF_TOKEN. Make a new one at {tokens}, put it into .env and start "
    "FineTuneFlow again."
)
_DAMAGED = "{id} has weights that cannot be read. Choose another model, or another revision."

# The first class that fits counts, so subclasses come first.
_KINDS = (
    (errors.DisabledRepoError, "not_found", "The Hub has closed {id}. Choose another model."),
    ((errors.RepositoryNotFoundError, errors.HFValidationError), "not_found", _MISSING),
    (errors.RevisionNotFoundError, "not_found", "{id} has no such revision; see {page}."),
    (errors.EntryNotFoundError, "not_found", "{id} lacks a file that it names; see {page}."),
    (errors.SafetensorsParsingError, "no_safetensors", _DAMAGED),
    (httpx2.TimeoutException, "slow", "The Hub takes too long to answer for {id}. Try again soon."),
)
_STATUS = {
    401: ("bad_token", _BAD_TOKEN),
    403: ("gated", _OTHER_TOKEN),
    429: (
        "rate_limited",
        "The Hub has had too many questions from here. Try {id} again in a few minutes; "
        "with HF_TOKEN set it allows more.",
    ),
}
_TROUBLE = "The Hub has trouble of its own ({status}) and says nothing about {id}. Try again later."
_UNREADABLE = (
    "What answers in place of the Hub is no Hub, so nothing is known about {id}. Check HF_ENDPOINT "
    "and whether the network asks for a sign-in."
)


def page_of(model_id: str) -> str:
    return f"{settings.HF_ENDPOINT}/{model_id}"


def tokens_page() -> str:
    return f"{settings.HF_ENDPOINT}/settings/tokens"


def explained(error: Exception, model_id: str) -> HubError:
    """Return what an error on the way to the Hub means for `model_id`."""
    if isinstance(error, HubError):
        return error
    code, sentence = _meaning(error)
    status = getattr(getattr(error, "response", None), "status_code", "")
    page = page_of(model_id)
    text = sentence.format(id=model_id, page=page, tokens=tokens_page(), status=status)
    return HubError(
        code,
        text,
        page="" if code in ("not_found", "bad_token") else page,
        tokens_page=tokens_page() if code in ("gated", "bad_token") else "",
    )


def _meaning(error: Exception) -> tuple[str, str]:
    if isinstance(error, errors.GatedRepoError):
        return "gated", _OTHER_TOKEN if settings.HF_TOKEN else _NO_TOKEN
    for kind, code, sentence in _KINDS:
        if isinstance(error, kind):
            return code, sentence
    response = getattr(error, "response", None)
    if isinstance(error, errors.HfHubHTTPError) and response is not None:
        said = response.headers.get("X-Error-Message", "")
        if response.status_code == 401 and "credentials" not in said:
            return "not_found", _MISSING  # What is missing and what is private look the same.
        return _STATUS.get(response.status_code, ("unavailable", _TROUBLE))
    if isinstance(error, errors.HTTPError | OSError):
        return "offline", _OFFLINE
    return "wrong_answer", _UNREADABLE
