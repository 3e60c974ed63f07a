"""Task `train`: baseline, training, the same measurements after, and the artefacts."""

import hashlib
import importlib.metadata
import json
import shutil
import sys

from transformers import set_seed

from training.engine import checkpoints, evaluate, files, models, recipe
from training.engine.data import Encoded, spread
from training.engine.session import Session

ADAPTER = "adapter"
FEW_EVAL_ROWS = 5
RESULTS = ("config.json", "train.jsonl", "eval.jsonl", ADAPTER, "metrics.json", "samples.json")
LIBRARIES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "bitsandbytes",
)


def run(session: Session) -> list[str]:
    """Do all phases; return the names of the results. Continues from a whole checkpoint."""
    with session.stop.at_once():
        session.load()
        session.phase("check", "Checking the labels of every row.")
        train_rows, report = session.read("train.jsonl")
        eval_rows, _ = session.read("eval.jsonl")
        _warn_of_few(session, eval_rows)
        shown = spread(eval_rows, session.config.eval_prompts)
        baseline = _baseline(session, eval_rows, shown)
    trainer, work = _train(session, train_rows, eval_rows)
    session.phase("evaluate", "Measuring the result.")
    model = _as_loaded(trainer)
    final = session.measure_loss(eval_rows, model=model, check=session.stop.check)
    after = session.write_answers(shown, model=model)
    session.phase("save", "Saving the adapter.")
    _save_adapter(session, model)
    metrics = _metrics(session, trainer, work, report, baseline["loss"], final)
    session.write_json("metrics.json", metrics)
    samples = evaluate.make_samples(shown, baseline["answers"], after)
    session.write_json("samples.json", samples)
    return list(RESULTS)


def _warn_of_few(session: Session, eval_rows: list[Encoded]) -> None:
    count = len(eval_rows)
    if count < FEW_EVAL_ROWS:
        noun = "example" if count == 1 else "examples"
        text = f"There is little to measure with: only {count} evaluation {noun}."
        session.events.write("warning", text=text)


def _baseline(session: Session, eval_rows: list[Encoded], shown: list[Encoded]) -> dict:
    """Return {"loss", "answers"} of the untrained model; measured once in a run's life."""
    key = _baseline_key(session)
    kept = files.read_json(session.folder / "baseline.json")
    if kept is not None and kept.get("key") == key:
        session.phase("baseline", "The baseline was measured before.")
        return kept
    session.phase("baseline", "Measuring the base model.")
    loss = session.measure_loss(eval_rows, check=session.stop.check)
    session.events.write("metric", step=0, epoch=0, eval_loss=loss["eval_loss"])
    baseline = {"key": key, "loss": loss, "answers": session.write_answers(shown)}
    session.write_json("baseline.json", baseline)
    return baseline


def _baseline_key(session: Session) -> str:
    """Return a hash over what the baseline depends on: it must not outlive a change by hand."""
    digest = hashlib.sha256(json.dumps(session.config.to_json(), sort_keys=True).encode())
    digest.update((session.folder / "eval.jsonl").read_bytes())
    return digest.hexdigest()


def _train(session: Session, train_rows: list[Encoded], eval_rows: list[Encoded]):
    """Train to the end; return the trainer, with the best weights loaded, and the work done."""
    newest, torn = checkpoints.newest_whole(session.folder)
    for name in torn:
        session.events.write("warning", text=f"{name} was not whole and is left out.")
    work = checkpoints.work_at(newest) if newest else checkpoints.Work()
    set_seed(session.config.seed)
    trainer = recipe.make_trainer(session, train_rows, eval_rows, work)
    text = f"Training goes on from {newest.name}." if newest else "Training."
    total, step = trainer.args.max_steps, checkpoints.step_of(newest) if newest else 0
    session.events.write("phase", phase="train", text=text, total=total, resumed_from=step)
    trainer.train(resume_from_checkpoint=_relative(newest))
    if trainer.state.global_step < total:
        session.stop.check()
        if not trainer.progress.is_finished_early:
            patience = session.config.early_stopping_patience
            text = f"Stopped early: {patience} evaluations without gain."
            session.events.write("log", text=text)
    _warn_of_lost_best(session, trainer)
    return trainer, work


def _relative(checkpoint) -> str | None:
    return f"{checkpoints.FOLDER}/{checkpoint.name}" if checkpoint else None


def _warn_of_lost_best(session: Session, trainer) -> None:
    best = trainer.state.best_model_checkpoint
    if best and not (session.folder / best).is_dir():
        text = f"The best checkpoint ({best}) is gone; the last weights are used."
        session.events.write("warning", text=text)


def _as_loaded(trainer):
    """Return the model as a fresh load of the adapter gives it: float32 adapter, no autocast.

    The numbers reported are then the numbers that a check of the export finds.
    """
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def _save_adapter(session: Session, model) -> None:
    """Write adapter/ whole: weights, settings, tokenizer, template. No path of this machine."""
    if not session.is_main:
        return
    with files.new_folder(session.folder / ADAPTER) as folder:
        model.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        path = folder / "adapter_config.json"
        values = files.read_json(path)
        values["base_model_name_or_path"] = session.config.base_model_id
        values["revision"] = session.config.revision
        # PEFT keeps a set, whose order changes from process to process.
        values["target_modules"] = sorted(values["target_modules"])
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        models.save_tokenizer(session.tokenizer, folder)


def _metrics(session: Session, trainer, work, report: dict, baseline: dict, final: dict) -> dict:
    state = trainer.state
    return {
        "baseline": baseline,
        "final": final,
        "train": {
            "steps": state.global_step,
            "planned_steps": trainer.args.max_steps,
            "best_step": state.best_global_step,
            "epochs": round(state.epoch or 0, 4),
            "seconds": round(work.seconds, 3),
            "tokens": work.tokens,
            "tokens_per_second": round(work.tokens / work.seconds, 1) if work.seconds else None,
            "stopped_early": state.global_step < trainer.args.max_steps,
            "stopped_by": _stopped_by(trainer),
        },
        "history": _history(baseline, state.log_history),
        "versions": _versions(),
        "peak_bytes": session.peak_bytes(),
        "peak_kind": "gpu_allocated" if session.device.is_gpu else "process_resident",
        "trained_token_share": report["trained_token_share"],
        "label_check": report | {"end_of_turn": _end_tokens(session)},
        "device": session.device.label,
    }


def _stopped_by(trainer) -> str | None:
    """Return who ended the training before its last step: "person", "no_gain", or nobody."""
    if trainer.state.global_step >= trainer.args.max_steps:
        return None
    return "person" if trainer.progress.is_finished_early else "no_gain"


def _history(baseline: dict, log: list[dict]) -> list[dict]:
    """Return the points of the curves, the untrained model's eval loss at step 0 first."""
    points = [{"step": 0, "epoch": 0, "eval_loss": baseline["eval_loss"]}]
    for entry in log:
        if "loss" in entry or "eval_loss" in entry:
            names = ("step", "epoch", "loss", "eval_loss", "learning_rate")
            points.append({name: entry[name] for name in names if name in entry})
    return points


def _end_tokens(session: Session) -> list[str]:
    return [session.tokenizer.convert_ids_to_tokens(i) for i in sorted(session.stop_ids)]


def _versions() -> dict[str, str]:
    versions = {"python": sys.version.split()[0]}
    return versions | {name: importlib.metadata.version(name) for name in LIBRARIES}


def remove_checkpoints(session: Session) -> None:
    """Free the checkpoints of a finished run; its adapter is safe under its manifest."""
    shutil.rmtree(session.folder / checkpoints.FOLDER, ignore_errors=True)
