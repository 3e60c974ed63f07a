"""What training and verification share: settings, model, tokenizer and checked rows."""

import resource
from dataclasses import dataclass, field
from pathlib import Path

import torch

from training.engine import data, evaluate, files, labels, models
from training.engine.config import EngineConfig
from training.engine.control import StopRequest
from training.engine.data import Encoded
from training.engine.events import EventWriter


@dataclass
class Session:
    """One engine's work in one run directory."""

    folder: Path
    config: EngineConfig
    events: EventWriter
    stop: StopRequest
    device: models.Device
    model: object = None
    tokenizer: object = None
    stop_ids: set[int] = field(default_factory=set)

    @property
    def is_main(self) -> bool:
        """False in all but the first process of a distributed run: only that one writes."""
        return self.events.enabled

    def write_json(self, name: str, content) -> None:
        if self.is_main:
            files.write_json(self.folder / name, content)

    def peak_bytes(self) -> int:
        """Return the most memory so far: of the card, or of this process where there is none."""
        if self.device.is_gpu:
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def phase(self, name: str, text: str) -> None:
        self.events.write("phase", phase=name, text=text)

    def load(self) -> None:
        """Load tokenizer and base model; for `verify` the tokenizer comes from the export."""
        config = self.config
        self.phase("load", f"Loading {config.base_model_id} on {self.device.label}.")
        self.tokenizer = models.load_tokenizer(config, config.adapter)
        self.model = models.load_model(config, self.device)
        self.stop_ids, warnings = models.prepare_tokenizer(self.tokenizer, self.model)
        for text in warnings:
            self.events.write("warning", text=text)

    def read(self, name: str) -> tuple[list[Encoded], dict]:
        """Return a file's rows in tokens and the counts of their labels, all rows checked."""
        rows = data.read_rows(self.folder / name, self.tokenizer)
        encoded = [data.encode(self.tokenizer, row, self.stop_ids) for row in rows]
        report = labels.check_labels(
            encoded,
            stop_ids=self.stop_ids,
            bos_id=self.tokenizer.bos_token_id,
            max_length=self.config.max_length,
        )
        self.events.write(
            "log",
            text=f"{name}: {report['rows']} rows, {report['trained_tokens']} of "
            f"{report['tokens']} tokens are trained, each answer ends with its end of turn.",
        )
        return encoded, report

    def measure_loss(self, rows: list[Encoded], model=None, **options) -> dict:
        return evaluate.measure_loss(
            self.model if model is None else model,
            rows,
            pad_id=self.tokenizer.pad_token_id,
            batch_size=self.config.micro_batch,
            **options,
        )

    def write_answers(self, rows: list[Encoded], model=None) -> list[str]:
        return evaluate.write_answers(
            self.model if model is None else model,
            self.tokenizer,
            rows,
            stop_ids=self.stop_ids,
            max_new_tokens=self.config.max_new_tokens,
            check=self.stop.check,
        )
