"""How to train a model on a machine: the first way that fits, with its reasons. Pure code."""

from dataclasses import dataclass, field

from training.hardware import Gpu, Hardware
from training.model_info import ModelInfo
from training.vram import VramEstimate, estimate

LORA, QLORA = "lora", "qlora"
USABLE = 0.9
"""Share of the free memory that a plan may take: an estimate is off by up to 8 %."""
PROCESSOR_PARAMETERS = 700_000_000
"""A larger model takes days without a graphics card: the bundled 135 million do 80 tokens/s."""
FEW_EXAMPLES = 200
LENGTHS = (2048, 4096, 8192, 16384, 32768)
"""A lower limit than the first would save nothing: rows are padded to their batch's longest."""
TEMPLATE_TOKENS = 96
"""What a chat template adds to an example's own tokens, generously."""
_GIB = 2**30


@dataclass(frozen=True)
class Plan:
    """One way to train, and what it would take. Bytes."""

    method: str
    micro_batch: int
    gradient_accumulation: int
    gradient_checkpointing: bool
    max_length: int
    estimate: VramEstimate


@dataclass(frozen=True)
class Recommendation:
    """`plan` is None when nothing fits; `headline` and `reasons` are sentences for a person."""

    headline: str
    tone: str
    reasons: list[str]
    available_bytes: int
    plan: Plan | None = None
    tried: list[Plan] = field(default_factory=list)

    @property
    def smallest(self) -> Plan | None:
        """The plan that needs the least, whether it fits or not."""
        return min(self.tried, key=lambda plan: plan.estimate.total_bytes, default=None)


def recommend(model: ModelInfo, hardware: Hardware, dataset_stats: dict) -> Recommendation:
    """Return the first plan that fits: LoRA before QLoRA, larger batches before smaller ones.

    `dataset_stats`: "examples" (how many) and "longest" (tokens of the longest; 0: not known).
    """
    gpu = max(hardware.gpus, key=lambda gpu: gpu.free_bytes, default=None)
    if gpu is None and model.parameters > PROCESSOR_PARAMETERS:
        return _too_slow(model)
    free = gpu.free_bytes if gpu else hardware.ram_free_bytes or 0
    available = int(USABLE * free)
    tried = _plans(model, dataset_stats, on_gpu=gpu is not None, hardware=hardware)
    plan = next((plan for plan in tried if plan.estimate.total_bytes <= available), None)
    if plan is None:
        return _nothing_fits(model, gpu, available, tried)
    reasons = _reasons(plan, gpu, dataset_stats, tried)
    headline = "LoRA fits." if plan.method == LORA else "QLoRA fits."
    return Recommendation(headline, "good", reasons, available, plan, tried)


def length_for(longest: int, context_length: int) -> int:
    """Return the smallest usual length that takes the longest example with its template."""
    needed = longest + TEMPLATE_TOKENS
    usual = next((length for length in LENGTHS if length >= needed), needed)
    return min(usual, context_length) if context_length >= needed else usual


def _plans(model: ModelInfo, stats: dict, *, on_gpu: bool, hardware: Hardware) -> list[Plan]:
    """Return every way worth trying, the best first."""
    length = length_for(stats.get("longest") or 1024, model.context_length)
    seq_len = min(length, (stats.get("longest") or length) + TEMPLATE_TOKENS)
    effective = 4 if stats.get("examples", 0) < FEW_EXAMPLES else 8
    methods = [LORA] + ([QLORA] if on_gpu and hardware.bitsandbytes else [])
    plans = []
    for method in methods:
        for checkpointing in (False, True):
            for batch in (8, 4, 2, 1):
                if batch > effective:
                    continue
                size = estimate(
                    model,
                    method=method,
                    seq_len=seq_len,
                    micro_batch=batch,
                    gradient_checkpointing=checkpointing,
                    device="cuda" if on_gpu else "cpu",
                )
                steps = effective // batch
                plans.append(Plan(method, batch, steps, checkpointing, length, size))
    return plans


def _reasons(plan: Plan, gpu: Gpu | None, stats: dict, tried: list[Plan]) -> list[str]:
    where = f"the {_gb(gpu.free_bytes)} that {gpu.name} has free" if gpu else "the free memory"
    effective = plan.micro_batch * plan.gradient_accumulation
    reasons = [f"About {_gb(plan.estimate.total_bytes)} of {where}, by the estimate below."]
    if plan.method == QLORA:
        lora = min(p.estimate.total_bytes for p in tried if p.method == LORA)
        reasons.append(
            f"LoRA would need {_gb(lora)} at least. QLoRA stores the base model in 4 bits: less "
            "memory, but slower."
        )
    elif gpu is None:
        reasons.append(
            "Without a graphics card the processor does the work, in 32-bit numbers; QLoRA would "
            "only be slower."
        )
    else:
        reasons.append("The model fits in 16 bits, so there is no need to store it in 4 (QLoRA).")
    steps = f", {plan.gradient_accumulation} times a step" * (plan.gradient_accumulation > 1)
    few = ": few examples learn better in small steps" * (effective < 8)
    reasons.append(
        f"{plan.micro_batch} at once{steps}: an effective batch of {effective} examples{few}."
    )
    if stats.get("longest"):
        reasons.append(
            f"Up to {plan.max_length:,} tokens an example: the longest has {stats['longest']:,}, "
            "and the chat template adds some."
        )
    if plan.gradient_checkpointing:
        reasons.append("Some values are computed twice (checkpointing): keeping them is too much.")
    return reasons


def _too_slow(model: ModelInfo) -> Recommendation:
    text = (
        f"It has {model.parameters / 1e9:.1f} billion parameters. Without a graphics card up to "
        f"{PROCESSOR_PARAMETERS // 10**6} million are bearable; this one would take days."
    )
    todo = "Choose a smaller model on the Model step, or train on a machine with a card."
    return Recommendation("Not on this machine.", "bad", [text, todo], 0)


def _nothing_fits(
    model: ModelInfo, gpu: Gpu | None, available: int, tried: list[Plan]
) -> Recommendation:
    least = min(plan.estimate.total_bytes for plan in tried)
    where = f"{gpu.name} has {_gb(gpu.free_bytes)} free" if gpu else "less memory is free"
    reasons = [f"Even the smallest way needs about {_gb(least)}; {where}."]
    if gpu and all(plan.method == LORA for plan in tried):
        reasons.append("bitsandbytes is not installed here, so QLoRA (4 bits) was not considered.")
    reasons.append("Choose a smaller model on the Model step, or free memory and look again.")
    return Recommendation("Not on this machine.", "bad", reasons, available, None, tried)


def _gb(size: int) -> str:
    return f"{size / _GIB:.1f} GB"
