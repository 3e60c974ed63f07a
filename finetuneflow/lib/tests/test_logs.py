"""Log lines: two formats, the job's id, and no secret in any part of them."""

import json
import logging
import logging.config
import sys
import threading

import pytest

from finetuneflow.lib import logs

SECRET = "correct-horse-battery"


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setattr(logs, "_secrets", set())
    logs.register_secrets(SECRET)
    return SECRET


def record_of(message="hello", *args, exc_info=None, **extra):
    logger = logging.getLogger("projects.jobs")
    return logger.makeRecord(
        logger.name, logging.WARNING, __file__, 1, message, args, exc_info, extra=extra
    )


def as_text(record):
    return logs.StructuredFormatter().format(record)


def as_object(record):
    return json.loads(logs.StructuredFormatter(as_json=True).format(record))


def failure(text):
    try:
        raise ValueError(text)
    except ValueError:
        return sys.exc_info()


def test_a_line_holds_time_level_logger_and_message_as_pairs():
    line = as_text(record_of("%s chunks", 3))
    assert line.startswith("time=20")
    assert line.endswith('level=warning logger=projects.jobs message="3 chunks"')


def test_json_lines_hold_the_same_fields():
    found = as_object(record_of("%s chunks", 3, project=9))
    assert found["level"] == "warning"
    assert found["logger"] == "projects.jobs"
    assert found["message"] == "3 chunks"
    assert found["project"] == "9"


def test_extra_fields_never_replace_the_lines_own(secret):
    found = as_object(record_of(level="debug", time="yesterday", request=object()))
    assert found["level"] == "warning"
    assert found["time"].startswith("20")
    assert "request" not in found


def test_the_job_id_is_on_every_line_inside_the_context_and_on_none_outside():
    with logs.job_context(17):
        assert " job=17" in as_text(record_of())
        with logs.job_context(18):
            assert as_object(record_of())["job"] == 18
        assert as_object(record_of())["job"] == 17
    assert "job=" not in as_text(record_of())


def test_two_threads_keep_their_own_job_ids():
    both_inside, seen = threading.Barrier(2), {}

    def work(job_id):
        with logs.job_context(job_id):
            both_inside.wait(10)
            seen[job_id] = as_object(record_of())["job"]

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {1: 1, 2: 2}


@pytest.mark.parametrize("shape", [as_text, lambda record: json.dumps(as_object(record))])
def test_a_registered_secret_is_masked_in_message_extra_exception_and_stack(shape, secret):
    record = record_of(
        "key %s", secret, exc_info=failure(f"refused: {secret}"), url=f"https://x/?k={secret}"
    )
    record.stack_info = f"Stack: call({secret!r})"
    line = shape(record)
    assert secret not in line
    assert line.count("***") == 4
    assert "ValueError" in line


def test_a_secret_that_contains_another_leaves_no_rest(secret):
    logs.register_secrets(secret + "-and-more")
    assert logs.mask(f"<{secret}-and-more>") == "<***>"


def test_short_values_are_not_registered_because_they_are_ordinary_words(secret):
    logs.register_secrets("", "the")
    assert logs.mask("the end") == "the end"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def-123456",
        "api_key=abcdef123456",
        'API-KEY: "abcdef123456"',
        "{'api_key': 'abcdef123456'}",
        "token hf_abcdef123456",
        "sk-abcdef123456 was refused",
        "postgres://ftf:abcdef123456@db:5432/ftf",
    ],
)
def test_what_looks_like_a_key_is_masked_without_being_registered(text):
    masked = logs.mask(text)
    assert "123456" not in masked
    assert "***" in masked


@pytest.mark.parametrize(
    "text",
    ["OLLAMA_API_KEY missing, set it first", "see https://ollama.com/v1/models", "a@b.example"],
)
def test_ordinary_sentences_stay_as_they_are(text):
    assert logs.mask(text) == text


@pytest.mark.parametrize("as_json", [False, True])
def test_a_line_is_one_line_and_cannot_drive_the_terminal(as_json):
    hostile = "first\nlevel=error\r\x1b[2Jsecond\x9b31m\u2028third\u202efourth"
    line = logs.StructuredFormatter(as_json).format(record_of(hostile))
    assert line.isprintable()
    assert len(line.splitlines()) == 1


def test_json_keeps_accents_and_gives_hostile_text_back_unchanged():
    hostile = "é\x1b[2J\u202e"
    assert as_object(record_of(hostile))["message"] == hostile
    assert "é" in as_text(record_of("café crème"))


def test_values_with_blanks_quotes_or_equal_signs_are_quoted():
    line = as_text(record_of('a "b"=c', empty=""))
    assert r'message="a \"b\"=c"' in line
    assert line.endswith('empty=""')


@pytest.mark.parametrize("log_format", ["keyvalue", "json"])
def test_the_configuration_writes_to_stderr_alone(log_format):
    config = logs.config(level="INFO", log_format=log_format)
    logging.config.DictConfigurator(config)  # Refuses a config that cannot be applied.
    handler = config["handlers"]["stderr"]
    assert handler["class"] == "logging.StreamHandler"
    assert "stream" not in handler  # stderr is its default; stdout belongs to --json.
    assert config["formatters"]["structured"]["as_json"] is (log_format == "json")
