"""The Train step: starting, following, ending early, comparing. Page, fragment, 422, 404."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from projects import queues
from projects import services as project_services
from projects.models import Job, JobEvent
from training import live, run_selectors, services
from training.engine.config import EngineConfig
from training.models import Run
from training.train_forms import TrainingForm

HTMX = {"HX-Request": "true"}
STEP_ONE = {"step": 1, "epoch": 0.1, "loss": 1.5}
SAMPLE = {"prompt": "What?", "reference": "That", "before": "<b>no</b>", "after": "That"}


@pytest.fixture
def ada(client, user):
    client.force_login(user)
    return client


def add_examples(project, train: int, evaluation: int) -> None:
    for number, split in enumerate(["train"] * train + ["eval"] * evaluation):
        project.examples.create(
            prompt="?", completion="!", split=split, fingerprint=str(number), token_count=7
        )


@pytest.fixture
def dataset(project):
    add_examples(project, 9, 1)


@pytest.fixture
def run(project, dataset):
    """A training under way after a thousand steps, with a long name and a long log."""
    job = Job.objects.create(
        project=project, kind=Job.Kind.TRAIN, queue="gpu", status="running", done=1000, total=3000
    )
    JobEvent.objects.create(job=job, level="metric", data=STEP_ONE)
    events = [{"type": "metric", "step": 0, "eval_loss": 1.8234567}]
    for step in range(1, 1001):
        events.append(
            {"type": "metric", "step": step, "total": 3000, "epoch": step / 1000}
            | {"loss": 1.51234567 + step * 1e-7, "learning_rate": 0.000193421}
            | {"tokens_per_second": 3410.4, "peak_bytes": 5 * 2**30}
        )
        if step % 10 == 0:
            events.append({"type": "metric", "step": step, "total": 3000, "eval_loss": 1.2345678})
    events.append({"type": "phase", "phase": "train", "total": 3000})
    return Run.objects.create(project=project, job=job, live=live.absorb({}, events))


def finish(run: Run, after: float = 0.7412, **fields) -> None:
    Job.objects.filter(pk=run.job_id).update(status="succeeded")
    run.metrics = {
        "baseline": {"eval_loss": 1.8234, "perplexity": 6.19},
        "final": {"eval_loss": after, "perplexity": 2.1},
        "train": {"tokens_per_second": 3410.4, "steps": 84, "planned_steps": 310} | fields,
        "history": [{"step": 0, "eval_loss": 1.8234}, STEP_ONE, {"step": 1, "eval_loss": after}],
    }
    run.samples = [SAMPLE] * 5
    run.peak_bytes = 5 * 2**30
    run.dataset_stats = {"train": 45, "eval": 40}
    run.save()


def address(name: str, item) -> str:
    return reverse(f"training:{name}", args=[item.pk])


def words_of(response) -> str:
    """Return the text of a page as it is read, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


RUN_PAGES = ["run", "run_numbers", "run_live", "run_curve"]


@pytest.mark.parametrize("name", RUN_PAGES)
def test_a_run_belongs_to_the_owner_of_its_project(name, client, user, stranger, run):
    assert client.get(address(name, run)).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert client.get(address(name, run)).status_code == 404
    client.force_login(user)
    assert client.get(address(name, run)).status_code == 200
    assert "<html" not in client.get(address(name, run), headers=HTMX).content.decode()


# Starting


def test_starting_a_training_opens_its_run(ada, project, dataset):
    response = ada.post(address("train", project), {"method": "qlora", "epochs": "2.5"})
    run = Run.objects.get()
    assert response.url == address("run", run)
    assert run.method == "qlora"
    assert run.job.params["overrides"] == {"epochs": 2.5}


def test_what_is_set_under_advanced_reaches_the_engine(ada, project, dataset):
    values = {"learning_rate": "1e-4", "micro_batch": 2, "gradient_accumulation": 8, "seed": 7}
    values |= {"lora_rank": 32, "lora_alpha": 64, "lora_dropout": "0.05", "max_length": 512}
    values |= {"early_stopping_patience": 0, "gradient_checkpointing": "on"}
    ada.post(address("train", project), {"method": "lora", "epochs": 3} | values)
    overrides = Job.objects.get().params["overrides"]
    config = EngineConfig(base_model="any", **overrides)
    assert (config.learning_rate, config.gradient_accumulation) == (1e-4, 8)
    assert (config.early_stopping_patience, config.gradient_checkpointing) == (0, True)
    assert len(overrides) == len(values)


