"""The environment readers: defaults that run, wrong values that name their variable."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from finetuneflow.lib import env

NAME = "FTF_EXAMPLE"


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.delenv(f"{NAME}_FILE", raising=False)


READERS = {
    "text": (lambda: env.text(NAME, "x"), "x"),
    "secret": (lambda: env.secret(NAME, "x"), "x"),
    "boolean": (lambda: env.boolean(NAME, True), True),
    "integer": (lambda: env.integer(NAME, 7, minimum=1), 7),
    "number": (lambda: env.number(NAME, 0.5), 0.5),
    "choice": (lambda: env.choice(NAME, "a", ("a", "b")), "a"),
    "words": (lambda: env.words(NAME, "a, b,,"), ["a", "b"]),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("given", [None, "", "   "])
def test_unset_empty_and_blank_give_the_default(reader, given, monkeypatch):
    if given is not None:
        monkeypatch.setenv(NAME, given)
    read, default = READERS[reader]
    assert read() == default


@pytest.mark.parametrize("given", ["1", "true", "YES", " on "])
def test_true_is_read_in_its_usual_spellings(given, monkeypatch):
    monkeypatch.setenv(NAME, given)
    assert env.boolean(NAME, False) is True


@pytest.mark.parametrize("given", ["0", "false", "No", "off"])
def test_false_is_read_in_its_usual_spellings(given, monkeypatch):
    monkeypatch.setenv(NAME, given)
    assert env.boolean(NAME, True) is False


def test_numbers_at_their_limits_are_taken(monkeypatch):
    monkeypatch.setenv(NAME, "64")
    assert env.integer(NAME, 1, minimum=64, maximum=64) == 64
    monkeypatch.setenv(NAME, "0.25")
    assert env.number(NAME, 1, minimum=0.25) == 0.25


def test_words_are_split_at_commas_and_stripped(monkeypatch):
    monkeypatch.setenv(NAME, " a.example , ,b.example,")
    assert env.words(NAME, "default") == ["a.example", "b.example"]


WRONG = [
    ("maybe", lambda: env.boolean(NAME, False)),
    ("2", lambda: env.boolean(NAME, False)),
    ("many", lambda: env.integer(NAME, 1)),
    ("3.5", lambda: env.integer(NAME, 1)),
    ("1e3", lambda: env.integer(NAME, 1)),
    ("-1", lambda: env.integer(NAME, 1)),
    ("65", lambda: env.integer(NAME, 1, minimum=1, maximum=64)),
    ("fast", lambda: env.number(NAME, 1.0)),
    ("nan", lambda: env.number(NAME, 1.0)),
    ("inf", lambda: env.number(NAME, 1.0)),
    ("0.5", lambda: env.number(NAME, 1.0, minimum=1)),
    ("LOUD", lambda: env.choice(NAME, "INFO", ("INFO", "DEBUG"))),
]


@pytest.mark.parametrize(("given", "read"), WRONG)
def test_every_wrong_value_stops_and_names_the_variable_and_the_value(given, read, monkeypatch):
    monkeypatch.setenv(NAME, given)
    with pytest.raises(ImproperlyConfigured, match=NAME) as stopped:
        read()
    assert given.lower() in str(stopped.value).lower()


def test_a_secret_is_read_from_the_file_that_x_file_points_to(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("s3cret-value\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "key"))
    assert env.secret(NAME) == "s3cret-value"


def test_the_variable_itself_wins_over_its_file(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("from the file")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "key"))
    monkeypatch.setenv(NAME, "from the variable")
    assert env.secret(NAME) == "from the variable"


def test_only_secrets_look_for_a_file(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("from the file")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "key"))
    assert env.text(NAME, "default") == "default"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe\x00binary"])
def test_a_secret_file_that_is_missing_empty_or_not_text_names_the_variable(
    content, tmp_path, monkeypatch
):
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "key"))
    with pytest.raises(ImproperlyConfigured, match=f"{NAME}_FILE"):
        env.secret(NAME, "default")
