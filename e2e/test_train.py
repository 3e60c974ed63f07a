"""The Train step in a browser: starting, following live, stopping and keeping, the result."""

import re

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import TimeoutError as BrowserTimeout
from playwright.sync_api import expect

from e2e import seed
from projects.models import Job
from training import live
from training.models import Run

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def ready(project):
    """A project that can train, with its workers alive."""
    seed.workers_are_alive()
    seed.files(project)
    seed.examples(project, 60)
    return project


@pytest.fixture
def running(ready):
    return seed.run(ready, steps=34, status="running", done=34, total=120, message="Step 34")


def measure(run: Run, *events: dict) -> None:
    """Write what the engine has measured since, as the runner does."""
    run.refresh_from_db()
    run.live = live.absorb(run.live, list(events))
    run.save(update_fields=["live"])


def test_the_settings_are_corrected_where_they_are_wrong_and_the_training_starts(
    open_page, user, ready
):
    page = open_page(user, expected=(422,))
    page.goto(reverse("training:train", args=[ready.pk]))
    rank = page.get_by_label("Rank")
    expect(rank).to_be_hidden()
    page.get_by_text("Advanced:").click()
    expect(page.locator("#plan-steps")).to_have_text("42")
    page.get_by_label("Accumulation").fill("4")
    expect(page.locator("#plan-steps")).to_have_text("12")
    expect(page.locator("#plan-batch")).to_contain_text("4 × 4 = 16 examples")
    rank.fill("0")
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text("Rank must be a whole number from 1 to 1024.")).to_be_visible()
    expect(rank).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Accumulation")).to_have_value("4")
    rank.fill("8")
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("heading", name="Run")).to_be_visible()
    overrides = Job.objects.get().params["overrides"]
    assert overrides == {"gradient_accumulation": 4, "lora_rank": 8}


def test_numbers_and_curve_move_while_it_trains_and_stop_moving_when_it_has_ended(
    open_page, user, running
):
    page = open_page(user)
    page.goto(reverse("training:run", args=[running.pk]))
    numbers, curve = page.locator(f"#live-{running.pk}"), page.locator("polyline.curve-train")
    points = curve.get_attribute("points")
    page.get_by_text("The numbers as a table").click()
    expect(page.locator(f"#numbers-{running.pk} table")).to_be_visible()
    place = {"type": "metric", "step": 35, "total": 120, "epoch": 1.2}
    measure(running, place | {"loss": 0.1234}, place | {"eval_loss": 0.9})
    expect(numbers).to_contain_text("0.123")
    expect(numbers).to_contain_text("0.900")
    expect(curve).not_to_have_attribute("points", points)
    expect(page.locator(f"#numbers-{running.pk} table")).to_be_visible()
    finished = seed.run(running.project, status="succeeded")
    running.metrics, running.samples = finished.metrics, finished.samples
    running.save(update_fields=["metrics", "samples"])
    now = timezone.now()
    Job.objects.filter(pk=running.job_id).update(status="succeeded", finished_at=now)
    expect(page.locator("#result")).to_contain_text("Better than before.")
    expect(page.get_by_role("button", name="Build the archive")).to_be_visible()
    expect(page.locator("#samples .pair")).to_have_count(4)
    expect(page.locator(f"#log-end-{running.job_id}[hx-get]")).to_have_count(0)
    with (
        pytest.raises(BrowserTimeout),
        page.expect_request(re.compile(r"/runs/|/jobs/|/rail/"), timeout=11_000),
    ):
        pass


@pytest.mark.parametrize("script", [True, False])
def test_a_training_is_stopped_and_kept(script, open_page, user, running):
    page = open_page(user, script=script)
    page.goto(reverse("training:run", args=[running.pk]))
    page.get_by_role("button", name="Stop and keep").click()
    expect(page.locator("#messages")).to_contain_text("keeps what it has learned")
    expect(page.get_by_role("button", name="Stopping…")).to_be_disabled()
    assert page.url.endswith(reverse("training:run", args=[running.pk]))
    job = Job.objects.get()
    assert job.finish_requested and not job.cancel_requested


def test_after_too_little_memory_a_new_run_begins_with_less(open_page, user, ready):
    run = seed.run(ready, status="failed", error_code="oom", error_text="The memory ran out.")
    page = open_page(user)
    page.goto(reverse("training:run", args=[run.pk]))
    page.get_by_role("link", name="New run with less memory").click()
    expect(page.get_by_label("Micro batch")).to_have_value("1")
    expect(page.get_by_label("Accumulation")).to_have_value("4")
    expect(page.get_by_label("Gradient checkpointing")).to_have_value("on")


def test_a_resumed_run_is_followed_again_without_a_reload(open_page, user, ready):
    run = seed.run(ready, status="interrupted", done=40, total=120, error_text="It was killed.")
    Job.objects.update(queue="gpu", func="training.tasks.train")
    page = open_page(user)
    page.goto(reverse("training:run", args=[run.pk]))
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(f"#job-{run.job_id}")).to_contain_text("Waiting")
    expect(page.locator(f"#live-{run.pk}[hx-get]")).to_be_visible()