def test_starting_twice_leads_to_the_run_that_trains(ada, run):
    values = {"method": "lora", "epochs": 3}
    response = ada.post(address("train", run.project), values, follow=True)
    assert response.redirect_chain[-1][0] == address("run", run)
    assert "already under way" in response.content.decode()
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 0}, "Epochs must be a number from 0.001 to 1000."),
        ({"epochs": "x"}, "Enter a number."),
        ({"epochs": "nan"}, "Enter a number."),
        ({"method": "full"}, "Select a valid choice"),
        ({"lora_rank": 0}, "Rank must be a whole number from 1 to 1024."),
        ({"lora_dropout": 1}, "Dropout must be a number from 0 to 0.99."),
        ({"learning_rate": 5}, "Learning rate must be a number from 1e-09 to 1."),
        ({"micro_batch": "1.5"}, "Enter a whole number."),
        ({"seed": -1}, "Seed must be a whole number from 0"),
        ({"gradient_checkpointing": "maybe"}, "Select a valid choice"),
    ],
)
def test_a_wrong_training_is_422_says_why_and_queues_nothing(wrong, said, ada, project, dataset):
    response = ada.post(address("train", project), {"method": "lora", "epochs": 3} | wrong)
    assert response.status_code == 422
    page = response.content.decode()
    assert said in page
    is_advanced = not set(wrong) & set(TrainingForm.SIMPLE)
    assert ('<details class="advanced" open' in page) == is_advanced
    assert not Job.objects.exists()


def test_a_form_may_begin_with_other_settings_and_keeps_them_when_a_field_is_emptied():
    initial = {"method": "qlora", "micro_batch": 2, "max_length": 512}
    assert TrainingForm(initial=initial).batch == 2
    form = TrainingForm({"method": "qlora", "micro_batch": "", "epochs": ""}, initial=initial)
    assert form.is_valid()
    assert form.cleaned_data["overrides"] == {"micro_batch": 2, "max_length": 512}


# What would be trained


def test_rejected_examples_are_not_counted_for_training(ada, project, dataset):
    project.examples.filter(fingerprint="0").update(review="rejected")
    plan = ada.get(address("train", project)).context["plan"]
    assert (plan.train, plan.eval, plan.train_tokens) == (8, 1, 56)
    assert plan.steps == 6, "three epochs of two batches of four"


@pytest.mark.parametrize(
    ("train", "evaluation", "said"),
    [
        (9, 5, ["Only 9 examples to learn from"]),
        (10, 4, ["Only 4 examples to measure with"]),
        (1, 1, ["Only 1 example to learn from", "Only 1 example to measure with"]),
        (10, 0, ["No example to measure with"]),
        (10, 5, []),
    ],
)
def test_too_few_examples_are_said_before_the_start(train, evaluation, said, ada, project):
    add_examples(project, train, evaluation)
    warnings = ada.get(address("train", project)).context["plan"].warnings
    assert len(warnings) == len(said)
    assert all(text in warning for text, warning in zip(said, warnings, strict=True))


def test_without_examples_the_page_says_what_comes_first(ada, project):
    page = ada.get(address("train", project)).content.decode()
    assert "Nothing to train with yet" in page
    assert reverse("datasets:review", args=[project.pk]) in page
    assert "Start training" not in page


def test_while_a_run_trains_the_page_leads_to_it_and_offers_no_second(ada, run):
    for _ in range(11):
        Run.objects.create(project=run.project)
    page = ada.get(f"{address('train', run.project)}?page=2").content.decode()
    assert f"Follow run {run.pk}" in page
    assert "Start training" not in page


# Following


def test_a_running_training_asks_again_until_it_is_over(ada, run):
    for name, pause in (("run_live", 3), ("run_curve", 10)):
        assert f"every {pause}s" in ada.get(address(name, run), headers=HTMX).content.decode()
    Job.objects.update(status="queued")
    assert "every 10s" in ada.get(address("run_live", run), headers=HTMX).content.decode()
    finish(run)
    for name in RUN_PAGES:
        assert "every" not in ada.get(address(name, run), headers=HTMX).content.decode()


@pytest.mark.parametrize("name", ["run_live", "run_curve"])
def test_a_poll_is_three_queries_and_three_kilobytes_after_a_thousand_steps(name, ada, run):
    with CaptureQueriesContext(connection) as queries:
        response = ada.get(address(name, run), headers=HTMX)
    assert len(queries) <= 3
    assert len(response.content) <= 3000


