"""What is learned, checked on every row before the first step. Wrong labels train in silence."""

from training.engine.data import Encoded, bad_data

IGNORED = -100


def check_labels(rows: list[Encoded], *, stop_ids: set[int], bos_id: int | None, max_length: int):
    """Return the counts of the trained tokens; raises `EngineError` bad_data for any bad row.

    Every row must have an answer, end with the end-of-turn token as a label, start with at most one
    begin-of-text token, and fit into `max_length` as a whole.
    """
    problems = []
    for row in rows:
        text = _problem(row, stop_ids, bos_id, max_length)
        if text:
            problems.append(f"{row.row.file} row {row.row.number}: {text}")
    if problems:
        raise bad_data(problems)
    tokens = sum(len(row) for row in rows)
    trained = sum(label != IGNORED for row in rows for label in row.labels)
    return {
        "rows": len(rows),
        "tokens": tokens,
        "trained_tokens": trained,
        "trained_token_share": trained / tokens,
        "longest_row": max(len(row) for row in rows),
    }


def _problem(row: Encoded, stop_ids: set[int], bos_id: int | None, max_length: int) -> str | None:
    trained = [label for label in row.labels if label != IGNORED]
    if not trained or trained[-1] not in stop_ids:
        return (
            "the end-of-turn token is not among the trained tokens; the model would never learn "
            "to stop. The base model's chat template does not write it: choose an instruct model."
        )
    if len(trained) < 2:
        return "the answer has no tokens to learn."
    if bos_id is not None and row.input_ids[:2] == [bos_id, bos_id]:
        return "it starts with two begin-of-text tokens."
    if len(row) > max_length:
        return (
            f"it has {len(row)} tokens and the maximum length is {max_length}; its answer would be "
            "cut. Reject or shorten that example and start a new training, or raise --max-length "
            "of `manage.py train`."
        )
    return None


def check_prepared(rows: list[Encoded], prepared) -> None:
    """Compare what the trainer will see with what was checked; raises `EngineError` bad_data.

    `prepared` yields {"input_ids", "labels"}, in the order of `rows`.
    """
    if len(prepared) != len(rows):
        raise bad_data([f"The trainer kept {len(prepared)} of {len(rows)} rows."])
    for row, seen in zip(rows, prepared, strict=True):
        if list(seen["input_ids"]) != row.input_ids or list(seen["labels"]) != row.labels:
            where = f"{row.row.file} row {row.row.number}"
            raise bad_data([f"{where}: the trainer changed the labels that were checked."])
