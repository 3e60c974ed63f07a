"""The dataset on disk: train.jsonl and eval.jsonl in TRL's conversational prompt-completion form.

Files appear whole or not at all; the manifest, written last, says that they belong together.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from django.db.models import F
from django.utils import timezone

from datasets.models import Example, GenerationRequest
from finetuneflow.lib import storage
from projects.models import Job, Project
from projects.services import project_folder

SPLITS = (Example.Split.TRAIN, Example.Split.EVAL)
BATCH = 500
# Some readers of lines break at these characters, which JSON may carry as they are.
_LINE_BREAKS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def write_splits(project: Project, folder: Path) -> dict:
    """Write train.jsonl and eval.jsonl into `folder`; rejected and deleted examples stay out.

    Which example is on which side is read once: however the split changes meanwhile, none is in
    both files or missing from both.

    Returns {"train", "eval": examples, "train_tokens", "eval_tokens": tokens of prompts and
    completions without the chat template, "sha256": hash over both files}.
    """
    both, counts, sides = hashlib.sha256(), {}, _sides(project)
    for split in SPLITS:
        examples, tokens = 0, 0
        with storage.atomic_writer(folder / f"{split}.jsonl") as file:
            for example in _examples(sides[split]):
                line = json_line(example)
                file.write(line)
                both.update(line)
                examples += 1
                tokens += example.token_count
        both.update(b"\0")
        counts |= {str(split): examples, f"{split}_tokens": tokens}
    return counts | {"sha256": both.hexdigest()}


def write_dataset(project: Project, *, job: Job | None = None) -> dict:
    """Write the project's dataset folder with its manifest; returns what `write_splits` does."""
    folder = dataset_folder(project)
    (folder / "manifest.json").unlink(missing_ok=True)
    counts = write_splits(project, folder)
    names = [f"{split}.jsonl" for split in SPLITS]
    manifest = {
        "created_at": timezone.now().isoformat(),
        "project": project.pk,
        "task_type": project.task_type,
        "job": job.pk if job else None,
        "prompt_versions": _prompt_versions(job),
        "counts": counts,
        "files": {name: _entry(folder / name) for name in names},
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    storage.write_text(folder / "manifest.json", text)
    return counts


def dataset_folder(project: Project) -> Path:
    return project_folder(project) / "datasets"


def json_line(example: Example) -> bytes:
    """Return one line: the user's turn (with the context, if any) and the assistant's."""
    user = f"{example.prompt}\n\n{example.context}" if example.context else example.prompt
    row = {
        "prompt": [{"role": "user", "content": user}],
        "completion": [{"role": "assistant", "content": example.completion}],
    }
    return json.dumps(row, ensure_ascii=False).translate(_LINE_BREAKS).encode("utf-8") + b"\n"


def _sides(project: Project) -> dict[str, list[int]]:
    """Return the keys of both sides by one query.

    Their order depends on nothing but the documents and the texts.
    """
    examples = Example.objects.filter(project=project, split__in=SPLITS)
    rows = (
        examples.exclude(review__in=Example.LEFT_OUT)
        .order_by(
            F("chunk__file_id").asc(nulls_last=True),
            F("chunk__index").asc(nulls_last=True),
            "fingerprint",
        )
        .values_list("split", "pk")
    )
    sides: dict[str, list[int]] = {split: [] for split in SPLITS}
    for split, key in rows.iterator():
        sides[split].append(key)
    return sides


def _examples(keys: list[int]) -> Iterator[Example]:
    """Yield the examples in the order of `keys`, without those deleted since."""
    fields = Example.objects.only("prompt", "context", "completion", "token_count")
    for start in range(0, len(keys), BATCH):
        batch = keys[start : start + BATCH]
        found = fields.in_bulk(batch)
        yield from (found[key] for key in batch if key in found)


def _entry(path: Path) -> dict:
    return {"sha256": storage.sha256_of(path), "size": path.stat().st_size}


def _prompt_versions(job: Job | None) -> list[str]:
    versions = GenerationRequest.objects.filter(job=job).values_list("prompt_version", flat=True)
    return sorted(set(versions.order_by().distinct()))
