"""Pages of a ready dataset: upload, columns, import, refused rows."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from datasets import importing
from datasets.import_formats import COLUMNS, Mapping
from datasets.tests.test_importing import add, own_folder, pairs, run  # noqa: F401
from projects.models import Job, SourceFile

HTMX = {"HX-Request": "true"}


@pytest.fixture
def ada(client, user):
    client.force_login(user)
    return client


def upload(client, project, name: str, content: bytes):
    url = reverse("datasets:import_dataset", args=[project.pk])
    return client.post(url, {"file": SimpleUploadedFile(name, content)})


def test_page_and_fragment_belong_to_the_owner(client, user, stranger, project):
    file = add(project, pairs(3))
    for url in (
        reverse("datasets:import_dataset", args=[project.pk]),
        reverse("datasets:dataset", args=[file.pk]),
    ):
        client.logout()
        assert client.get(url).status_code == 302
        client.force_login(stranger)
        assert client.get(url).status_code == 404
        client.force_login(user)
        assert "<html" in client.get(url).content.decode()
        assert "<html" not in client.get(url, headers=HTMX).content.decode()


def test_an_upload_opens_with_its_first_rows(ada, project):
    content = b"question,answer\nWhen?,On <b>Monday</b>\nWho?,\n"
    response = upload(ada, project, "faq.csv", content)
    file = SourceFile.objects.get()
    assert (file.kind, response.url) == ("dataset", reverse("datasets:dataset", args=[file.pk]))
    page = ada.get(response.url).content.decode()
    assert "Of the first 2 rows 1 would be an example, 1 would be refused" in page
    assert "On &lt;b&gt;Monday" in page
    assert "Line 3: the completion is empty" in page


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", b"", "is empty"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.pdf", b"%PDF", "cannot be read"),
    ],
)
def test_a_file_that_is_refused_is_422_with_the_reason(name, content, text, ada, project):
    response = upload(ada, project, name, content)
    assert response.status_code == 422
    assert text in response.content.decode()
    assert not SourceFile.objects.exists()


def test_nothing_chosen_is_422(ada, project):
    response = ada.post(reverse("datasets:import_dataset", args=[project.pk]), {})
    assert response.status_code == 422
    assert "Choose a file" in response.content.decode()


def test_strange_columns_are_chosen_by_hand_and_kept_for_the_import(ada, project):
    file = add(project, [{"frage": "Q?", "antwort": "A"}] * 2)
    url = reverse("datasets:dataset", args=[file.pk])
    assert "Import all rows" not in ada.get(url).content.decode()
    assert ada.post(url, {"prompt": "", "completion": ""}).status_code == 422
    assert ada.post(url, {"prompt": "frage", "completion": "frage"}).status_code == 422
    assert ada.post(url, {"prompt": "frage", "completion": "nothing"}).status_code == 422
    assert not Job.objects.exists()
    chosen = {"prompt": "frage", "context": "", "completion": "antwort"}
    assert "Of the first 2 rows 2 would be" in ada.get(url, chosen).content.decode()
    ada.post(url, chosen)
    assert Job.objects.get().params["mapping"] == {"format": COLUMNS} | chosen


def test_turns_are_imported_as_they_were_recognised(ada, project):
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    file = add(project, [{"messages": turns}])
    ada.post(reverse("datasets:dataset", args=[file.pk]))
    assert Job.objects.get().params["mapping"]["format"] == "messages"


def test_what_was_refused_is_shown_and_downloaded(ada, stranger, project):
    file = add(project, [*pairs(2), "{broken"])
    run(file)
    page = ada.get(reverse("datasets:import_dataset", args=[project.pk])).content.decode()
    assert "2 of 3 rows added" in page
    assert "1 refused: not JSON" in page
    url = reverse("datasets:import_errors", args=[file.pk])
    assert b"3,not JSON" in b"".join(ada.get(url).streaming_content)
    ada.force_login(stranger)
    assert ada.get(url).status_code == 404


def test_a_file_is_deleted_and_its_examples_stay(ada, project):
    file = add(project, pairs(4))
    run(file)
    ada.post(reverse("datasets:delete_dataset", args=[file.pk]))
    assert not SourceFile.objects.exists()
    assert project.examples.count() == 4


def test_a_file_that_is_being_imported_is_not_deleted(ada, project):
    file = add(project, pairs(4))
    importing.start_import(file=file, mapping=Mapping(COLUMNS, "question", "", "answer"))
    url = reverse("datasets:delete_dataset", args=[file.pk])
    assert "already under way" in ada.post(url, follow=True).content.decode()
    assert SourceFile.objects.exists()


def test_the_pages_take_at_most_ten_queries(ada, project, django_assert_max_num_queries):
    files = [add(project, pairs(2, start=n), name=f"{n}.jsonl") for n in range(12)]
    Job.objects.create(project=project, kind=Job.Kind.IMPORT)
    for url in (
        reverse("datasets:import_dataset", args=[project.pk]),
        reverse("datasets:dataset", args=[files[0].pk]),
    ):
        with django_assert_max_num_queries(10):
            ada.get(url)


def test_a_dataset_is_no_document(ada, project):
    file = add(project, pairs(2))
    page = ada.get(reverse("datasets:data", args=[project.pk])).content.decode()
    assert file.original_name not in page
    assert json.dumps(file.original_name)[1:-1] not in page
    assert reverse("datasets:import_dataset", args=[project.pk]) in page


def test_rows_that_no_page_could_show_are_named_and_the_page_stands(ada, project):
    rows = ['{"question": "\\ud800", "answer": "A"}', '{"\\ud800": 1}', *pairs(1)]
    page = ada.get(reverse("datasets:dataset", args=[add(project, rows).pk])).content.decode()
    assert "Line 1: half a character" in page
    assert "Line 2: a name with a character" in page


def test_the_page_says_which_columns_and_which_encoding_it_reads(ada, project):
    text = "id;question;answer\n" + "1;Où est le café?;Près de l'église à Orléans\n" * 20
    response = upload(ada, project, "faq.csv", text.encode("cp1252"))
    page = ada.get(response.url).content.decode()
    assert "questions and answers" in page
    assert "Not used: id." in page
    assert "Près de l&#x27;église" in page
    assert "If accents look wrong" in page


def test_items_of_a_json_list_are_called_items(ada, project):
    file = add(project, ['[{"question": "", "answer": "A"}]'], name="a.json")
    page = ada.get(reverse("datasets:dataset", args=[file.pk])).content.decode()
    assert "Item 1: the prompt is empty" in page
