"""Loading the base model, its tokenizer and an adapter. No code of a repository ever runs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from training.engine.config import EngineConfig
from training.engine.errors import MODEL_MISSING, EngineError, classify

# Only for base models without a template of their own. It needs no new tokens.
PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}### Answer:\n{{ message['content'] }}{{ eos_token }}"
    "{% elif message['role'] == 'user' %}### Question:\n{{ message['content'] }}\n\n"
    "{% else %}{{ message['content'] }}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}### Answer:\n{% endif %}"
)


@dataclass(frozen=True)
class Device:
    """Where the model runs and in which number format."""

    name: str
    dtype: torch.dtype
    label: str

    @property
    def is_gpu(self) -> bool:
        return self.name != "cpu"


def find_device(local_rank: int = 0) -> Device:
    """Return the GPU of this process, in bfloat16 where it has that; else the CPU in float32."""
    if not torch.cuda.is_available():
        return Device("cpu", torch.float32, "cpu")
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return Device(f"cuda:{local_rank}", dtype, torch.cuda.get_device_name(local_rank))


def load_model(config: EngineConfig, device: Device):
    """Return the frozen base model, 4-bit (NF4, double quantisation) for QLoRA.

    Raises `EngineError` model_missing or gated.
    """
    options = {"device_map": {"": device.name}} if device.is_gpu else {}
    if config.method == "qlora":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=device.dtype,
        )
    with _named_errors(config):
        model = AutoModelForCausalLM.from_pretrained(
            config.base_model,
            revision=config.revision,
            dtype=device.dtype,
            use_safetensors=True,
            trust_remote_code=False,
            **options,
        )
    return _one_arithmetic(model)


def _one_arithmetic(model):
    """Let 4-bit layers compute alike in training and evaluation; return the model.

    On CPUs with AVX512-BF16, bitsandbytes repacks them for inference and then rounds to bfloat16:
    the loss after training differed from a fresh load's by 0.16 %.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def load_tokenizer(config: EngineConfig, folder: str | None = None):
    """Return the tokenizer of the base model, or the one in `folder` (an adapter's)."""
    with _named_errors(config):
        return AutoTokenizer.from_pretrained(
            folder or config.base_model,
            revision=None if folder else config.revision,
            trust_remote_code=False,
        )


@contextmanager
def _named_errors(config: EngineConfig) -> Iterator[None]:
    """Turn whatever a failed load raises into an `EngineError` that names the model."""
    try:
        yield
    except Exception as error:
        found = classify(error, model=config.base_model_id)
        if found.code == "internal" and isinstance(error, OSError | ValueError):
            text = MODEL_MISSING.format(model=config.base_model_id)
            found = EngineError("model_missing", text, found.detail)
        raise found from error


def prepare_tokenizer(tokenizer, model) -> tuple[set[int], list[str]]:
    """Give the tokenizer what training needs; return (ids that end an answer, warnings).

    The end of a turn is what the chat template writes there, not what the tokenizer calls EOS:
    where they differ, the template's wins, because that is what the model will learn to write.
    """
    warnings = []
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
        warnings.append("The base model has no chat template: a plain question-answer one is used.")
    given = model.generation_config.eos_token_id
    stop_ids = {given} if isinstance(given, int) else set(given or ())
    stop_ids |= {tokenizer.eos_token_id} - {None}
    written = _end_of_turn(tokenizer)
    if written is not None and written not in stop_ids:
        token = tokenizer.convert_ids_to_tokens(written)
        warnings.append(f"The chat template ends a turn with {token}, not with the model's EOS.")
        tokenizer.eos_token = token
        stop_ids.add(written)
    if tokenizer.pad_token_id is None:
        # Padding is masked by position, never by its id, so sharing a token hides no label.
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    return stop_ids, warnings


def _end_of_turn(tokenizer) -> int | None:
    """Return the special token that the template writes behind an answer; None without one."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        prompt = tokenizer.apply_chat_template(
            turns[:1], tokenize=False, add_generation_prompt=True
        )
        whole = tokenizer.apply_chat_template(turns, tokenize=False)
    except TemplateError:
        return None  # The first row will say what the template refuses.
    ids = tokenizer(whole.removeprefix(prompt), add_special_tokens=False)["input_ids"]
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return next((i for i in reversed(ids) if i in special), None)


def save_tokenizer(tokenizer, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and the chat template, without local traces."""
    tokenizer.save_pretrained(folder)
    clean_tokenizer_config(folder / "tokenizer_config.json")


def clean_tokenizer_config(path: Path) -> None:
    """Drop what only holds on this machine; name the class as older versions know it too."""
    values = json.loads(path.read_text(encoding="utf-8"))
    for name in ("backend", "is_local", "local_files_only", "name_or_path"):
        values.pop(name, None)
    if values.get("tokenizer_class") == "TokenizersBackend":
        values["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
