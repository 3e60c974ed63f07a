"""Measuring a model: loss over the answers' tokens, and the answers themselves.

One definition for the baseline, the curve, the final number and the check of an export.
Batches are padded on the left: the answers' tokens then stand at the end of every row, and only
their logits are computed.
"""

import inspect
import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

from training.engine.data import Encoded
from training.engine.errors import EngineError

Check = Callable[[], None]


def _nothing() -> None:
    pass


def measure_loss(
    model, rows: list[Encoded], *, pad_id: int, batch_size: int, check: Check = _nothing
) -> dict:
    """Return {"eval_loss", "perplexity", "tokens"}: mean negative log-likelihood in nats a token.

    Weighted by tokens over the whole file, not averaged over batches: the batch size does not
    change the number. `check` is called between batches and may raise. Raises `EngineError` nan.
    """
    model.eval()
    total, tokens = 0.0, 0
    for batch in _batches(rows, batch_size):
        check()
        total += _negative_log_likelihood(model, batch, pad_id)
        tokens += sum(len(row.completion_ids) for row in batch)
    loss = total / tokens
    if not math.isfinite(loss):
        raise not_a_number("evaluation")
    return {"eval_loss": loss, "perplexity": math.exp(min(loss, 700)), "tokens": tokens}


def not_a_number(where: str) -> EngineError:
    text = (
        f"The loss of the {where} is not a number. Start a new training with a smaller "
        "learning rate (under Advanced): a tenth is a good next try."
    )
    return EngineError("nan", text)


def _batches(rows: list[Encoded], size: int) -> Iterator[list[Encoded]]:
    """Yield rows of like length together: less padding, the same sum."""
    ordered = sorted(rows, key=len, reverse=True)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def _left_padded(sequences: list[list[int]], pad_id: int, device) -> dict[str, torch.Tensor]:
    """Return input_ids, attention_mask and position_ids, each (batch, longest)."""
    width = max(map(len, sequences))
    ids = [[pad_id] * (width - len(s)) + s for s in sequences]
    mask = [[0] * (width - len(s)) + [1] * len(s) for s in sequences]
    attention = torch.tensor(mask, device=device)
    positions = (attention.cumsum(-1) - 1).clamp(min=0)
    input_ids = torch.tensor(ids, device=device)
    return {"input_ids": input_ids, "attention_mask": attention, "position_ids": positions}


@torch.no_grad()
def _negative_log_likelihood(model, batch: list[Encoded], pad_id: int) -> float:
    inputs = _left_padded([row.input_ids for row in batch], pad_id, model.device)
    longest = max(len(row.completion_ids) for row in batch)
    logits = _last_logits(model, inputs, longest + 1)[:, :-1].float()
    labels = [[-100] * (longest - len(r.completion_ids)) + r.completion_ids for r in batch]
    targets = torch.tensor(labels, device=logits.device)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").item()


def _last_logits(model, inputs: dict, count: int) -> torch.Tensor:
    """Return the logits of the last `count` positions: (batch, count, vocabulary)."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = inspect.signature(type(base).forward).parameters
    if "position_ids" not in known:
        inputs = {name: value for name, value in inputs.items() if name != "position_ids"}
    keep = {"logits_to_keep": count} if "logits_to_keep" in known else {}
    return model(**inputs, use_cache=False, **keep).logits[:, -count:]


@torch.no_grad()
def write_answers(
    model,
    tokenizer,
    rows: list[Encoded],
    *,
    stop_ids: set[int],
    max_new_tokens: int,
    batch_size: int = 8,
    check: Check = _nothing,
) -> list[str]:
    """Return one greedy answer a row, in the order of `rows`."""
    model.eval()
    answers = []
    for start in range(0, len(rows), batch_size):
        check()
        batch = rows[start : start + batch_size]
        inputs = _left_padded([r.prompt_ids for r in batch], tokenizer.pad_token_id, model.device)
        inputs.pop("position_ids")  # `generate` makes its own from the mask.
        output = model.generate(
            **inputs,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=max_new_tokens,
            eos_token_id=sorted(stop_ids),
            pad_token_id=tokenizer.pad_token_id,
        )
        new = output[:, inputs["input_ids"].shape[1] :]
        answers += [t.strip() for t in tokenizer.batch_decode(new, skip_special_tokens=True)]
    return answers


def make_samples(rows: list[Encoded], before: list[str], after: list[str]) -> list[dict]:
    return [
        {"prompt": r.row.question, "reference": r.row.reference, "before": b, "after": a}
        for r, b, a in zip(rows, before, after, strict=True)
    ]
