"""Reading examples out of replies as models really write them."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.generation.parse import parse_reply

ONE = '{"question": "How high is it?", "answer": "40 metres."}'
TWO = '{"question": "Who built it?", "answer": "Ada Berg."}'


def pairs(text: str, task_type="qa", finish_reason="stop"):
    reply = parse_reply(text, task_type=task_type, finish_reason=finish_reason)
    return [(example.prompt, example.completion) for example in reply.examples]


FIRST, SECOND = ("How high is it?", "40 metres."), ("Who built it?", "Ada Berg.")

BROKEN = {
    "plain array": f"[{ONE}, {TWO}]",
    "wrapper object": f'{{"examples": [{ONE}, {TWO}]}}',
    "unknown wrapper, two levels": f'{{"data": {{"qa_pairs": [{ONE}, {TWO}]}}}}',
    "numbered wrapper": f'{{"1": {ONE}, "2": {TWO}}}',
    "json lines": f"{ONE}\n{TWO}",
    "fence with language": f"Here you are:\n```json\n[{ONE}, {TWO}]\n```\nAnything else?",
    "two fences": f"```\n{ONE}\n```\nand\n```json\n{TWO}\n```",
    "fence that is never closed": f"```json\n[{ONE}, {TWO}]",
    "objects in prose": f"First: {ONE}. And then [1]: {TWO} I hope {{this}} helps.",
    "thinking with a draft in it": f'<think>Maybe {{"question": "No?", "answer": "x"}}</think>'
    f"[{ONE}, {TWO}]",
    "end of thinking without its start": f'{{"question": "No?", "answer": "x"}}</think>'
    f"[{ONE}, {TWO}]",
    "trailing comma": f"[{ONE}, {TWO},]",
    "missing comma between objects": f"[{ONE} {TWO}]",
    "missing comma in an object": '{"question": "How high is it?" "answer": "40 metres."}'
    f", {TWO}]",
    "single quotes": "[{'question': 'How high is it?', 'answer': '40 metres.'}, "
    "{'question': 'Who built it?', 'answer': 'Ada Berg.'}]",
    "keys without quotes": f'[{{question: "How high is it?", answer: "40 metres."}}, {TWO}]',
    "missing end of the array": f"[{ONE}, {TWO}",
    "missing end of everything": f'{{"examples": [{ONE}, {TWO[:-1]}',
    "comments": f"[{ONE}, // the second\n {TWO}]",
    "json in a json string": json.dumps(f"[{ONE}, {TWO}]"),
    "capitals in keys": ONE.replace("question", "Question") + TWO.replace("answer", "ANSWER"),
    "other names": '[{"instruction": "How high is it?", "output": "40 metres."},'
    '{"prompt": "Who built it?", "response": "Ada Berg."}]',
    "input and output": '[{"input": "How high is it?", "output": "40 metres."},'
    '{"query": "Who built it?", "completion": "Ada Berg."}]',
    "french names": '[{"question": "How high is it?", "réponse": "40 metres."},'
    '{"consigne": "Who built it?", "reponse": "Ada Berg."}]',
    "chat messages": '[{"messages": [{"role": "user", "content": "How high is it?"},'
    '{"role": "assistant", "content": "40 metres."}]},'
    '{"conversations": [{"from": "human", "value": "Who built it?"},'
    '{"from": "gpt", "value": "Ada Berg."}]}]',
    "prose": "Question: How high is it?\n\nAnswer: 40 metres.\n\nQuestion: Who built it?\n"
    "Answer: Ada Berg.",
    "prose with numbers and stars": "1. **Question:** How high is it?\n   **Answer:** 40 metres."
    "\n\n2. **Question:** Who built it?\n   **Answer:** Ada Berg.",
    "short labels": "Q1: How high is it?\nA1: 40 metres.\nQ2: Who built it?\nA2: Ada Berg.",
    "special tokens": "<|channel|>analysis<|message|>hm {}<|channel|>final<|message|>"
    f"{ONE}{TWO}<|end|>",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_both_examples_survive(text):
    assert pairs(text) == [FIRST, SECOND]


def test_a_truncated_item_is_never_kept_and_is_named():
    reply = parse_reply(f"[{ONE}, {TWO[:-6]}", task_type="qa", finish_reason="length")
    assert [(e.prompt, e.completion) for e in reply.examples] == [FIRST]
    assert [r["reason"] for r in reply.rejected] == ["cut off in the middle"]
    assert reply.error_class == ""


@pytest.mark.parametrize("cut", range(1, len(TWO)))
def test_no_cut_anywhere_yields_a_partial_second_item(cut):
    text = f'{{"examples": [{ONE}, {TWO[:cut]}'
    assert pairs(text, finish_reason="length") == [FIRST]
    assert set(pairs(text, finish_reason=None)) <= {FIRST, SECOND}


def test_a_cut_answer_in_prose_is_refused():
    text = "Question: How high is it?\nAnswer: 40 metres.\nQuestion: Who built it?\nAnswer: Ada"
    reply = parse_reply(text, task_type="qa", finish_reason="length")
    assert [e.prompt for e in reply.examples] == ["How high is it?"]
    assert reply.rejected[0]["reason"] == "cut off in the middle"


def test_a_broken_item_does_not_take_its_neighbours_with_it():
    reply = parse_reply(f'[{ONE}, {{"question": }}, {TWO}]', task_type="qa")
    assert [e.completion for e in reply.examples] == ["40 metres.", "Ada Berg."]
    assert len(reply.rejected) == 1


def test_a_repaired_item_says_so():
    reply = parse_reply("{'question': 'Who?', 'answer': 'Ada.'}", task_type="qa")
    assert reply.examples[0].flags == ["repaired"]


def test_evidence_and_context_are_read():
    item = {"instruction": "Sum up.", "input": "Long text.", "output": "Short.", "evidence": "Long"}
    example = parse_reply(json.dumps([item]), task_type="instruction").examples[0]
    assert (example.prompt, example.context) == ("Sum up.", "Long text.")
    assert (example.completion, example.evidence, example.flags) == ("Short.", "Long", [])


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"question": "Who?"}, "no answer"),
        ({"question": "", "answer": "x"}, "no question"),
        ({"question": "Who?", "answer": None}, "no answer"),
        ({"question": "Who?", "answer": {"name": "x"}}, "no answer"),
        ({"question": "Who?", "answer": "who?"}, "the answer repeats the question"),
        ({"question": "<question>", "answer": "x y"}, "a placeholder instead of text"),
        ({"question": "Who?", "answer": "..."}, "a placeholder instead of text"),
        ({"question": "Who?", "answer": "I'm sorry, I cannot say."}, "the model refused"),
        ({"question": "Who?", "answer": "x" * 9000}, "too long"),
        ({"error": "no"}, "no question"),
    ],
)
def test_an_unusable_item_is_refused_with_its_reason(item, reason):
    reply = parse_reply(json.dumps({"examples": [item]}), task_type="qa")
    assert not reply.examples
    assert [rejected["reason"] for rejected in reply.rejected] == [reason]
    assert reply.error_class in ("no_valid_items", "refusal")


def test_a_key_that_is_there_twice_is_ambiguous():
    reply = parse_reply('{"question": "Who?", "answer": "A.", "answer": "B."}', task_type="qa")
    assert not reply.examples and "twice" in reply.rejected[0]["reason"]


@pytest.mark.parametrize(
    ("text", "error_class"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("<think>Let me see what they want", "empty"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("Je suis désolé, mais je ne peux pas.", "refusal"),
        ("The tower is forty metres high.", "unparsable"),
        ("[]", "unparsable"),
        ("{{{{ ]] question -> answer", "unparsable"),
        ("null", "unparsable"),
        (None, "empty"),
    ],
)
def test_a_reply_without_examples_has_its_class(text, error_class):
    reply = parse_reply(text, task_type="qa")
    assert (reply.examples, reply.error_class) == ([], error_class)
    assert reply.rejected, "the reason must be there to look at"


def test_a_reply_that_is_all_cut_off_is_truncated():
    reply = parse_reply('[{"question": "Who', task_type="qa", finish_reason="length")
    assert (reply.examples, reply.error_class) == ([], "truncated")


def test_characters_that_databases_refuse_are_gone():
    text = '{"question": "Who\\u0000 built \\ud800it?", "answer": "Ada\\u0000."}'
    example = parse_reply(text, task_type="qa").examples[0]
    assert (example.prompt, example.completion) == ("Who built it?", "Ada.")


def test_a_question_without_its_mark_or_about_the_text_is_flagged():
    first = {"question": "Name it", "answer": "A."}
    second = {"question": "Who, in the text?", "answer": "B."}
    text = json.dumps([first, second])
    flags = [example.flags for example in parse_reply(text, task_type="qa").examples]
    assert flags == [["no_question_mark"], ["speaks_of_the_text"]]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, '["a" ' * 30_000, "{" * 300])
def test_hostile_nesting_is_refused_quickly(text):
    assert parse_reply(text, task_type="qa").examples == []


@pytest.mark.parametrize(
    "part",
    ["*", "_", "#", "\n", " ", "7", '"1":', "<think>", "Question:", "**\n", "1)\n", "\u0301\u0327"],
)
@pytest.mark.parametrize("start", ["", "Question: x", '{"question": "', '{"'])
def test_a_stuck_model_does_not_hold_up_the_worker(part, start):
    text = start + part * (100_000 // len(part))
    began = time.monotonic()
    parse_reply(text, task_type="qa")
    assert time.monotonic() - began < 2


def test_a_long_key_of_digits_is_read_in_time():
    began = time.monotonic()
    parse_reply(json.dumps({"7" * 100_000 + "x": "y", "question": "Who?"}), task_type="qa")
    assert time.monotonic() - began < 2


def test_prose_keeps_no_rules_and_marks_around_its_values():
    text = "**Question:** _Who?_\n***\nAnswer: “Ada Berg.”\n\n2.\nQuestion: When?\nAnswer: 1901"
    assert pairs(text) == [("Who?", "Ada Berg."), ("When?", "1901")]


def test_thoughts_of_two_kinds_and_an_unclosed_one_are_left_out():
    text = f"<think>a</think> <THOUGHT>b<think></thought>\n{ONE}{TWO}<reasoning>never closed"
    assert pairs(text) == [FIRST, SECOND]


def test_a_reason_holds_no_character_that_a_database_refuses():
    text = '{"question\\u0000\\ud800": "a", "question\\u0000\\ud800": "b"}'
    (rejected,) = parse_reply(text, task_type="qa").rejected
    assert rejected["reason"] == "the key question is there twice with different values"
    assert "\0" not in rejected["text"] and rejected["text"].encode()


def test_thousands_of_refused_items_become_one_refusal_with_their_count():
    reply = parse_reply(json.dumps({"a": [1] * 60_000}), task_type="qa")
    assert len(reply.rejected) == 201
    assert reply.rejected[-1]["text"].startswith("59800 items")


@given(st.text(max_size=300), st.sampled_from(["stop", "length", None]))
def test_no_text_makes_the_parser_raise(text, finish_reason):
    reply = parse_reply(text, task_type="qa", finish_reason=finish_reason)
    assert bool(reply.examples) == (reply.error_class == "")


@given(st.text(alphabet='{}[]",:\\ aQ?<think>/`\n', max_size=120))
def test_no_heap_of_brackets_makes_the_parser_raise(text):
    parse_reply(f"{ONE}{text}{TWO}", task_type="qa")
