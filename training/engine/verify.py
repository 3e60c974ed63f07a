"""Task `verify`: load an exported adapter as a stranger would, and measure it again."""

from peft import PeftModel

from training.engine.session import Session

RESULT = "verification.json"


def run(session: Session) -> list[str]:
    """Compare the export's eval loss with the reported one; return the names of the results."""
    with session.stop.at_once():
        session.load()
        model = PeftModel.from_pretrained(session.model, session.config.adapter)
        session.phase("check", "Checking the labels of every row.")
        rows, _ = session.read("eval.jsonl")
        session.phase("evaluate", "Measuring the exported adapter.")
        measured = session.measure_loss(rows, model=model)
        answers = session.write_answers(rows[:1], model=model)
    expected = session.config.expected_eval_loss
    difference = abs(measured["eval_loss"] - expected) / max(abs(expected), 1e-9)
    result = {
        "ok": difference <= session.config.tolerance,
        "eval_loss": measured["eval_loss"],
        "expected": expected,
        "difference": difference,
        "tolerance": session.config.tolerance,
        "tokens": measured["tokens"],
        "first_prompt": rows[0].row.question,
        "first_answer": answers[0],
    }
    session.write_json(RESULT, result)
    session.events.write("metric", step=0, epoch=0, eval_loss=measured["eval_loss"])
    return [RESULT]
