"""Rows of a preview as real jobs leave them: passages with facts, examples, refused replies."""

from datasets import services
from datasets.models import Chunk, Example, GenerationRequest
from e2e import seed
from projects.models import Job, Project, SourceFile
from projects.services import add_file

State = GenerationRequest.State
FACTS = (
    "Scales are calibrated on the first Tuesday of each month by the workshop in Odense.",
    "Error E-31 means that the flow is below 1.6 litres per minute.",
    "Claims handed in late are approved by Mrs Oduya, the head of finance.",
    "The pump P-4 runs on for eight minutes after the heater has stopped.",
)
QUESTIONS = (
    "When are the scales calibrated?",
    "What does error E-31 mean?",
    "Who approves claims that are handed in late?",
    "How long does the pump P-4 run on after the heater has stopped?",
)
FILLER = "Nothing in this paragraph matters much, and nobody has to remember any of it later. "


def passage(index: int) -> str:
    """Return a page of text with one of the facts in its middle and others around it."""
    fact = FACTS[index % 4]
    other = (
        f"The depot of line {index} was opened in {1900 + index} by engineer Tamsin Vale{index}."
    )
    return f"{FILLER * 3}{fact} {FILLER * 2}\n{other} {FILLER}"


def passages(project: Project, count: int = 12) -> list[Chunk]:
    made = []
    for name in ("handbook.pdf", "k7-service-manual.docx"):
        file = add_file(project=project, name=name, pieces=[name.encode()])
        file.state, file.report = SourceFile.State.EXTRACTED, {"pages": 9, "characters": 9000}
        file.save()
        for index in range(count // 2):
            text = passage(index)
            made.append(
                Chunk(
                    file=file,
                    index=index,
                    text=text,
                    token_count=len(text) // 4,
                    start=index * 600,
                    end=index * 600 + len(text),
                    first_page=index + 1,
                    last_page=index + 1 + index % 2,
                    section="2 Routine work",
                )
            )
    return Chunk.objects.bulk_create(made)


def preview(project: Project, count: int = 10, *, refused: int = 3, **job_fields) -> Job:
    """A preview that gave `count` examples and refused some replies, one of them very long."""
    settings = services.generation_settings(project)
    job = seed.job(
        project,
        Job.Kind.PREVIEW,
        **({"params": {"examples": 10, "settings": settings}, "message": f"{count} examples."})
        | job_fields,
    )
    chunks = list(Chunk.objects.filter(file__project=project))
    for index in range(count):
        _example(project, job, chunks[index % len(chunks)], index)
    replies = ('[{"question": "What is', "<b>Sure!</b> Here are five questions.", "Why? " * 900)
    reasons = ("cut off in the middle", "not readable as JSON", "refers to the text")
    for index in range(refused):
        _request(
            job,
            chunks[index],
            slot=20,
            state=State.REJECTED,
            raw_response=replies[index % 3],
            rejected=[{"text": replies[index % 3][:200], "reason": reasons[index % 3]}],
        )
    _request(job, chunks[-1], slot=21, state=State.CANCELLED)
    return job


def _request(job: Job, chunk: Chunk, **fields) -> GenerationRequest:
    return GenerationRequest.objects.create(
        job=job, chunk=chunk, strategy="json", prompt_version="1", **fields
    )


def _example(project: Project, job: Job, chunk: Chunk, index: int) -> Example:
    quote = FACTS[chunk.index % 4]
    start = chunk.text.index(quote)
    is_lost = index % 7 == 6
    return Example.objects.create(
        project=project,
        chunk=chunk,
        request=_request(job, chunk, slot=index, state=State.DONE),
        prompt=QUESTIONS[chunk.index % 4],
        completion=quote,
        evidence=quote,
        evidence_start=None if is_lost else start,
        evidence_end=None if is_lost else start + len(quote),
        flags=["evidence_not_found"] if is_lost else [],
        token_count=30 + index,
        split=Example.Split.PREVIEW,
        fingerprint=f"{index:064x}",
    )
