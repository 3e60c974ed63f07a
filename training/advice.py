"""The recommendation for a project: its model on this machine with its own examples."""

from dataclasses import dataclass

from projects.facts import Facts
from projects.models import Project
from training import hardware, model_selectors
from training.engine.config import EngineConfig
from training.model_info import ModelInfo
from training.models import Run
from training.recommender import TEMPLATE_TOKENS, Recommendation, recommend
from training.vram import estimate

PARTS = {
    "weights": ("Base model", "c1"),
    "adapter": ("Adapter and gradients", "c2"),
    "optimiser": ("Optimiser", "c5"),
    "activations": ("Activations", "c3"),
    "logits": ("Logits", "c4"),
    "reserve": ("Reserve", "spare"),
}
BAR_WIDTH = 1000


@dataclass(frozen=True)
class Segment:
    """A piece of the memory bar: x and width in 1000ths of the memory."""

    title: str
    colour: str
    size_bytes: int
    x: float
    width: float


def dataset_stats(project: Project, facts: Facts) -> dict:
    """Return {"examples", "longest"}: what a training would use, and its longest row in tokens."""
    return {"examples": facts.splits["train"], "longest": longest_of(project)}


def longest_of(project: Project) -> int:
    """Return the tokens of the longest example that would be trained or measured."""
    kept = project.examples.filter(split__in=("train", "eval"))
    kept = kept.exclude(review__in=("rejected", "deleted"))
    return kept.order_by("-token_count").values_list("token_count", flat=True).first() or 0


def estimate_for(project: Project, config: EngineConfig) -> int | None:
    """Return the bytes that a run with these settings is estimated to need on this machine."""
    model = model_of(project)
    if model is None:
        return None
    on_gpu, recompute = bool(hardware.probe().gpus), config.gradient_checkpointing
    return estimate(
        model,
        method=config.method,
        seq_len=min(config.max_length, longest_of(project) + TEMPLATE_TOKENS),
        micro_batch=config.micro_batch,
        lora_rank=config.lora_rank,
        target_modules=config.target_modules,
        gradient_checkpointing=on_gpu if recompute is None else recompute,
        device="cuda" if on_gpu else "cpu",
    ).total_bytes


def model_of(project: Project) -> ModelInfo | None:
    """Return what is known about the project's model without asking the network."""
    info = model_selectors.model_facts(project).info
    if not info:
        return None
    known = ModelInfo.__dataclass_fields__
    return ModelInfo(**{name: value for name, value in info.items() if name in known})


def recommendation_for(project: Project, facts: Facts) -> Recommendation | None:
    """Return how to train the project here; None when its model is not known yet."""
    model = model_of(project)
    if model is None:
        return None
    return recommend(model, hardware.probe(), dataset_stats(project, facts))


def training_defaults(project: Project, facts: Facts) -> dict:
    """Return the recommended settings of a training; {} when nothing is known or nothing fits."""
    found = recommendation_for(project, facts)
    if found is None or found.plan is None:
        return {}
    plan = found.plan
    # On a processor the engine keeps all values unless it is told to compute some twice.
    values = {"gradient_checkpointing": True} if plan.gradient_checkpointing else {}
    return values | {
        "method": plan.method,
        "micro_batch": plan.micro_batch,
        "gradient_accumulation": plan.gradient_accumulation,
        "max_length": plan.max_length,
    }


def memory_bar(found: Recommendation) -> dict | None:
    """Return the estimate's parts as segments against the memory that may be used."""
    plan = found.plan or found.smallest
    if plan is None:
        return None
    scale = BAR_WIDTH / max(plan.estimate.total_bytes, found.available_bytes, 1)
    segments, x = [], 0.0
    for name, size in plan.estimate.parts.items():
        title, colour = PARTS[name]
        segments.append(Segment(title, colour, size, round(x, 1), round(size * scale, 1)))
        x += size * scale
    return {
        "plan": plan,
        "segments": segments,
        "limit": round(found.available_bytes * scale, 1),
        "available_bytes": found.available_bytes,
        "total_bytes": plan.estimate.total_bytes,
    }


def measured_peak(project: Project) -> Run | None:
    """Return the newest run that measured its memory."""
    return project.runs.filter(peak_bytes__gt=0).only("pk", "peak_bytes", "method").first()
