"""manage.py train PROJECT: start a training and follow it."""

from dataclasses import fields

from projects.commands import BadInput, find_project
from projects.job_commands import JobCommand
from training import services
from training.engine.config import EngineConfig
from training.models import Run

# Option, setting of the engine, type. What is not given keeps the engine's default.
OPTIONS = (
    ("--epochs", "epochs", float),
    ("--learning-rate", "learning_rate", float),
    ("--micro-batch", "micro_batch", int),
    ("--gradient-accumulation", "gradient_accumulation", int),
    ("--lora-rank", "lora_rank", int),
    ("--lora-alpha", "lora_alpha", float),
    ("--lora-dropout", "lora_dropout", float),
    ("--max-length", "max_length", int),
    ("--max-steps", "max_steps", int),
    ("--eval-prompts", "eval_prompts", int),
    ("--early-stopping-patience", "early_stopping_patience", int),
    ("--seed", "seed", int),
)
_DEFAULTS = {field.name: field.default for field in fields(EngineConfig)}


class Command(JobCommand):
    help = "Train an adapter on the project's dataset."

    def add_arguments(self, parser) -> None:
        parser.add_argument("project", type=int)
        parser.add_argument("--method", choices=Run.Method.values, default=Run.Method.LORA.value)
        for option, name, kind in OPTIONS:
            parser.add_argument(
                option,
                type=kind,
                help=f"Default: {_DEFAULTS[name]}.",
                metavar=kind.__name__.upper(),
            )
        super().add_arguments(parser)

    def work(self, *, project, method, **options) -> dict:
        names = [name for _, name, _ in OPTIONS]
        given = {name: options.pop(name) for name in names}
        overrides = {name: value for name, value in given.items() if value is not None}
        _check(method, overrides)
        job = services.start_training(project=find_project(project), method=method, **overrides)
        data = self.follow(job, **options)
        return data | {"run": job.run.pk}


def _check(method: str, overrides: dict) -> None:
    """Refuse values that the engine would refuse, before anything is queued."""
    try:
        EngineConfig(base_model="any", method=method, **overrides)
    except ValueError as error:
        raise BadInput("invalid", str(error)) from error
