"""The admin: staff only, every model listed, the ledger read-only, review actions."""

import json

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets.generation import store
from datasets.models import Chunk, Example, GenerationRequest
from projects import services
from projects.models import Job

OURS = [
    m for m in admin.site._registry if m._meta.app_label in ("projects", "datasets", "training")
]
READ_ONLY = [m for m in OURS if m._meta.model_name not in ("project", "example")]


@pytest.fixture
def request_row(project):
    file = services.add_file(project=project, name="a.txt", pieces=[b"text"])
    chunk = Chunk.objects.create(file=file, index=0, text="Text", token_count=1, start=0, end=4)
    job = Job.objects.create(project=project, kind=Job.Kind.GENERATE, status="succeeded")
    return GenerationRequest.objects.create(job=job, chunk=chunk, slot=0)


def changelist(model) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def test_all_tables_are_registered():
    names = {model.__name__ for model in OURS}
    assert names == {
        "Project", "SourceFile", "Job", "JobEvent", "WorkerBeat",
        "Chunk", "GenerationRequest", "Example", "Run", "Export",
    }  # fmt: skip


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_lists_open_for_staff_and_can_be_searched(model, admin_client, client, user):
    assert admin_client.get(changelist(model)).status_code == 200
    if admin.site._registry[model].search_fields:
        assert admin_client.get(changelist(model), {"q": "x"}).status_code == 200
    client.force_login(user)
    assert client.get(changelist(model)).status_code == 302


@pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model.__name__)
def test_what_the_program_writes_cannot_be_written_by_hand(model, admin_client, rf, admin_user):
    request = rf.get("/")
    request.user = admin_user
    registered = admin.site._registry[model]
    assert not registered.has_add_permission(request)
    assert not registered.has_change_permission(request)
    assert not registered.has_delete_permission(request)


def test_a_ledger_row_can_be_read_but_a_post_changes_nothing(admin_client, request_row):
    url = reverse("admin:datasets_generationrequest_change", args=[request_row.pk])
    assert admin_client.get(url).status_code == 200
    assert admin_client.post(url, {"state": "done"}).status_code == 403
    request_row.refresh_from_db()
    assert request_row.state == "planned"


@pytest.mark.parametrize(("action", "review"), [("approve", "approved"), ("reject", "rejected")])
def test_selected_examples_are_reviewed_and_others_left(action, review, admin_client, project):
    chosen, other = (
        Example.objects.create(project=project, prompt=p, completion="!", fingerprint=p)
        for p in ("one", "two")
    )
    data = {"action": action, "_selected_action": [chosen.pk]}
    admin_client.post(changelist(Example), data)
    chosen.refresh_from_db()
    other.refresh_from_db()
    assert (chosen.review, other.review) == (review, "pending")


def test_the_examples_take_as_many_queries_for_fifty_as_for_five(admin_client, project):
    counts = []
    for upto in (5, 50):
        for number in range(Example.objects.count(), upto):
            Example.objects.create(
                project=project, prompt="?", completion="!", fingerprint=str(number)
            )
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(changelist(Example))
        counts.append(len(queries))
    assert counts[0] == counts[1]


def edit(admin_client, example, **values):
    data = {"prompt": example.prompt, "context": "", "completion": example.completion}
    url = reverse("admin:datasets_example_change", args=[example.pk])
    return admin_client.post(url, data | {"review": "pending"} | values)


@pytest.fixture
def example(project) -> Example:
    return add_example(project, "Who?", "Ada did.", split="train")


def add_example(project, prompt: str, completion: str, **fields) -> Example:
    fields["fingerprint"] = store.fingerprint(prompt, "", completion)
    return Example.objects.create(project=project, prompt=prompt, completion=completion, **fields)


def test_an_edit_keeps_the_first_original_and_renews_what_is_derived(admin_client, example):
    assert edit(admin_client, example, completion="Ada.").status_code == 302
    edit(admin_client, example, completion="Ada, in\r\nthe year 1843.", review="approved")
    example.refresh_from_db()
    assert example.original == {"prompt": "Who?", "context": "", "completion": "Ada did."}
    assert (example.completion, example.review) == ("Ada, in\nthe year 1843.", "approved")
    assert example.fingerprint == store.fingerprint("Who?", "", "Ada, in the year 1843.")
    assert example.token_count > 3