def test_the_live_numbers_say_where_the_training_is(ada, run):
    text = words_of(ada.get(address("run_live", run)))
    assert "1.512 training loss" in text
    assert "1.235 evaluation loss, was 1.823" in text
    assert "3,410 tokens per second" in text
    assert "5.0\xa0GB memory at most" in text.replace(" GB", "\xa0GB")
    assert "epoch 1.0 of 3 · learning rate 0.000193" in text


def test_the_estimated_memory_stands_beside_the_measured(ada, run):
    Run.objects.update(estimate_bytes=6 * 2**30)
    assert "estimated 6.0" in words_of(ada.get(address("run_live", run)))


def test_a_step_measured_twice_after_a_restart_counts_once(ada, run):
    for data in ({"step": 1, "loss": 1.4}, {"step": 1, "eval_loss": 1.2}, {"phase": "x"}):
        JobEvent.objects.create(job=run.job, level="metric", data=data)
    (row,) = ada.get(address("run_numbers", run)).context["rows"]
    assert (row["step"], row["loss"], row["eval_loss"]) == (1, 1.4, 1.2)


# Ending early


def test_a_person_stops_a_training_and_keeps_it(ada, run):
    assert "Stop and keep" in ada.get(address("run", run)).content.decode()
    response = ada.post(address("finish", run.job), follow=True)
    assert response.redirect_chain[-1][0] == address("run", run)
    assert "keeps what it has learned" in response.content.decode()
    run.job.refresh_from_db()
    assert run.job.finish_requested and not run.job.cancel_requested
    assert "Stopping…" in ada.get(address("run", run)).content.decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "queued"},
        {"status": "succeeded"},
        {"cancel_requested": True},
        {"kind": Job.Kind.GENERATE},
    ],
)
def test_only_a_running_training_is_stopped(fields, ada, run):
    Job.objects.update(**fields)
    assert "nothing to stop" in ada.post(address("finish", run.job), follow=True).content.decode()
    assert not Job.objects.get().finish_requested


def test_stopping_is_for_the_owner_and_by_post(client, stranger, ada, run):
    assert ada.get(address("finish", run.job)).status_code == 405
    client.logout()
    assert client.post(address("finish", run.job)).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert client.post(address("finish", run.job)).status_code == 404
    assert not Job.objects.get().finish_requested


# After the end


def test_a_finished_run_shows_curve_numbers_and_answers(ada, run):
    finish(run)
    page = ada.get(address("run", run)).content.decode()
    for text in ("curve-eval", "1.82 → 0.74", "6.19 → 2.10", "5.0\xa0GB", "&lt;b&gt;no&lt;/b&gt;"):
        assert text in page
    assert page.count("Expected: That") == 5
    assert "Build the archive" in page
    assert "0.7412" in ada.get(address("run_numbers", run)).content.decode()


@pytest.mark.parametrize(
    ("after", "tone", "title"),
    [
        (0.7412, "good", "Better than before."),
        (2.2, "bad", "Worse than before."),
        (1.83, "warn", "No clear change."),
    ],
)
def test_the_verdict_has_a_word_and_a_colour(after, tone, title, ada, run):
    finish(run, after)
    page = ada.get(address("run", run)).content.decode()
    assert f"verdict {tone}" in page
    assert title in page


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stopped_by": "person", "stopped_early": True}, "Stopped by you at step 84 of 310"),
        ({"stopped_by": "no_gain", "stopped_early": True}, "It ended by itself at step 84 of 310"),
    ],
)
def test_a_run_that_ended_early_says_who_ended_it(fields, said, ada, run):
    finish(run, **fields)
    assert said in ada.get(address("run", run)).content.decode()


def test_a_run_whose_job_is_gone_can_still_be_read(ada, run):
    finish(run)
    run.job.delete()
    assert "1.82 → 0.74" in ada.get(address("run", run)).content.decode()


def test_a_run_without_a_job_stands_in_the_table_too(ada, run):
    finish(run)
    run.job.delete()
    assert f"Run&nbsp;{run.pk}" in ada.get(address("train", run.project)).content.decode()


def test_a_run_names_the_model_that_it_trained(ada, run):
    Run.objects.update(config={"base_model_id": "owner/then"})
    run.project.base_model = "owner/now"
    run.project.save()
    assert "on owner/then." in ada.get(address("run", run)).content.decode()


