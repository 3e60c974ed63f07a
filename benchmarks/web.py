"""Every page at 100,000 examples against a bare Django view, through one real gunicorn worker.

Prints a line a page: queries, bytes (compressed), median and 95th percentile, and their ratio to
the bare view behind the same middleware. The last line has the worst of all.
"""

import argparse
import gzip
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # Before the library `datasets`, which has the name of our app.
SETTINGS = "benchmarks.support.web_settings"
START_SECONDS = 30


def set_up(folder: Path):
    """Return Django's user of a fresh installation in `folder`, with its database migrated."""
    models = os.environ.get("FTF_MODELS_DIR") or str(ROOT / "data" / "models")
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "FTF_DATA_DIR": str(folder),
        "FTF_MODELS_DIR": models,
        "FTF_RATE_LIMIT_PER_MINUTE": "0",
        "FTF_LOG_LEVEL": "ERROR",
    }
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    return get_user_model().objects.create_user("ada", password="x" * 20)


def make_pages(user, examples: int, chunks: int) -> dict[str, str]:
    """Fill a project, with a finished run and an archive; return {title: address}."""
    from django.urls import reverse

    from benchmarks.support.web_data import fill
    from e2e import seed
    from projects import services

    seed.workers_are_alive()
    for number in range(30):
        services.create_project(owner=user, name=f"Project {number}")
    project = services.create_project(owner=user, name="Large")
    fill(project, examples, chunks)
    seed.generation(project)
    run = seed.run(project, steps=300)
    seed.export(run)
    example, file = project.examples.first(), project.files.first()

    def of(name: str, item=project, query: str = "") -> str:
        return reverse(name, args=[item.pk]) + query

    review = "datasets:review"
    return {
        "bare view": "/bare/",
        "dashboard": reverse("projects:list"),
        "overview": of("projects:detail"),
        "model": of("training:model"),
        "task": of("projects:task"),
        "data": of("datasets:data"),
        "text of a file": of("datasets:text", file),
        "preview": of("datasets:preview"),
        "review": of(review),
        "review, page 2,000": of(review, query="?page=2000"),
        "review, by length": of(review, query="?sort=long"),
        "review, rejected": of(review, query="?review=rejected"),
        "review, search": of(review, query="?q=furnace+99"),
        "statistics": of("datasets:statistics"),
        "example": of("datasets:example", example),
        "hardware": of("training:hardware"),
        "train": of("training:train"),
        "run": of("training:run", run),
        "export": of("training:export"),
        "job": of("projects:job", run.job),
        "poll: job": of("projects:job", run.job) + "#poll",
        "poll: rail": of("projects:rail_job", run.job) + "#poll",
        "poll: log": of("projects:job_log", run.job, "?after=0") + "#poll",
        "poll: run": of("training:run_live", run) + "#poll",
        "poll: curve": of("training:run_curve", run) + "#poll",
    }


def count_queries(user, pages: dict[str, str]) -> dict[str, int]:
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(user)
    counts = {}
    for title, address in pages.items():
        client.get(address, headers=headers_of(address))  # What Django asks once per process.
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(address, headers=headers_of(address))
        assert answer.status_code == 200, (title, answer.status_code)
        counts[title] = len(queries)
    return counts


def headers_of(address: str) -> dict[str, str]:
    return {"HX-Request": "true"} if address.endswith("#poll") else {}


def session_of(user) -> str:
    from django.test import Client

    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


def start_server(port: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "gunicorn", "finetuneflow.wsgi", "--bind", f"127.0.0.1:{port}"]
    command += ["--workers", "1", "--threads", "4", "--log-level", "error", "--no-control-socket"]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})


def measure(port: int, session: str, pages: dict[str, str], rounds: int) -> dict[str, tuple]:
    """Return {title: (seconds of each request, bytes)}; pages take turns, so noise hits all."""
    import httpx

    took: dict[str, list[float]] = {title: [] for title in pages}
    sizes: dict[str, int] = {}
    cookies = {"sessionid": session}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", cookies=cookies, timeout=30) as client:
        wait_for(client)
        for number in range(rounds + 1):
            for title, address in pages.items():
                began = time.perf_counter()
                answer = client.get(address, headers=headers_of(address))
                seconds = time.perf_counter() - began
                assert answer.status_code == 200, (title, answer.status_code)
                sizes[title] = len(gzip.compress(answer.content))
                if number:  # The first round fills the caches of the process.
                    took[title].append(seconds)
    return {title: (took[title], sizes[title]) for title in pages}


def wait_for(client) -> None:
    import httpx

    until = time.monotonic() + START_SECONDS
    while True:
        try:
            client.get("/bare/")
            return
        except httpx.TransportError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def show(found: dict[str, tuple], queries: dict[str, int]) -> None:
    p95 = {title: statistics.quantiles(took, n=20)[18] for title, (took, _) in found.items()}
    bare = statistics.median(found["bare view"][0])
    for title, (took, size) in found.items():
        median = statistics.median(took)
        print(
            f"web: {title:20} {queries[title]:2} queries {size / 1000:6.1f} kB  "
            f"median {median * 1000:6.1f} ms  p95 {p95[title] * 1000:6.1f} ms  "
            f"{median / bare:5.1f} x the bare view"
        )
    worst = max(p95, key=p95.get)
    print(f"web: worst p95 {p95[worst] * 1000:.0f} ms ({worst})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--chunks", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        user = set_up(Path(folder))
        pages = make_pages(user, arguments.examples, arguments.chunks)
        queries = count_queries(user, pages)
        port = free_port()
        server = start_server(port)
        try:
            found = measure(port, session_of(user), pages, arguments.rounds)
        finally:
            server.terminate()
            server.wait(20)
    show(found, queries)


if __name__ == "__main__":
    main()
