"""The review: page, fragment, row, edit, decisions over many, statistics; for the owner alone."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets import reviewing
from datasets.models import Chunk, Example, GenerationRequest, ReviewChange
from projects import services
from projects.models import Job

HTMX = {"HX-Request": "true"}


@pytest.fixture
def ada(client, user):
    client.force_login(user)
    return client


@pytest.fixture
def chunk(project):
    project.base_model = "SmolLM2-135M-Instruct"
    project.save()
    file = services.add_file(project=project, name="handbook.pdf", pieces=[b"text"])
    text = "Before. The scales are <calibrated> on Tuesdays. Behind."
    return Chunk.objects.create(
        file=file, index=0, text=text, token_count=9, start=0, end=len(text)
    )


def add(chunk, count: int = 1, **fields) -> list[Example]:
    start = Example.objects.count()
    return [
        Example.objects.create(
            project=chunk.file.project,
            chunk=chunk,
            fingerprint=f"{number:064x}",
            **({"prompt": f"Q{number}", "completion": f"A{number}", "split": "train"} | fields),
        )
        for number in range(start, start + count)
    ]


def review_url(project) -> str:
    return reverse("datasets:review", args=[project.pk])


def change(client, project, action: str, *examples, headers=None, **data):
    data |= {"action": action, "examples": [example.pk for example in examples]}
    return client.post(reverse("datasets:change", args=[project.pk]), data, headers=headers)


def states(project) -> list[str]:
    found = Example.objects.filter(project=project).order_by("pk")
    return list(found.values_list("review", flat=True))


def test_everything_belongs_to_the_owner(client, user, stranger, project, chunk):
    (example,) = add(chunk)
    made = reviewing.change_review(
        project=project, examples=Example.objects.all(), review="approved"
    )
    gets = [reverse(f"datasets:{name}", args=[example.pk]) for name in ("example", "edit")]
    gets.append(reverse("datasets:statistics", args=[project.pk]))
    posts = [reverse(f"datasets:{n}", args=[example.pk]) for n in ("decide", "edit", "restore")]
    posts.append(reverse("datasets:change", args=[project.pk]))
    posts.append(reverse("datasets:undo_change", args=[made.pk]))
    for url in gets:
        assert client.get(url).url.startswith(reverse("login"))
    client.force_login(stranger)
    assert [client.get(url).status_code for url in gets] == [404] * len(gets)
    assert [client.post(url, {"review": "deleted"}).status_code for url in posts] == [404] * 5
    assert states(project) == ["approved"]
    client.force_login(user)
    for url in gets:
        assert "<html" in client.get(url).content.decode()
        assert "<html" not in client.get(url, headers=HTMX).content.decode()


def test_filters_narrow_the_examples(ada, project, chunk):
    add(chunk, 2, token_count=10)
    add(chunk, prompt="About E-31", split="eval", review="rejected", flags=["repaired"])
    add(chunk, review="deleted", token_count=50)
    for filters, count in (
        ({}, 3),
        ({"q": "e-31"}, 1),
        ({"q": "A2 about"}, 1),
        ({"split": "train"}, 2),
        ({"review": "rejected"}, 1),
        ({"review": "deleted"}, 1),
        ({"review": "pending", "split": "eval"}, 0),
        ({"file": chunk.file_id}, 3),
        ({"flag": "any"}, 1),
        ({"flag": "none", "shortest": 10, "longest": 10}, 2),
        ({"shortest": 11}, 0),
    ):
        page = ada.get(review_url(project), filters, headers=HTMX).context["page"]
        assert (page.count, len(page.rows)) == (count, count), filters


def test_a_wrong_filter_is_named_and_another_projects_file_is_no_choice(
    ada, project, chunk, stranger
):
    add(chunk)
    other = services.create_project(owner=stranger, name="Other")
    secret = services.add_file(project=other, name="secret.txt", pieces=[b"secret"])
    wrong = ({"split": "nonsense"}, {"file": secret.pk}, {"size": "7"}, {"shortest": "-1"})
    for filters in (*wrong, {"sort": "x"}, {"flag": "x"}):
        response = ada.get(review_url(project), filters)
        page = response.content.decode()
        assert response.context["page"].count == 1
        assert "errorlist" in page
        assert "secret.txt" not in page


@pytest.mark.parametrize(("number", "shown"), [("0", 1), ("99", 2), ("x", 1), ("2", 2)])
def test_a_page_that_does_not_exist_shows_the_nearest(number, shown, ada, project, chunk):
    add(chunk, 30)
    response = ada.get(review_url(project), {"page": number})
    assert response.context["page"].number == shown


def test_turning_the_page_keeps_the_filters_and_the_address_says_no_more_than_needed(
    ada, project, chunk
):
    add(chunk, 30)
    asked = {"q": "", "split": "train", "size": "25", "sort": ""}
    response = ada.get(review_url(project), asked, headers=HTMX)
    assert response.headers["HX-Push-Url"] == f"{review_url(project)}?split=train"
    assert "?split=train&amp;page=2" in response.content.decode()


def test_what_is_shown_again_is_not_a_new_address(ada, project, chunk):
    add(chunk)
    here = {"HX-Current-URL": f"http://testserver{review_url(project)}"}
    response = ada.get(review_url(project), headers=HTMX | here)
    assert "HX-Push-Url" not in response.headers


def test_examples_without_their_document_are_still_shown(ada, project, chunk):
    (example,) = add(chunk, prompt="What stays?", evidence="The quote stays.")
    chunk.file.delete()
    page = ada.get(review_url(project)).content.decode()
    assert "What stays?" in page
    assert "its document is deleted" in page
    row = ada.get(reverse("datasets:example", args=[example.pk]), headers=HTMX).content.decode()
    assert "The quote stays." in row


def test_an_opened_row_shows_the_passage_with_its_quote_and_where_it_comes_from(
    ada, project, chunk
):
    job = Job.objects.create(project=project, kind=Job.Kind.GENERATE, status="succeeded")
    request = GenerationRequest.objects.create(
        job=job, chunk=chunk, slot=0, prompt_version="abc123", params={"model": "gpt-oss"}
    )
    start = chunk.text.index("The")
    (example,) = add(
        chunk, request=request, evidence_start=start, evidence_end=start + 40, token_count=31
    )
    row = ada.get(reverse("datasets:example", args=[example.pk]), headers=HTMX).content.decode()
    assert f'id="example-{example.pk}"' in row
    assert "Before. <mark>The scales are &lt;calibrated&gt; on Tuesdays.</mark> Behind." in row
    for text in ("handbook.pdf", "gpt-oss", "abc123", "31 tokens", f"job {job.pk}"):
        assert text in row
    closed = ada.get(
        reverse("datasets:example", args=[example.pk]), {"row": "closed"}, headers=HTMX
    )
    assert "<mark>" not in closed.content.decode()


@pytest.mark.parametrize("place", [(None, None), (5, 9_999), (9, 9)])
def test_a_quote_that_is_not_in_the_passage_is_not_marked(place, ada, chunk):
    (example,) = add(chunk, evidence_start=place[0], evidence_end=place[1])
    row = ada.get(reverse("datasets:example", args=[example.pk]), headers=HTMX).content.decode()
    assert "No quote was found in the passage" in row
    assert "<mark>" not in row


def test_an_imported_example_names_its_file_and_line(ada, project, chunk):
    (example,) = add(chunk, source_file=chunk.file, source_line=17)
    Example.objects.update(chunk=None)
    row = ada.get(reverse("datasets:example", args=[example.pk]), headers=HTMX).content.decode()
    assert "handbook.pdf, line 17" in row


@pytest.mark.parametrize("review", ["approved", "rejected", "deleted"])
def test_one_example_is_decided_in_its_row_and_can_be_undone(review, ada, project, chunk):
    (example,) = add(chunk)
    url = reverse("datasets:decide", args=[example.pk])
    response = ada.post(url, {"review": review, "filters": "q=x"}, headers=HTMX)
    row = response.content.decode()
    assert states(project) == [review]
    assert f'id="example-{example.pk}"' in row
    assert "<template>" in row
    assert reverse("datasets:undo_change", args=[ReviewChange.objects.get().pk]) in row
    assert "review-changed" in response.headers["HX-Trigger"]


def test_one_example_is_decided_without_javascript_and_the_filters_stay(ada, project, chunk):
    (example,) = add(chunk)
    url = reverse("datasets:decide", args=[example.pk])
    response = ada.post(url, {"review": "approved", "filters": "review=pending&page=2"})
    assert response.url == f"{review_url(project)}?review=pending&page=2#example-{example.pk}"
    response = ada.post(url, {"review": "rejected"})
    assert response.url == reverse("datasets:example", args=[example.pk])
    assert ada.post(url, {"review": "nonsense"}).status_code == 422
    assert states(project) == ["rejected"]


def test_selected_examples_are_decided_together(ada, project, chunk):
    one, two, _ = add(chunk, 3)
    response = change(ada, project, "rejected", one, two, filters="sort=newest")
    assert response.url == f"{review_url(project)}?sort=newest"
    assert states(project) == ["rejected", "rejected", "pending"]
    page = ada.get(response.url).content.decode()
    assert "2 examples" in page
    assert 'id="undo"' in page


def test_all_that_fit_the_filters_are_decided_without_a_list_of_them(ada, project, chunk):
    add(chunk, 30)
    add(chunk, 3, prompt="About E-31")
    add(chunk, prompt="About E-31", split="preview")
    response = change(ada, project, "approved", scope="all", filters="q=e-31", headers=HTMX)
    assert response.status_code == 200
    assert states(project) == ["pending"] * 30 + ["approved"] * 3 + ["pending"]
    assert 'id="last-change"' in response.content.decode()
    undo = reverse("datasets:undo_change", args=[ReviewChange.objects.get().pk])
    assert "Undone: 3 examples" in ada.post(undo, headers=HTMX).content.decode()
    assert set(states(project)) == {"pending"}
    assert "Nothing to undo" in ada.post(undo, follow=True).content.decode()


@pytest.mark.parametrize("headers", [None, HTMX])
def test_a_decision_over_nothing_is_422(headers, ada, project, chunk):
    add(chunk)
    response = change(ada, project, "approved", headers=headers)
    assert response.status_code == 422
    assert "Nothing is selected" in response.content.decode()
    assert change(ada, project, "burn", scope="all").status_code == 422
    assert states(project) == ["pending"]


def test_an_example_of_another_project_is_not_reached(ada, project, chunk, stranger):
    other = services.create_project(owner=stranger, name="Other")
    theirs = Example.objects.create(project=other, prompt="?", completion="!", fingerprint="x")
    change(ada, project, "deleted", theirs)
    assert states(other) == ["pending"]


def test_deleting_for_good_asks_first_and_takes_only_what_is_in_the_bin(ada, project, chunk):
    kept, binned = add(chunk)[0], add(chunk, review="deleted")[0]
    response = change(ada, project, "delete", kept, binned, filters="review=deleted")
    page = response.content.decode()
    assert "Delete 1 example for good?" in page
    assert len(states(project)) == 2
    change(ada, project, "delete", kept, binned, filters="review=deleted", confirmed="on")
    assert Example.objects.get() == kept


def edit(client, example, headers=None, **values):
    data = {"prompt": example.prompt, "context": "", "completion": example.completion} | values
    return client.post(reverse("datasets:edit", args=[example.pk]), data, headers=headers)


def test_an_edit_keeps_the_original_and_can_be_taken_back(ada, project, chunk):
    (example,) = add(chunk, prompt="Who?", completion="Ada did.")
    row = edit(ada, example, headers=HTMX, completion="Ada.", review="approved").content.decode()
    assert "As it was written" in row
    assert "Ada did." in row
    assert states(project) == ["approved"]
    ada.post(reverse("datasets:restore", args=[example.pk]))
    example.refresh_from_db()
    assert (example.completion, example.original) == ("Ada did.", {})


def test_an_edit_without_an_answer_or_like_another_example_is_422_in_place(ada, chunk):
    (example,) = add(chunk, prompt="Who?", completion="Ada did.")
    (other,) = add(chunk)
    edit(ada, other, prompt="Who?", completion="Ada.")
    for completion, said in (("", "This field is required"), ("ADA. ", "these texts already")):
        response = edit(ada, example, headers=HTMX, completion=completion)
        assert response.status_code == 422
        assert said in response.content.decode()
        assert f'id="example-{example.pk}"' in response.content.decode()
    assert edit(ada, example, completion="").status_code == 422
    example.refresh_from_db()
    assert example.completion == "Ada did."


def test_what_is_not_rejected_is_what_one_continues_with(ada, project, chunk):
    add(chunk, 2)
    add(chunk, 3, review="rejected")
    assert "Continue with 2" in ada.get(review_url(project)).content.decode()
    Example.objects.update(review="rejected")
    page = ada.get(review_url(project)).content.decode()
    assert "Nothing is left to train" in page


def test_an_empty_review_teaches_and_a_running_one_says_so(ada, project, chunk):
    assert "No examples yet" in ada.get(review_url(project)).content.decode()
    job = Job.objects.create(project=project, kind=Job.Kind.GENERATE, status="running")
    page = ada.get(review_url(project)).content.decode()
    assert "are being written" in page
    assert f'id="job-{job.pk}"' in page


def test_the_statistics_count_with_reasons_and_show_texts_escaped(ada, project, chunk):
    add(chunk, evidence_start=0, evidence_end=4)
    job = Job.objects.create(project=project, kind=Job.Kind.GENERATE, status="succeeded")
    for slot, rejected in enumerate(
        ([{"reason": "too_short", "prompt": "Why <i>?"}], [{"reason": "too_short"}, "rubbish"], [])
    ):
        GenerationRequest.objects.create(job=job, chunk=chunk, slot=slot, rejected=rejected)
    page = ada.get(reverse("datasets:statistics", args=[project.pk])).content.decode()
    for text in ("Not taken: 3", "too short", "Why &lt;i&gt;?", "rubbish", "100 %"):
        assert text in page


@pytest.mark.parametrize("filters", [{}, {"q": "Q"}, {"split": "train", "sort": "short"}])
def test_a_page_takes_ten_queries_at_most_for_five_examples_and_for_fifty(
    filters, ada, project, chunk
):
    Job.objects.create(project=project, kind=Job.Kind.GENERATE, status="failed")
    counts = []
    for more in (5, 45):
        add(chunk, more)
        with CaptureQueriesContext(connection) as queries:
            ada.get(review_url(project), filters | {"size": 50})
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 10


def test_the_statistics_take_ten_queries_at_most(ada, project, chunk):
    counts = []
    url = reverse("datasets:statistics", args=[project.pk])
    Chunk.objects.create(file=chunk.file, index=1, text="T", token_count=1, start=90, end=91)
    for more in (5, 45):
        add(chunk, more)
        with CaptureQueriesContext(connection) as queries:
            ada.get(url)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 10


def test_a_decision_over_all_is_refused_when_a_filter_fits_nothing_any_more(ada, project, chunk):
    add(chunk, 3)
    url = reverse("datasets:change", args=[project.pk])
    asked = {"scope": "all", "action": "deleted", "filters": "file=99999"}
    response = ada.post(url, asked)
    assert response.status_code == 422
    assert "nothing was changed" in response.content.decode()
    assert not Example.objects.filter(review="deleted").exists()


@pytest.mark.parametrize("wrong", [{"examples": "9" * 25}, {"filters": "page=" + "9" * 5000}])
def test_absurd_numbers_are_no_error_of_the_server(wrong, ada, project, chunk):
    add(chunk, 1)
    asked = {"action": "approved", "examples": "1"} | wrong
    assert ada.post(reverse("datasets:change", args=[project.pk]), asked).status_code < 500
