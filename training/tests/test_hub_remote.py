"""Asking a Hub that answers, refuses, or fails: a real server on a port, no patched client."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from django.core.cache import cache
from huggingface_hub import constants

from training import hub, hub_remote, hub_search, model_files
from training.tests.hub_server import COMMIT, HubServer
from training.tests.model_families import FAMILIES, tensors_of
from training.tests.test_hub import CONFIG

NAME = "someone/model"
TENSORS = {"model.embed_tokens.weight": ("BF16", (10, 8)), "model.x.weight": ("BF16", (16, 8))}


@pytest.fixture
def remote(settings, tmp_path, monkeypatch):
    settings.MODELS_DIR = tmp_path / "models"
    settings.HF_TOKEN = ""
    monkeypatch.setattr(hub_remote, "TIMEOUT_SECONDS", 5)
    cache.clear()
    with HubServer(token="hf_good") as server:
        settings.HF_ENDPOINT = server.url
        yield server


def refusal(name: str = NAME, **options) -> hub.HubError:
    with pytest.raises(hub.HubError) as caught:
        hub.resolve(name, **options)
    return caught.value


def test_a_model_is_described_without_fetching_a_weight(remote):
    card = {"license": "apache-2.0", "language": ["en", "fr"]}
    template = {"chat_template": "{{ messages }}"}
    remote.add(NAME, config=CONFIG, tensors=TENSORS, card=card, tokenizer=template)
    info = hub.resolve(NAME)
    assert (info.id, info.revision, info.parameters) == (NAME, COMMIT, 10 * 8 + 16 * 8)
    assert (info.licence, info.languages) == ("apache-2.0", ("en", "fr"))
    assert (info.gated, info.has_chat_template, info.is_local) == (False, True, False)
    assert info.size_bytes == remote.repositories[NAME].sizes["model.safetensors"]
    assert info.to_json()["languages"] == ["en", "fr"]


@pytest.mark.parametrize("where", ["file", "tokenizer", "nowhere"])
def test_a_chat_template_is_found_wherever_it_is_kept(where, remote):
    files = {"chat_template.jinja": b"{{ messages }}"} if where == "file" else {}
    tokenizer = {"chat_template": "{{ messages }}"} if where == "tokenizer" else {}
    remote.add(NAME, config=CONFIG, tensors=TENSORS, files=files, tokenizer=tokenizer)
    assert hub.resolve(NAME).has_chat_template == (where != "nowhere")


def test_weights_in_several_files_count_once_and_a_second_copy_of_them_does_not(remote):
    extra = {"consolidated.safetensors": b"x" * 5000}
    remote.add(NAME, config=CONFIG, tensors=TENSORS, shards=2, files=extra)
    info = hub.resolve(NAME)
    sizes = remote.repositories[NAME].sizes
    assert info.parameters == 10 * 8 + 16 * 8
    assert info.size_bytes == sum(size for name, size in sizes.items() if "-of-" in name)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.id)
def test_the_count_of_parameters_is_the_published_one(family, remote):
    shards = 1 if family.published < 5e9 else 4
    remote.add(family.id, config=family.config, tensors=tensors_of(family), shards=shards)
    info = hub.resolve(family.id)
    assert info.parameters == pytest.approx(family.published, rel=0.01)
    config = family.config
    assert info.context_length == config["max_position_embeddings"]
    assert info.tied_embeddings == config["tie_word_embeddings"]
    assert info.kv_heads == config["num_key_value_heads"]
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    assert info.head_dim == size


def test_masks_that_old_files_store_are_no_parameters():
    mask = {"h.0.attn.bias": ("F32", (1, 1, 1024, 1024)), "h.0.attn.masked_bias": ("F32", ())}
    real = {"h.0.attn.c_attn.bias": ("F32", (2304,)), "h.0.attn.bias": ("F32", (768,))}
    assert model_files.count_parameters(mask) == 0
    assert model_files.count_parameters(real) == 2304 + 768


def test_a_model_that_is_not_there_is_said_so(remote):
    error = refusal()
    assert (error.code, error.is_unanswered) == ("not_found", False)
    assert "Check the name" in str(error)


def test_a_revision_is_asked_for_and_a_missing_one_refused(remote):
    remote.add(NAME, config=CONFIG, tensors=TENSORS, revisions=("v1",))
    assert hub.resolve(NAME, revision="v1").revision == COMMIT
    error = refusal(revision="v2")
    assert error.code == "not_found" and "no such revision" in str(error)


def test_a_gated_model_names_its_page_and_where_the_token_goes(remote):
    remote.add(NAME, config=CONFIG, tensors=TENSORS, gated="manual")
    error = refusal()
    assert (error.code, error.page) == ("gated", f"{remote.url}/{NAME}")
    assert error.tokens_page == f"{remote.url}/settings/tokens"
    assert "HF_TOKEN" in str(error) and ".env" in str(error)


def test_a_gated_model_opens_with_the_token_of_an_account_that_may(remote, settings):
    remote.add(NAME, config=CONFIG, tensors=TENSORS, gated="auto")
    settings.HF_TOKEN = "hf_other"
    assert "the account of HF_TOKEN may not read it" in str(refusal())
    settings.HF_TOKEN = "hf_good"
    assert hub.resolve(NAME).gated is True


@pytest.mark.parametrize(
    ("script", "code", "is_unanswered"),
    [
        ("private", "not_found", False),
        ("401", "bad_token", False),
        ("403", "gated", False),
        ("429", "rate_limited", True),
        ("500", "unavailable", True),
        ("503", "unavailable", True),
        ("html", "wrong_answer", True),
    ],
)
def test_a_hub_that_answers_badly_is_told_apart(script, code, is_unanswered, remote):
    remote.script = script
    error = refusal()
    assert (error.code, error.is_unanswered) == (code, is_unanswered)
    assert str(error).endswith(".")


def test_a_hub_that_does_not_come_to_an_end_is_not_waited_for(remote, monkeypatch):
    monkeypatch.setattr(hub_remote, "TIMEOUT_SECONDS", 0.2)
    remote.script = "slow"
    assert refusal().code == "slow"
    monkeypatch.setattr(hub_remote, "TIMEOUT_SECONDS", 5)
    monkeypatch.setattr(hub_remote, "DEADLINE_SECONDS", 0.2)
    assert refusal().code == "slow"
    remote.stopping.set()  # Lets the threads that still wait go.


def fetch(cache_folder: Path, commit: str) -> None:
    """Leave what a training leaves behind: the files of a commit, and which one `main` was."""
    copy = cache_folder / "models--someone--model"
    for name in ("config.json", "model.safetensors"):
        (copy / "snapshots" / commit).mkdir(parents=True, exist_ok=True)
        (copy / "snapshots" / commit / name).write_text("{}")
    (copy / "refs").mkdir()
    (copy / "refs" / "main").write_text(commit)


@pytest.mark.parametrize("script", ["429", "500", "html"])
def test_a_fetched_copy_is_trained_when_the_hub_says_nothing(script, remote, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    remote.script = script
    assert not hub_remote.is_fetched(NAME, None)
    with pytest.raises(hub.HubError):
        hub.pin(NAME, None)
    fetch(tmp_path / "cache", "cd" * 20)
    assert hub.pin(NAME, None) == "cd" * 20
    assert hub_remote.is_fetched(NAME, "cd" * 20)
    assert not hub_remote.is_fetched(NAME, "ef" * 20)


def test_looking_at_a_model_leaves_nothing_that_looks_fetched(remote, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    remote.add(NAME, config=CONFIG, tensors=TENSORS)
    hub.resolve(NAME)
    assert not hub_remote.is_fetched(NAME, None)
    assert hub_remote.fetched_commit(NAME, None) is None


def test_answers_of_the_wrong_shape_are_no_crash(remote):
    remote.add(NAME, config=CONFIG, tensors=TENSORS)
    remote.repositories[NAME].sizes["config.json"] = "large"
    assert refusal().code == "wrong_answer"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"config.json": CONFIG, "pytorch_model.bin": b"x"}, "pickled ones are never loaded"),
        ({"model-q4.gguf": b"x"}, "GGUF"),
        ({"README.md": b"x"}, "no safetensors weights"),
    ],
)
def test_a_repository_without_safe_weights_is_refused(files, said, remote):
    remote.add(NAME, files=files)
    error = refusal()
    assert error.code == "no_safetensors" and said in str(error)
    assert not [path for path in remote.asked if path.endswith((".bin", ".gguf"))]


def test_damaged_weights_are_refused(remote):
    broken = {"model.safetensors": b"\xff" * 64}
    remote.add(NAME, config=CONFIG, files=broken)
    assert refusal().code == "no_safetensors"


@pytest.mark.parametrize("index", [b"[]", {"weight_map": 1}, {}])
def test_an_index_that_is_none_is_refused(index, remote):
    remote.add(NAME, config=CONFIG, files={"model.safetensors.index.json": index})
    assert refusal().code == "no_safetensors"


def test_an_adapter_offers_the_model_that_it_was_made_for(remote):
    adapter = {"adapter_config.json": {"base_model_name_or_path": "owner/base"}}
    remote.add(NAME, files=adapter | {"adapter_model.safetensors": b"x"})
    error = refusal()
    assert (error.code, error.instead) == ("adapter", "owner/base")
    remote.add(NAME, files={"adapter_config.json": {"base_model_name_or_path": "/home/x/<b>"}})
    assert refusal().instead == ""


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8", "bitsandbytes", "mxfp4"])
def test_a_compressed_copy_is_refused_and_offers_the_original(method, remote):
    config = CONFIG | {"quantization_config": {"quant_method": method, "bits": 4}}
    remote.add(NAME, config=config, tensors=TENSORS, card={"base_model": ["owner/base"]})
    error = refusal()
    assert (error.code, error.instead) == ("quantised", "owner/base")
    assert method in str(error)


def test_own_code_is_refused_unless_transformers_builds_the_type_itself(remote):
    auto_map = {"auto_map": {"AutoModelForCausalLM": "modeling.Model"}}
    remote.add(NAME, config=CONFIG | auto_map | {"model_type": "own"}, tensors=TENSORS)
    assert refusal().code == "remote_code"
    remote.add(NAME, config=CONFIG | auto_map | {"model_type": "phi3"}, tensors=TENSORS)
    assert hub.resolve(NAME).model_type == "phi3"


def test_the_types_that_need_no_own_code_are_known_to_transformers():
    """Read as text: the web process never imports it."""
    folder = Path(find_spec("transformers").origin).parent
    text = (folder / "models" / "auto" / "modeling_auto.py").read_text(encoding="utf-8")
    table = text.partition("MODEL_FOR_CAUSAL_LM_MAPPING_NAMES = ")[2].partition("\n)")[0]
    assert [name for name in model_files._SUPPORTED if f'("{name}", ' not in table] == []


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["BertForMaskedLM"]},
        {"architectures": "LlamaForCausalLM"},
        {"architectures": []},
    ],
)
def test_a_model_that_does_not_write_text_is_refused(config, remote):
    remote.add(NAME, config=CONFIG | config, tensors=TENSORS)
    assert refusal().code == "not_causal_lm"


@pytest.mark.parametrize("config", [b"{", b"[]", b"null"])
def test_a_config_that_is_none_is_refused(config, remote):
    remote.add(NAME, files={"config.json": config}, tensors=TENSORS)
    assert "unreadable config.json" in str(refusal())


def test_a_search_finds_by_a_part_of_the_name_and_is_remembered(remote):
    remote.add("someone/Tiny-Chat", config=CONFIG, tensors=TENSORS, gated="auto")
    remote.add("someone/Tiny-Chat-GPTQ", config=CONFIG, tensors=TENSORS, tags=("gptq",))
    remote.add("<b>/tiny", config=CONFIG, tensors=TENSORS)
    hits, problem = hub_search.search("tiny")
    assert hits == [hub_search.Hit("someone/Tiny-Chat", 10 * 8 + 16 * 8, True)]
    assert problem == ""
    assert hub_search.search(" TINY ") == (hits, "")
    assert len(remote.asked) == 1
    assert "pipeline_tag=text-generation" in remote.asked[0]


def test_a_single_letter_asks_nobody(remote):
    assert hub_search.search("t") == ([], "")
    assert remote.asked == []


@pytest.mark.parametrize(
    ("script", "said"),
    [("429", "too many questions"), ("500", "cannot be reached"), ("html", "cannot be reached")],
)
def test_a_hub_that_fails_a_search_is_left_alone_for_a_while(script, said, remote):
    remote.script = script
    hits, problem = hub_search.search("tiny")
    assert hits == [] and said in problem
    remote.script = ""
    assert hub_search.search("other") == ([], problem)
    assert len(remote.asked) == 1


def test_a_search_never_waits_long(remote, monkeypatch):
    monkeypatch.setattr(hub_search, "TIMEOUT_SECONDS", 0.2)
    remote.script = "slow"
    assert "too long" in hub_search.search("tiny")[1]
    remote.stopping.set()


def test_the_token_goes_along_with_every_question(remote, settings):
    settings.HF_TOKEN = "hf_good"
    remote.add(NAME, config=CONFIG, tensors=TENSORS)
    hub_search.search("tiny")
    hub.resolve(NAME)
    assert set(remote.tokens) == {"Bearer hf_good"}


def test_in_offline_mode_nobody_is_asked(remote, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    remote.add(NAME, config=CONFIG, tensors=TENSORS)
    assert refusal().code == "offline"
    assert hub_search.search("model")[0] == []
    assert remote.asked == []
