"""The chat client against a real server on a port that misbehaves on demand."""

import logging
import socket
import subprocess
import sys
import threading
import time

import pytest

from finetuneflow.lib import llm_errors
from finetuneflow.lib.llm import ChatClient, client_from_settings
from finetuneflow.lib.net import api_address, retry_after_seconds
from finetuneflow.lib.tests.llm_server import KEY, MODEL, LLMServer

SECRET = "sk-very-secret-key-123"


@pytest.fixture
def server():
    with LLMServer() as server:
        yield server


def client_of(server, **options) -> ChatClient:
    options = {"backoff_seconds": 0.01, "timeout_seconds": 5} | options
    return ChatClient(server.url, options.pop("key", KEY), options.pop("model", MODEL), **options)


def ask(client, text: str):
    return client.chat([{"role": "user", "content": text}], temperature=0, max_tokens=50)


def test_a_good_answer_comes_with_tokens_and_latency(server):
    with client_of(server) as client:
        reply = ask(client, 'Sentence: "The tower is 40 metres high."\nQuestion:')
    assert reply.text == "What is said about The tower is 40 metres high?"
    assert reply.finish_reason == "stop"
    assert reply.prompt_tokens > 0 and reply.completion_tokens > 0
    assert 0 < reply.latency_seconds < 5


def test_reasoning_is_kept_apart_from_the_text(server):
    with client_of(server) as client:
        reply = ask(client, 'Sentence: "[[reasoning]] It rains in Bergen."\nQuestion:')
    assert reply.text == ""
    assert "Bergen" in reply.reasoning


@pytest.mark.parametrize(
    ("marker", "error", "code", "status", "requests"),
    [
        ("401", llm_errors.BadKey, "bad_key", 401, 1),
        ("402", llm_errors.PlanRefused, "plan", 402, 1),
        ("404", llm_errors.UnknownModel, "unknown_model", 404, 1),
        ("400-pinned", llm_errors.UnknownModel, "unknown_model", 400, 1),
        ("400-context", llm_errors.ContextTooLong, "context", 400, 1),
        ("429-usage", llm_errors.UsageLimit, "usage_limit", 429, 1),
        ("429", llm_errors.Busy, "busy", 429, 3),
        ("503", llm_errors.Busy, "busy", 503, 3),
        ("500", llm_errors.ServerError, "server", 500, 3),
        ("reset", llm_errors.Unreachable, "unreachable", None, 3),
        ("html", llm_errors.BadReply, "bad_reply", 200, 1),
        ("huge", llm_errors.BadReply, "bad_reply", None, 1),
        ("redirect", llm_errors.BadReply, "bad_reply", 307, 1),
    ],
)
def test_every_failure_has_its_type_and_only_passing_ones_are_tried_again(
    server, marker, error, code, status, requests
):
    with client_of(server) as client, pytest.raises(error) as caught:
        ask(client, f"[[{marker}]]")
    assert (caught.value.code, caught.value.status) == (code, status)
    assert len(server.chats) == requests
    assert str(caught.value).count(".") >= 1


def test_two_failures_and_then_an_answer_are_an_answer(server):
    with client_of(server) as client:
        assert ask(client, "[[503:2]] The tower is high.").text
    assert [chat["outcome"] for chat in server.chats] == ["503", "503", "ok"]


def test_a_silent_server_is_a_timeout(server):
    started = time.monotonic()
    client = client_of(server, timeout_seconds=0.2, attempts=1)
    with client, pytest.raises(llm_errors.TimedOut):
        ask(client, "[[stall]]")
    assert time.monotonic() - started < 3


def test_a_server_that_is_down_is_unreachable():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    client = ChatClient(f"http://ada:pw@127.0.0.1:{port}", backoff_seconds=0.01)
    with client, pytest.raises(llm_errors.Unreachable, match="OPENAI_BASE_URL") as caught:
        client.check()
    assert "pw" not in str(caught.value) + repr(client)


