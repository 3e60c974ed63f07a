"""Pages of the review: the table, one example, decisions over many, and undoing them."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, QueryDict
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import push_url, trigger_client_event

from datasets import editing, review_selectors, review_statistics, reviewing
from datasets.models import Example, ReviewChange
from datasets.review_forms import DELETE, ChangeForm, EditForm, ExampleFilterForm
from finetuneflow.lib.htmx import is_fragment_request, render_page
from projects import access, wizard
from projects.models import Job, Project
from projects.selectors import latest_job
from projects.web import posted, wizard_step

CHANGED = "review-changed"


@require_GET
@wizard_step("review")
def review(request, project: Project):
    return _table(request, project, request.GET)


def _table(request, project: Project, asked: QueryDict, *, refusal: str = ""):
    """Answer the page, or for htmx its table, of what `asked` filters."""
    files, change = review_selectors.around(project)
    form = ExampleFilterForm(asked, files=files)
    nav = wizard.nav(project, "review")
    reviews = nav.facts.reviews
    number = asked.get("page", "1")
    page = review_selectors.page_of_examples(
        project,
        form.filters(),
        sort=form.order,
        number=int(number) if number.isdecimal() and len(number) < 10 else 1,
        size=form.page_size,
        reviews=reviews,
    )
    active = next((job for job in nav.facts.active if job.kind == Job.Kind.GENERATE), None)
    context = {"project": project, "nav": nav, "form": form, "page": page, "change": change}
    context |= {"refusal": refusal, "is_fragment": is_fragment_request(request)}
    context |= {"kept": reviews[Example.Review.PENDING] + reviews[Example.Review.APPROVED]}
    context |= {"total": sum(reviews.values()), "pending": reviews[Example.Review.PENDING]}
    context |= {"job": active or _latest(request, project)}
    context |= _links(project, form, page)
    response = render_page(
        request,
        "datasets/review.html",
        "datasets/partials/examples.html",
        context,
        status=422 if refusal else 200,
    )
    return _pushed(request, response, context["address"])


def _latest(request, project: Project) -> Job | None:
    """The table alone does not show the job."""
    return None if is_fragment_request(request) else latest_job(project, Job.Kind.GENERATE)


def _links(project: Project, form: ExampleFilterForm, page) -> dict:
    """Return the address of what is shown, without what goes without saying, and its neighbours."""
    path = reverse("datasets:review", args=[project.pk])
    query = form.query(**({"page": page.number} if page.number > 1 else {}))
    turns = {"previous": page.previous, "next": page.next}
    links = {name: path + form.query(page=turn) for name, turn in turns.items() if turn}
    return {"address": path + query, "query": query.removeprefix("?"), "links": links}


def _pushed(request, response, address: str):
    if is_fragment_request(request) and address != request.htmx.current_url_abs_path:
        push_url(response, address)
    return response


@require_GET
def statistics(request, project_id: int):
    project = access.get_owned(Project, request.user, owner_path="owner", pk=project_id)
    context = {"project": project, "statistics": review_statistics.statistics_of(project)}
    return render_page(
        request, "datasets/statistics.html", "datasets/partials/statistics.html", context
    )


@require_POST
def change(request, project_id: int):
    """Decide over the selected examples, or over all that fit the filters."""
    project = access.get_project(request.user, project_id)
    asked = QueryDict(request.POST.get("filters", ""))
    form = ChangeForm(request.POST)
    if not form.is_valid():
        refusal = " ".join(text for texts in form.errors.values() for text in texts)
        return _table(request, project, asked, refusal=refusal)
    if form.cleaned_data["scope"] == "all" and _filters_of(project, asked).errors:
        refusal = (
            "A filter fits nothing any more (its file may be deleted), so nothing was changed. "
            "Look at the list again."
        )
        return _table(request, project, asked, refusal=refusal)
    chosen = _chosen(project, form.cleaned_data, asked)
    action = form.cleaned_data["action"]
    if action == DELETE and not form.cleaned_data["confirmed"]:
        return _ask(request, project, chosen, asked)
    _carry_out(request, project, chosen, action)
    if not is_fragment_request(request):
        return _back(project, asked)
    fresh = access.get_project(request.user, project_id)
    return trigger_client_event(_table(request, fresh, asked), CHANGED)


def _chosen(project: Project, values: dict, asked: QueryDict):
    if values["scope"] != "all":
        examples = Example.objects.filter(project=project, pk__in=values["examples"])
        return examples.exclude(split=Example.Split.PREVIEW)
    return review_selectors.matching(project, _filters_of(project, asked).filters())


def _filters_of(project: Project, asked: QueryDict) -> ExampleFilterForm:
    files, _ = review_selectors.around(project)
    return ExampleFilterForm(asked, files=files)


def _carry_out(request, project: Project, chosen, action: str) -> None:
    if action == DELETE:
        count = reviewing.delete_for_good(project=project, examples=chosen)
        messages.success(request, f"{wizard.count(count, 'example')} deleted for good.")
    elif reviewing.change_review(project=project, examples=chosen, review=action) is None:
        messages.info(request, "Nothing to do: they are in that state already.")


def _ask(request, project: Project, chosen, asked: QueryDict):
    count = chosen.filter(review=Example.Review.DELETED).count()
    context = {"project": project, "count": count, "filters": asked.urlencode()}
    context |= {"examples": request.POST.getlist("examples"), "scope": request.POST.get("scope")}
    return render(request, "datasets/delete_examples.html", context)


def _back(project: Project, asked: QueryDict, anchor: str = ""):
    query = f"?{asked.urlencode()}" if asked else ""
    return redirect(reverse("datasets:review", args=[project.pk]) + query + anchor)


@require_POST
def undo_change(request, change_id: int):
    made = access.get_owned(ReviewChange, request.user, pk=change_id)
    count = reviewing.undo_change(change=made)
    if count:
        messages.success(request, f"Undone: {wizard.count(count, 'example')} as before.")
    else:
        messages.info(request, "Nothing to undo: this was undone or changed again since.")
    asked = QueryDict(request.POST.get("filters", ""))
    project = access.get_project(request.user, made.project_id)
    if not is_fragment_request(request):
        return _back(project, asked)
    return trigger_client_event(_table(request, project, asked), CHANGED)


@require_GET
def example(request, example_id: int):
    """One example: a row of the table, opened or closed, or a page of its own."""
    found = review_selectors.example_of(request.user, example_id)
    return _row(request, found, is_open=request.GET.get("row") != "closed")


@require_POST
def decide(request, example_id: int):
    found = review_selectors.example_of(request.user, example_id)
    review = request.POST.get("review")
    if review not in Example.Review.values:
        return _row(request, found, status=422)
    this = Example.objects.filter(pk=found.pk)
    reviewing.change_review(project=found.project, examples=this, review=review)
    return _decided(request, found, is_open=request.GET.get("row") == "open")


@require_POST
def restore(request, example_id: int):
    """Put back the texts as they were written."""
    found = review_selectors.example_of(request.user, example_id)
    try:
        editing.restore_original(example=found)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return _decided(request, found, is_open=True)


@require_http_methods(["GET", "POST"])
def edit(request, example_id: int):
    found = review_selectors.example_of(request.user, example_id)
    form = EditForm(posted(request), example=found)
    if request.method == "POST" and form.is_valid() and _save(form, found):
        review = request.POST.get("review")
        if review == Example.Review.APPROVED:
            this = Example.objects.filter(pk=found.pk)
            reviewing.change_review(project=found.project, examples=this, review=review)
        return _decided(request, found, is_open=True)
    status = 422 if form.errors else 200
    return _row(request, found, is_open=True, form=form, status=status)


def _save(form: EditForm, found: Example) -> bool:
    try:
        editing.edit_example(example=found, **form.cleaned_data)
    except Example.DoesNotExist as error:  # Deleted for good meanwhile.
        raise Http404 from error
    except ValidationError as error:
        form.add_error(None, error)
        return False
    return True


def _row(request, found: Example, *, is_open: bool = True, form=None, status: int = 200):
    context = {"example": found, "project": found.project, "is_open": is_open, "form": form}
    context["query"] = request.POST.get("filters", "")
    if is_open:
        context["passage"] = review_selectors.passage(found)
    return render_page(
        request, "datasets/example.html", "datasets/partials/example.html", context, status=status
    )


def _decided(request, found: Example, *, is_open: bool):
    """Answer the changed row, and beside it what can be undone now."""
    if not is_fragment_request(request):
        if "filters" in request.POST:
            asked = QueryDict(request.POST["filters"])
            return _back(found.project, asked, anchor=f"#example-{found.pk}")
        return redirect("datasets:example", found.pk)
    fresh = review_selectors.example_of(request.user, found.pk)
    response = _row(request, fresh, is_open=is_open)
    context = {"change": review_selectors.last_change(fresh.project), "is_fragment": True}
    context |= {"example": fresh, "query": request.POST.get("filters", "")}
    response.write(render_to_string("datasets/partials/last_change_apart.html", context, request))
    return trigger_client_event(response, CHANGED)