def test_settings_that_differ_from_the_defaults_are_marked(ada, run):
    config = EngineConfig(base_model="/m", base_model_id="owner/m", lora_rank=32, epochs=3.0)
    Run.objects.update(config=config.to_json())
    rows = {row["label"]: row for row in ada.get(address("run", run)).context["settings"]}
    assert (rows["Rank"]["value"], rows["Rank"]["default"]) == ("32", "16")
    assert [row["label"] for row in rows.values() if row["default"]] == ["Rank"]
    assert rows["Seed"]["value"] == "42"


@pytest.mark.parametrize(
    ("code", "button", "changes"),
    [
        (
            "oom",
            "New run with less memory",
            {"micro_batch": 1, "gradient_accumulation": 8, "gradient_checkpointing": True},
        ),
        ("nan", "New run with a tenth of the learning rate", {"learning_rate": 1e-4}),
        ("bad_data", "New run", {}),
    ],
)
def test_after_a_failure_that_would_come_again_a_new_run_is_offered(
    code, button, changes, ada, run
):
    Job.objects.update(status="failed", error_code=code, error_text="It failed.")
    Run.objects.update(
        config={"micro_batch": 4, "gradient_accumulation": 2} | {"learning_rate": 1e-3}
    )
    page = ada.get(address("run", run)).content.decode()
    assert button in page
    url = f"{address('train', run.project)}?from={run.pk}&ease=1"
    assert url.replace("&", "&amp;") in page
    shown = ada.get(url).context["form"].shown
    assert {name: getattr(shown, name) for name in changes} == changes


def test_a_new_run_begins_with_the_settings_of_another_of_this_project_only(ada, run, user):
    finish(run)
    Run.objects.update(config={"lora_rank": 64})
    url = address("train", run.project)
    assert ada.get(f"{url}?from={run.pk}").context["form"].shown.lora_rank == 64
    other = project_services.create_project(owner=user, name="Other")
    add_examples(other, 10, 5)
    for number in (run.pk, 10**30, "x", ""):
        page = ada.get(f"{address('train', other)}?from={number}")
        assert page.context["form"].shown.lora_rank == 16


# Several runs


def test_runs_stand_side_by_side_with_what_differs_marked(ada, run):
    finish(run)
    Run.objects.update(config={"learning_rate": 2e-4, "epochs": 3})
    job = Job.objects.create(project=run.project, kind="train", status="succeeded")
    other = Run.objects.create(
        project=run.project, job=job, config={"learning_rate": 1e-3, "epochs": 3.0}
    )
    finish(other, 2.2, stopped_by="person")
    page = ada.get(address("train", run.project))
    runs = page.context["runs"]
    assert [c["label"] for c in runs.columns if c["differs"]] == ["Learning rate"]
    newest, oldest = runs.rows
    assert [cell["value"] for cell in newest["cells"] if cell["differs"]] == ["0.001"]
    assert oldest["is_best"] and newest["is_worse"] and not newest["is_best"]
    text = words_of(page)
    assert "stopped by you" in text and "best" in text


def test_a_run_that_waits_shows_the_settings_that_it_will_have(ada, project, dataset):
    services.start_training(project=project, method="qlora", lora_rank=8)
    (row,) = ada.get(address("train", project)).context["runs"].rows
    assert "8" in [cell["value"] for cell in row["cells"]]
    assert "QLoRA" in [cell["value"] for cell in row["cells"]]


def test_the_table_leaves_the_long_histories_in_the_database(project, run):
    finish(run)
    (found,) = run_selectors.runs_of(project)
    assert {"metrics", "samples", "live"} <= found.get_deferred_fields()
    assert found.after["eval_loss"] == 0.7412


def test_the_page_takes_as_many_queries_for_twenty_runs_as_for_two(ada, project, dataset):
    queues.beat("gpu", pid=1)
    counts = []
    for upto in (2, 20):
        while Run.objects.count() < upto:
            job = Job.objects.create(project=project, kind="train", status="succeeded")
            finish(Run.objects.create(project=project, job=job))
        with CaptureQueriesContext(connection) as queries:
            ada.get(f"{address('train', project)}?from={job.pk}")
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 10


def test_a_waiting_training_costs_the_page_no_more_than_ten_queries(ada, run):
    Job.objects.update(status="queued")
    with CaptureQueriesContext(connection) as queries:
        ada.get(address("train", run.project))
    assert len(queries) <= 10


@pytest.mark.parametrize("status", ["queued", "running", "succeeded", "failed"])
def test_a_run_page_takes_at_most_ten_queries(status, ada, run):
    finish(run)
    Job.objects.update(status=status)
    with CaptureQueriesContext(connection) as queries:
        ada.get(address("run", run))
    assert len(queries) <= 10
