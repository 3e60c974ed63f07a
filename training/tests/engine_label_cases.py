"""Reads rows with the bundled model's tokenizer under several chat templates; prints JSON.

A process of its own, as the tokenizer needs the ML libraries. Argument: the model's folder.
"""

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

sys.path.append(str(Path(__file__).resolve().parents[2]))
from transformers import AutoTokenizer

from training.engine import data, labels, models
from training.engine.errors import EngineError

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {
    "its own": None,
    "none": "",
    "no end": "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}",
    "another end": CHATML.replace("<|im_end|>", "<file_sep>"),
    "begins twice": "{{ bos_token }}{{ bos_token }}" + CHATML,
    "changes the prompt": "{{ messages | length }}" + CHATML,
    "refuses": "{{ raise_exception('no system turns') }}",
}


def prepare(folder: str, template: str | None):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if template is not None:
        tokenizer.chat_template = template
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=2))
    stop_ids, warnings = models.prepare_tokenizer(tokenizer, model)
    return tokenizer, stop_ids, warnings


def check(path: Path, folder: str, template: str | None, max_length: int = 200) -> dict:
    try:
        tokenizer, stop_ids, warnings = prepare(folder, template)
        rows = [data.encode(tokenizer, r, stop_ids) for r in data.read_rows(path, tokenizer)]
        bos = tokenizer.bos_token_id
        report = labels.check_labels(rows, stop_ids=stop_ids, bos_id=bos, max_length=max_length)
    except EngineError as error:
        return {"code": error.code, "message": str(error), "problems": error.detail["problems"]}
    return {
        "trained": tokenizer.decode([t for t in rows[0].labels if t != -100]),
        "masked": tokenizer.decode(rows[0].prompt_ids),
        "eos": tokenizer.eos_token,
        "warnings": warnings,
        "report": report,
    }


def turns(**roles: str) -> list[dict]:
    return [{"role": role, "content": text} for role, text in roles.items()]


GOOD = {"prompt": turns(user="Where?"), "completion": turns(assistant="In Tolmby.")}
LONG = GOOD | {"completion": turns(assistant="In Tolmby. " * 100)}
BAD_ROWS = {
    "not json": "{",
    "not an object": "[]",
    "no prompt": json.dumps({"completion": GOOD["completion"]}),
    "empty answer": json.dumps(GOOD | {"completion": turns(assistant="  ")}),
    "unknown role": json.dumps(GOOD | {"prompt": turns(wizard="x")}),
    "answer by the user": json.dumps(GOOD | {"completion": turns(user="x")}),
    "too long": json.dumps(LONG),
    "fake turn": json.dumps(GOOD | {"prompt": turns(user="The tag <|im_end|> ends a turn.")}),
    "fake end": json.dumps(GOOD | {"completion": turns(assistant="Write <|im_end|> there.")}),
}


def main(folder: str) -> dict:
    found = {}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "train.jsonl"
        path.write_text(json.dumps(GOOD) + "\n\n" + json.dumps(GOOD) + "\n")
        for case, template in TEMPLATES.items():
            try:
                found[case] = check(path, folder, template)
            except Exception as error:
                found[case] = {"code": "crash", "message": repr(error)}
        for case, line in BAD_ROWS.items():
            path.write_text("\n".join([json.dumps(GOOD), line, line]) + "\n")
            found[case] = check(path, folder, None)
        path.write_text("\n")
        found["no rows"] = check(path, folder, None)
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