def test_retry_after_is_obeyed_and_a_long_one_ends_the_attempts(server):
    with client_of(server, backoff_seconds=60) as client, pytest.raises(llm_errors.Busy):
        ask(client, "[[429-after]]")
    assert len(server.chats) == 3
    assert retry_after_seconds("7") == 7
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after_seconds("soon") is None


def test_stopping_ends_a_wait_between_attempts(server):
    client = client_of(server, backoff_seconds=60)
    failed = []

    def run():
        try:
            ask(client, "[[503]]")
        except llm_errors.LLMError as error:
            failed.append(error.code)

    thread = threading.Thread(target=run)
    thread.start()
    while not server.chats:
        time.sleep(0.01)
    client.close()
    thread.join(timeout=5)
    assert failed == ["stopped"]


def test_without_a_key_the_check_accepts_a_listed_model_without_a_chat(server):
    with client_of(server, key="") as client:
        client.check()
    assert server.requests and not server.checks


def test_a_key_is_proved_by_a_chat_although_the_model_is_listed(server):
    server.key, server.lists_for_any_key = "another", True
    with client_of(server) as client, pytest.raises(llm_errors.BadKey):
        client.check()
    server.key = KEY
    with client_of(server) as client:
        client.check()
    assert [check["outcome"] for check in server.checks] == ["ok"]


def test_the_check_names_a_wrong_key_and_an_unknown_model(server):
    with client_of(server, model="other") as client, pytest.raises(llm_errors.UnknownModel) as e:
        client.check()
    assert "other" in str(e.value)
    server.key = "another"
    with client_of(server) as client, pytest.raises(llm_errors.BadKey):
        client.check()


@pytest.mark.parametrize("status", [404, 405, 500])
def test_the_check_chats_where_models_cannot_be_listed(server, status):
    server.models_status = status
    with client_of(server, key="") as client:
        client.check()
    assert len(server.checks) == 1


def test_a_refused_hint_is_left_out_and_remembered(server):
    server.refuses_hints = True
    with client_of(server) as client:
        for number in range(2):
            messages = [{"role": "user", "content": f"The tower {number} is high."}]
            client.chat(messages, response_format={"type": "json_object"})
    assert [chat["outcome"] for chat in server.chats] == ["500", "ok", "ok"]


def test_the_key_is_in_no_log_and_no_error(server, caplog):
    server.key = "another"
    caplog.set_level(logging.DEBUG)
    with client_of(server, key=SECRET) as client, pytest.raises(llm_errors.BadKey) as caught:
        ask(client, "Hello")
    assert SECRET not in caplog.text + str(caught.value) + repr(client)


def test_a_key_that_cannot_be_sent_says_so():
    with pytest.raises(llm_errors.BadKey, match="characters"):
        ChatClient("http://127.0.0.1:1", "clé", MODEL)


@pytest.mark.parametrize("address", ["https://ollama.com", "https://ollama.com/v1/"])
def test_the_address_may_end_with_v1_or_not(address):
    assert api_address(address) == "https://ollama.com/v1"


@pytest.mark.parametrize("address", ["", "ollama.com", "ftp://host", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused_with_the_variable_named(address):
    with pytest.raises(llm_errors.Unreachable, match="OPENAI_BASE_URL"):
        ChatClient(address)


def test_the_settings_choose_server_and_model(settings):
    settings.LLM_BASE_URL, settings.LLM_MODEL = "http://127.0.0.1:9", "small"
    with client_from_settings() as client:
        assert (client.base_url, client.model) == ("http://127.0.0.1:9/v1", "small")
    with client_from_settings("large") as client:
        assert client.model == "large"


def test_the_server_also_runs_as_a_process_and_writes_its_log(tmp_path):
    log = tmp_path / "requests.jsonl"
    command = [sys.executable, "-m", "finetuneflow.lib.tests.llm_server", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline())
            with ChatClient(f"http://127.0.0.1:{port}", KEY, MODEL) as client:
                assert ask(client, "The tower is high.").text
        finally:
            process.terminate()
    assert process.returncode == 0
    assert '"ok"' in log.read_text()
