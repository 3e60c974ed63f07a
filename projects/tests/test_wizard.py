"""The wizard's table: order, states, what is missing, and the guard."""

import pytest
from django.urls import reverse

from projects import services, wizard
from projects.models import Job, SourceFile

SLUGS = ["model", "task", "data", "preview", "review", "hardware", "train", "export"]


def states(project) -> dict[str, str]:
    return {item.step.slug: item.state for item in wizard.nav(project).steps}


def add_chunks(project) -> None:
    file = services.add_file(project=project, name="a.txt", pieces=[b"text"])
    file.state, file.report = SourceFile.State.EXTRACTED, {"pages": 3}
    file.save()
    file.chunks.create(index=0, text="text", token_count=1, start=0, end=4)


def add_examples(project, split: str) -> None:
    for number in range(3):
        project.examples.create(
            prompt="?", completion="!", split=split, fingerprint=f"{split}{number}"
        )


def test_the_eight_steps_stand_in_their_order():
    assert [step.slug for step in wizard.STEPS] == SLUGS


@pytest.mark.parametrize("step", wizard.STEPS, ids=lambda step: step.slug)
def test_every_step_has_a_page_and_knows_its_neighbours(step, client, user, project):
    client.force_login(user)
    assert client.get(reverse(step.url_name, args=[project.pk])).status_code == 200
    nav = wizard.nav(project, step.slug)
    place = SLUGS.index(step.slug)
    assert nav.current.number == place + 1
    assert (nav.previous.step.slug if nav.previous else None) == (
        SLUGS[place - 1] if place else None
    )
    assert (nav.next.step.slug if nav.next else None) == (SLUGS + [None])[place + 1]


def test_every_kind_of_job_belongs_to_one_step():
    kinds = [kind for step in wizard.STEPS for kind in step.kinds]
    assert sorted(kinds) == sorted(Job.Kind.values)


def test_steps_need_only_earlier_steps():
    for step in wizard.STEPS:
        assert all(SLUGS.index(slug) < SLUGS.index(step.slug) for slug in step.needs)
        assert all(wizard.BY_SLUG[slug].missing for slug in step.needs)


def test_a_new_project_waits_for_data(project):
    found = states(project)
    assert [found[slug] for slug in SLUGS] == [
        "done", "done", "open", "blocked", "blocked", "open", "blocked", "blocked",
    ]  # fmt: skip
    assert wizard.next_step(project, wizard.nav(project).facts).slug == "data"


def test_data_opens_preview_and_review(project):
    add_chunks(project)
    found = states(project)
    assert (found["data"], found["preview"], found["review"]) == ("done", "open", "open")
    assert wizard.BY_SLUG["data"].is_done(project)
    assert not wizard.BY_SLUG["preview"].is_done(project)


def test_preview_examples_are_not_the_dataset(project):
    add_chunks(project)
    add_examples(project, "preview")
    found = states(project)
    assert (found["preview"], found["review"], found["train"]) == ("done", "open", "blocked")
    add_examples(project, "train")
    assert states(project)["train"] == "open"


def test_a_failed_training_does_not_finish_the_step(project):
    add_examples(project, "train")
    job = Job.objects.create(project=project, kind=Job.Kind.TRAIN, status="failed")
    run = project.runs.create(job=job)
    assert states(project)["train"] == "open"
    Job.objects.update(status="succeeded")
    assert (states(project)["train"], states(project)["export"]) == ("done", "open")
    run.exports.create(sha256="")
    assert states(project)["export"] == "open"
    run.exports.update(sha256="f" * 64)
    assert states(project)["export"] == "done"
    assert wizard.next_step(project, wizard.nav(project).facts) is None


def test_a_ready_dataset_alone_opens_training_and_needs_no_preview(project):
    add_examples(project, "train")
    nav = wizard.nav(project, "preview")
    found = {item.step.slug: item for item in nav.steps}
    assert (found["data"].state, found["data"].fact) == ("done", "3 ready examples")
    assert (found["review"].state, found["train"].state) == ("done", "open")
    assert found["preview"].fact == "not needed: the dataset is ready"
    assert [item.step.slug for item in nav.missing] == ["data"]
    assert wizard.next_step(project, nav.facts).slug == "train"


def test_a_dataset_from_documents_does_not_ask_for_a_preview_again(project):
    add_chunks(project)
    add_examples(project, "train")
    assert states(project)["preview"] == "open"
    assert wizard.next_step(project, wizard.nav(project).facts).slug == "train"


def test_runs_and_exports_are_counted_once_each(project):
    for number in range(2):
        job = Job.objects.create(project=project, kind=Job.Kind.TRAIN, status="succeeded")
        run = project.runs.create(job=job)
        for _ in range(3):
            run.exports.create(sha256=f"{number}")
    facts = wizard.nav(project).facts
    assert (facts.runs, facts.trained, facts.exports) == (2, 2, 6)


def test_files_and_their_pages_are_summed_and_a_report_without_pages_adds_none(project):
    for name, report in (("a.txt", {"pages": 3}), ("b.txt", {"pages": 4}), ("c.txt", {})):
        file = services.add_file(project=project, name=name, pieces=[name.encode()])
        file.state, file.report = SourceFile.State.EXTRACTED, report
        file.save()
        file.chunks.create(index=0, text="text", token_count=1, start=0, end=4)
    facts = wizard.nav(project).facts
    assert (facts.files, facts.files_read, facts.pages, facts.chunks) == (3, 3, 7, 3)


def test_a_running_job_shows_in_its_step_with_its_progress(project):
    add_chunks(project)
    Job.objects.create(
        project=project, kind=Job.Kind.DOCUMENTS, status="running", done=1, total=4, message="a.txt"
    )
    item = wizard.nav(project, "preview").steps[2]
    assert (item.state, item.fact) == ("running", "25 % · a.txt")


def test_a_blocked_step_names_what_is_first(project):
    nav = wizard.nav(project, "preview")
    assert [item.step.slug for item in nav.missing] == ["data"]
    assert nav.current.fact == "first: add documents and read them"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("datasets:preview", {}),
        ("datasets:generate", {}),
        ("training:train", {"method": "lora", "epochs": 1}),
    ],
)
def test_a_blocked_step_explains_and_starts_nothing(name, values, client, user, project):
    client.force_login(user)
    response = client.post(reverse(name, args=[project.pk]), values, follow=True)
    assert "Not yet possible." in response.content.decode()
    assert not Job.objects.exists()


def test_the_rail_takes_a_constant_number_of_queries(project, django_assert_max_num_queries):
    for _ in range(20):
        add_examples(project, f"t{_}")
    with django_assert_max_num_queries(3):
        wizard.nav(project, "data")