def test_a_review_alone_leaves_the_texts_as_they_were(admin_client, example):
    edit(admin_client, example, review="approved")
    example.refresh_from_db()
    assert (example.review, example.original, example.token_count) == ("approved", {}, 0)


def test_an_edit_that_makes_two_examples_the_same_is_refused(admin_client, project, example):
    add_example(project, "Who?", "Ada.")
    response = edit(admin_client, example, completion="  ADA. ")
    assert response.status_code == 200
    assert "an example with these texts already" in response.content.decode()
    example.refresh_from_db()
    assert example.completion == "Ada did."
    add_example(project, "Who?", "Grace.", split="preview")
    assert edit(admin_client, example, completion="Grace.").status_code == 302


def test_what_the_program_knows_of_an_example_cannot_be_edited(admin_client, example):
    posted = {
        "split": "eval", "token_count": 9, "fingerprint": "x", "evidence_start": 3,
        "evidence_end": 4, "original": "{}", "project": 999, "chunk": 1, "request": 1,
    }  # fmt: skip
    before = Example.objects.filter(pk=example.pk).values(*posted).get()
    assert edit(admin_client, example, **posted).status_code == 302
    assert Example.objects.filter(pk=example.pk).values(*posted).get() == before


def test_the_state_is_edited_in_the_list_and_can_be_undone(admin_client, example, project):
    data = {
        "form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": example.pk,
        "form-0-review": "rejected", "_save": "Save",
    }  # fmt: skip
    assert admin_client.post(changelist(Example), data).status_code == 302
    example.refresh_from_db()
    assert (example.review, example.previous_review) == ("rejected", "pending")
    assert example.last_change.count == 1


def test_an_example_moves_with_its_passage_and_the_admin_says_so(admin_client, request_row):
    project, chunk = request_row.job.project, request_row.chunk
    one, two = (add_example(project, p, "!", split="train", chunk=chunk) for p in ("a?", "b?"))
    preview = add_example(project, "c?", "!", split="preview", chunk=chunk)
    data = {"action": "move_to_eval", "_selected_action": [one.pk, preview.pk]}
    page = admin_client.post(changelist(Example), data, follow=True).content.decode()
    assert "2 examples moved to evaluation" in page
    splits = dict(Example.objects.values_list("pk", "split"))
    assert splits == {one.pk: "eval", two.pk: "eval", preview.pk: "preview"}


def test_selected_examples_are_exported_line_by_line(admin_client, project):
    keys = [add_example(project, f"{n}?", "Yes.\nNo.").pk for n in range(3)]
    data = {"action": "export_jsonl", "_selected_action": keys[:2]}
    response = admin_client.post(changelist(Example), data)
    assert response.streaming
    rows = [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]
    assert [row["prompt"][0]["content"] for row in rows] == ["0?", "1?"]
    assert rows[0]["completion"] == [{"role": "assistant", "content": "Yes.\nNo."}]


def test_the_source_passage_is_shown_with_its_quote_marked_and_escaped(admin_client, request_row):
    chunk = request_row.chunk
    chunk.text = "Before <b>the quote</b> behind."
    chunk.save()
    example = add_example(
        request_row.job.project, "?", "!", chunk=chunk, request=request_row,
        evidence_start=7, evidence_end=23,
    )  # fmt: skip
    url = reverse("admin:datasets_example_change", args=[example.pk])
    page = admin_client.get(url).content.decode()
    assert "Before <mark>&lt;b&gt;the quote&lt;/b&gt;</mark> behind." in page


@pytest.mark.parametrize(("flag", "wanted"), [("any", 1), ("none", 1), ("repaired", 1)])
def test_the_list_is_filtered_by_mark(flag, wanted, admin_client, project):
    add_example(project, "a?", "!", flags=["repaired"])
    add_example(project, "b?", "!")
    response = admin_client.get(changelist(Example), {"flag": flag})
    assert response.context["cl"].result_count == wanted


def test_examples_are_put_in_the_bin_but_never_deleted_here(admin_client, example):
    data = {"action": "to_bin", "_selected_action": [example.pk]}
    admin_client.post(changelist(Example), data)
    example.refresh_from_db()
    assert example.review == "deleted"
    url = reverse("admin:datasets_example_delete", args=[example.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 403
