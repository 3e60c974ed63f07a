"""The recipe: TRL's SFTTrainer with a LoRA adapter, every setting that matters in one place."""

import math
import os
import time
from pathlib import Path

from peft import LoraConfig
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from datasets import Dataset
from training.engine import checkpoints, labels
from training.engine.config import EngineConfig
from training.engine.control import FinishRequest
from training.engine.data import Encoded
from training.engine.evaluate import not_a_number
from training.engine.models import Device
from training.engine.session import Session


def lora_config(config: EngineConfig) -> LoraConfig:
    modules = config.target_modules
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        task_type="CAUSAL_LM",
    )


def training_arguments(config: EngineConfig, device: Device, total_steps: int) -> SFTConfig:
    """Return the trainer's settings. Paths are relative: the run directory may be moved."""
    pause = max(1, total_steps // config.evals_per_run)
    recompute = config.gradient_checkpointing
    is_bf16 = device.is_gpu and device.dtype.itemsize == 2 and "bfloat16" in str(device.dtype)
    return SFTConfig(
        output_dir=checkpoints.FOLDER,
        max_steps=total_steps,
        per_device_train_batch_size=config.micro_batch,
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(total_steps * config.warmup_ratio),
        loss_type="nll",
        packing=False,
        max_length=None,  # Every row was checked to fit; nothing is ever cut.
        seed=config.seed,
        data_seed=config.seed,
        use_cpu=not device.is_gpu,
        bf16=is_bf16,
        fp16=device.is_gpu and not is_bf16,
        activation_checkpointing=device.is_gpu if recompute is None else recompute,
        dataloader_pin_memory=device.is_gpu,
        eval_strategy="steps",
        eval_steps=pause,
        save_strategy="steps",
        save_steps=pause,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        restore_callback_states_from_checkpoint=True,
        logging_steps=config.logging_steps,
        logging_nan_inf_filter=False,  # The filter would hide a diverged run behind old numbers.
        disable_tqdm=True,
        report_to="none",
        push_to_hub=False,
    )


class Trainer(SFTTrainer):
    """SFTTrainer that measures the eval loss as everything else here does, and writes no card."""

    session: Session
    eval_rows: list[Encoded]
    progress: "Progress"

    def evaluate(self, *args, **kwargs) -> dict:
        loss = self.session.measure_loss(self.eval_rows, model=self.model)
        metrics = {"eval_loss": loss["eval_loss"]}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def create_model_card(self, *args, **kwargs) -> None:
        """TRL would write one into every checkpoint; the export writes the only one."""


class Progress(TrainerCallback):
    """Tells what happens, stops when asked, and marks checkpoints that are whole."""

    def __init__(self, session: Session, work: checkpoints.Work) -> None:
        self.session = session
        self.work = work
        self._started = 0.0
        self._seen_tokens = 0
        self._logged = (work.seconds, work.tokens)
        self._saved_at = time.monotonic()
        self._finish = FinishRequest(session.folder)
        self.is_finished_early = False

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        self._started = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.work.seconds += time.perf_counter() - self._started
        if self.session.stop.reason:
            control.should_save = True
            control.should_training_stop = True
        elif args.world_size == 1 and self._finish.is_due(state.global_step):
            self._end_here(state, control)
        # All processes save together or wait for ever, and their clocks differ.
        if args.world_size == 1 and self._is_save_due():
            control.should_save = True

    def _end_here(self, state, control) -> None:
        """Measure and save at this step as at an evaluation, then leave the loop."""
        if state.global_step >= state.max_steps:
            return
        self._finish.note(state.global_step)
        self.is_finished_early = True
        control.should_log = control.should_evaluate = control.should_save = True
        control.should_training_stop = True
        text = f"Stopped by a person after step {state.global_step} of {state.max_steps}."
        self.session.events.write("log", text=text)

    def _is_save_due(self) -> bool:
        """True when the last checkpoint is too old. The trainer keeps the best one beside it."""
        minutes = self.session.config.save_minutes
        return bool(minutes) and time.monotonic() - self._saved_at >= minutes * 60

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        logs = logs or {}
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise not_a_number("training")
        speed = self._count_tokens(int(logs.get("num_tokens", 0)))
        self._tell(
            state,
            loss=logs["loss"],
            learning_rate=logs.get("learning_rate"),
            tokens_per_second=speed,
        )

    def _count_tokens(self, seen: int) -> float | None:
        """Add the new tokens (padding left out); return tokens a second since the last log."""
        self.work.tokens += seen - self._seen_tokens
        self._seen_tokens = seen
        seconds = self.work.seconds - self._logged[0]
        tokens = self.work.tokens - self._logged[1]
        self._logged = (self.work.seconds, self.work.tokens)
        return round(tokens / seconds, 1) if seconds > 0 else None

    def _tell(self, state, **values) -> None:
        place = {"step": state.global_step, "total": state.max_steps}
        self.session.events.write(
            "metric",
            **place,
            epoch=round(state.epoch, 4),
            **values,
            peak_bytes=self.session.peak_bytes(),
        )
        self.session.events.write("progress", **place, loss=values["loss"])

    def on_evaluate(self, args, state, control, metrics=None, **kwargs) -> None:
        place = {"step": state.global_step, "total": state.max_steps}
        loss = metrics["eval_loss"]
        self.session.events.write(
            "metric", **place, epoch=round(state.epoch or 0, 4), eval_loss=loss
        )

    def on_save(self, args, state, control, **kwargs) -> None:
        self._saved_at = time.monotonic()
        if not state.is_world_process_zero:
            return
        path = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        checkpoints.mark_whole(path, self.work)
        self.session.events.write("log", text=f"Saved checkpoint {state.global_step}.")


def make_trainer(
    session: Session, train_rows: list[Encoded], eval_rows: list[Encoded], work: checkpoints.Work
) -> Trainer:
    """Return the trainer, its prepared data compared with the rows that were checked."""
    config = session.config
    progress = Progress(session, work)
    callbacks: list[TrainerCallback] = [progress]
    if config.early_stopping_patience:
        callbacks.append(EarlyStoppingCallback(config.early_stopping_patience))
    steps = config.steps(len(train_rows), processes=int(os.environ.get("WORLD_SIZE", "1")))
    trainer = Trainer(
        model=session.model,
        args=training_arguments(config, session.device, steps),
        train_dataset=_dataset(train_rows),
        eval_dataset=_dataset(eval_rows),
        processing_class=session.tokenizer,
        peft_config=lora_config(config),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)  # What it prints is in events.jsonl.
    trainer.session, trainer.eval_rows, trainer.progress = session, eval_rows, progress
    labels.check_prepared(train_rows, trainer.train_dataset)
    return trainer


def _dataset(rows: list[Encoded]) -> Dataset:
    return Dataset.from_list([{"input_ids": r.input_ids, "labels": r.labels} for r in rows])
