"""The runner with a stand-in engine: real processes, real signals, no model."""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import connection
from huggingface_hub import constants

from datasets.models import Example
from finetuneflow.lib import processes
from projects import jobs
from projects.models import Job, JobEvent
from training import engine_process, hub, hub_remote, runner, services
from training.engine.config import EngineConfig
from training.models import Run

STAND_IN = Path(__file__).with_name("engine_stand_in.py")
STEP = {"type": "progress", "step": 12, "total": 60, "loss": 0.834}
METRIC = {"type": "metric", "step": 12, "total": 60, "loss": 0.834, "at": "2026-01-02T03:04:05Z"}


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.PROJECTS_DIR = tmp_path / "projects"
    settings.STOP_SECONDS = 2


@pytest.fixture
def training(project):
    """Return start(*scripts): one attempt of a prepared run whose engine follows the scripts."""

    class Training:
        def __init__(self):
            self.job = services.start_training(project=project)
            self.run = Run.objects.get(job=self.job)
            self.folder = services.run_folder(self.run)
            self.folder.mkdir(parents=True)
            config = EngineConfig(base_model="/models/m", base_model_id="owner/m")
            (self.folder / "config.json").write_text(json.dumps(config.to_json()))

        def script(self, *attempts):
            (self.folder / "script.json").write_text(json.dumps(attempts))
            return self

        def attempt(self, **options) -> jobs.Outcome:
            job = jobs.claim(self.job.pk)
            reporter = jobs.Reporter(job, every_seconds=0)
            command = [sys.executable, str(STAND_IN), str(self.folder)]
            try:
                return runner.run_training(job=job, reporter=reporter, command=command, **options)
            finally:
                self.job.refresh_from_db()
                self.run.refresh_from_db()

        def deliver(self) -> None:
            """Run one attempt as the queue's task does."""
            with jobs.running(self.job.pk) as job:
                command = [sys.executable, str(STAND_IN), str(self.folder)]
                job.outcome = runner.run_training(
                    job=job, reporter=jobs.Reporter(job), command=command
                )

        def lines(self, level=None):
            found = JobEvent.objects.filter(job=self.job, **({"level": level} if level else {}))
            return list(found.values_list("text", flat=True))

        def pids(self):
            return [int(pid) for pid in (self.folder / "starts").read_text().split()]

    return Training()


def test_a_finished_training_is_kept_with_its_numbers(training):
    training.script([["event", METRIC], ["event", STEP], ["result", {}]])
    outcome = training.attempt()
    assert outcome.status == Job.Status.SUCCEEDED
    assert outcome.message == "Eval loss 1.92 -> 0.74"
    assert training.run.metrics["final"]["eval_loss"] == 0.74
    assert training.run.samples[0]["after"] == "a"
    assert training.run.peak_bytes == 1234
    assert (training.job.done, training.job.total) == (12, 60)
    assert training.job.message == "Step 12 of 60, loss 0.83"


def test_metrics_become_events_with_their_numbers_and_time(training):
    training.script(
        [["event", METRIC], ["event", {"type": "warning", "text": "w"}], ["result", {}]]
    )
    training.attempt()
    metric = JobEvent.objects.get(job=training.job, level="metric")
    assert metric.data == {"step": 12, "total": 60, "loss": 0.834}
    assert metric.text == "Step 12: loss 0.8340"
    assert metric.at.year == 2026
    assert training.lines("warning") == ["w"]


def test_a_training_that_made_it_worse_says_so(training):
    metrics = {"baseline": {"eval_loss": 1.0}, "final": {"eval_loss": 1.2}}
    training.script([["result", {"metrics.json": json.dumps(metrics)}]])
    assert "did not make the model better" in training.attempt().message


@pytest.mark.parametrize(
    ("steps", "part"),
    [
        ([["say", "boom"], ["exit", 1]], "boom"),
        ([["exit", 0]], "no complete result"),
        ([["result", {}], ["damage", "adapter/adapter_model.safetensors"]], "not as the engine"),
        ([["result", {"adapter/adapter_model.safetensors": None}]], "adapter_model.safetensors"),
        ([["result", {"metrics.json": None}]], "metrics.json"),
        ([["result", {}], ["damage", "manifest.json"]], "no complete result"),
    ],
)
def test_without_an_intact_adapter_a_training_never_succeeds(training, steps, part):
    training.script(steps)
    with pytest.raises(runner.EngineFailed, match=part) as caught:
        training.attempt()
    assert caught.value.code == "internal"
    assert training.run.metrics == {}


@pytest.mark.parametrize("code", ["oom", "bad_data", "model_missing", "gated", "nan", "disk_full"])
def test_the_engines_own_reason_reaches_the_job(training, code):
    training.script([["error", {"code": code, "message": "Do this next."}], ["exit", 1]])
    training.deliver()
    training.job.refresh_from_db()
    assert training.job.status == Job.Status.FAILED
    assert (training.job.error_code, training.job.error_text) == (code, "Do this next.")


def test_a_reason_of_an_earlier_attempt_is_not_taken_for_todays(training):
    (training.folder / "error.json").write_text('{"code": "oom", "message": "old"}')
    training.script([["exit", 3]])
    with pytest.raises(runner.EngineFailed, match="exit code 3"):
        training.attempt()


def test_a_killed_engine_is_queued_again_and_goes_on(training):
    line = {"type": "log", "text": "one"}
    training.script(
        [["event", line], ["raw", '{"type": "lo'], ["kill", signal.SIGKILL]],
        [["raw", "\n"], ["event", line | {"text": "two"}], ["result", {}]],
    )
    training.deliver()
    training.job.refresh_from_db()
    assert training.job.status == Job.Status.QUEUED
    assert training.job.attempt == 1
    training.deliver()
    training.job.refresh_from_db()
    assert training.job.status == Job.Status.SUCCEEDED
    engine_lines = [text for text in training.lines() if text in ("one", "two")]
    assert engine_lines == ["one", "two"]


def test_on_its_last_attempt_a_killed_training_stays_interrupted_with_the_reason(training):
    training.script([["kill", signal.SIGKILL]])
    for _ in range(jobs.MAX_ATTEMPTS):
        training.deliver()
    training.job.refresh_from_db()
    assert training.job.status == Job.Status.INTERRUPTED
    assert training.job.error_code == "killed"
    assert "memory" in training.job.error_text
    assert "Resume it" in training.job.error_text


@pytest.mark.parametrize("steps", [[["exit", 143]], [["exit", 75]], [["kill", signal.SIGTERM]]])
def test_an_engine_that_was_stopped_from_outside_is_an_interruption(training, steps):
    training.script(steps)
    with pytest.raises(jobs.JobInterrupted):
        training.attempt()


class Cancelling(jobs.Reporter):
    """Asks to cancel as soon as the engine waits; a person's click at the worst moment."""

    def __call__(self, done, total=None, message=None):
        if Path(self.waiting).exists():
            Job.objects.filter(pk=self.job.pk).update(cancel_requested=True)
        super().__call__(done, total, message)


def cancel_while_it_waits(training) -> int:
    """Run an attempt that is cancelled; return the engine's id."""
    job = jobs.claim(training.job.pk)
    reporter = Cancelling(job, every_seconds=0)
    reporter.waiting = training.folder / "waiting"
    command = [sys.executable, str(STAND_IN), str(training.folder)]
    with pytest.raises(jobs.JobCancelled):
        runner.run_training(job=job, reporter=reporter, command=command)
    return training.pids()[-1]


def test_cancel_lets_the_engine_save_and_keeps_its_last_words(training):
    training.script([["stop_on_sigterm", None], ["wait", None]])
    pid = cancel_while_it_waits(training)
    assert not processes.is_alive(pid)
    assert training.lines() == ["Saved checkpoint 7."]


def test_cancel_kills_an_engine_that_does_not_listen_and_its_children(training):
    training.script([["ignore_sigterm", None], ["child", None], ["wait", None]])
    pid = cancel_while_it_waits(training)
    child = int((training.folder / "child").read_text())
    assert not processes.is_alive(pid)
    assert processes.wait_until(lambda: not processes.is_alive(child), seconds=5)


def test_whoever_loses_the_lease_ends_its_engine(training):
    training.script([["stop_on_sigterm", None], ["wait", None]])
    job = jobs.claim(training.job.pk)

    class Loser(jobs.Reporter):
        def __call__(self, *args):
            if (training.folder / "waiting").exists():
                Job.objects.filter(pk=job.pk).update(lease_token=None)
            super().__call__(*args)

    command = [sys.executable, str(STAND_IN), str(training.folder)]
    with pytest.raises(jobs.LeaseLost):
        runner.run_training(job=job, reporter=Loser(job, every_seconds=0), command=command)
    assert not processes.is_alive(training.pids()[0])


def test_an_unexpected_error_ends_the_engine_too(training, monkeypatch):
    training.script([["event", METRIC], ["wait", None]])
    monkeypatch.setattr(runner.EventLog, "_line", lambda self, event: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        training.attempt()
    assert not processes.is_alive(training.pids()[0])


def test_a_crash_between_lines_and_offset_is_impossible(training, monkeypatch):
    training.script([["event", METRIC], ["wait", None]], [["result", {}]])
    original = JobEvent.objects.bulk_create

    def fail(lines):
        original(lines)
        if lines:
            raise RuntimeError("the database went away")

    monkeypatch.setattr(JobEvent.objects, "bulk_create", fail)
    with pytest.raises(RuntimeError):
        training.attempt()
    assert training.run.events_offset == 0
    assert training.lines() == []
    monkeypatch.undo()
    Job.objects.filter(pk=training.job.pk).update(status=Job.Status.QUEUED)
    training.attempt()
    assert training.lines("metric") == ["Step 12: loss 0.8340"]


def test_two_writers_of_one_runs_events_cannot_both_win(training):
    mine, theirs = runner.EventLog(training.run), runner.EventLog(training.run)
    mine([METRIC], 100)
    with pytest.raises(jobs.LeaseLost):
        theirs([METRIC], 100)
    assert len(training.lines()) == 1


def test_a_training_that_had_finished_is_not_run_again(training):
    training.script([["result", {}]])
    training.attempt()
    Job.objects.filter(pk=training.job.pk).update(status=Job.Status.QUEUED)
    Run.objects.filter(pk=training.run.pk).update(metrics={})
    outcome = training.attempt()
    assert outcome.message == "Eval loss 1.92 -> 0.74"
    assert training.run.metrics
    assert len(training.pids()) == 1


def test_the_engine_ends_when_its_lifeline_does(training):
    training.script([["ignore_sigterm", None], ["wait", None], ["exit", 0]])
    command = [sys.executable, str(STAND_IN), str(training.folder)]
    with engine_process._engine(command, training.folder, dict(os.environ)) as process:
        assert processes.wait_until((training.folder / "waiting").exists, seconds=10)
        process.stdin.close()
        assert process.wait(timeout=5) == 0


def test_the_engine_sees_no_secret(training, monkeypatch, settings):
    for name in ("SECRET_KEY", "DATABASE_URL", "OPENAI_API_KEY", "OLLAMA_API_KEY", "AWS_SECRET"):
        monkeypatch.setenv(name, "sesame")
    monkeypatch.setenv("HF_TOKEN", "sesame")
    monkeypatch.setenv("https_proxy", "http://sesame@proxy")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    training.script([["environment", None], ["result", {}]])
    training.attempt()
    seen = json.loads((training.folder / "environment.json").read_text())
    assert "sesame" not in json.dumps(seen)
    assert seen["CUDA_VISIBLE_DEVICES"] == "1"
    assert seen["PATH"] == os.environ["PATH"]


def test_an_engine_that_needs_the_hub_gets_its_token(training, settings):
    settings.HF_TOKEN = "hf_sesame"
    config = EngineConfig(base_model="owner/model")
    (training.folder / "config.json").write_text(json.dumps(config.to_json()))
    assert engine_process.engine_environment(training.folder)["HF_TOKEN"] == "hf_sesame"


def test_a_large_log_is_put_aside_before_the_next_start(training, monkeypatch):
    monkeypatch.setattr(engine_process, "MAX_LOG_BYTES", 10)
    (training.folder / "engine.log").write_text("x" * 20)
    training.script([["say", "new"], ["result", {}]])
    training.attempt()
    assert (training.folder / "engine.log").read_text() == "new\n"
    assert (training.folder / "engine.log.1").read_text() == "x" * 20


def test_without_a_receiver_events_go_to_the_jobs_log(training):
    training.script([["event", {"type": "phase", "text": "Loading"}], ["result", {}]])
    job = jobs.claim(training.job.pk)
    reporter = jobs.Reporter(job, every_seconds=0)
    command = [sys.executable, str(STAND_IN), str(training.folder)]
    result = runner.run_engine(training.folder, job=job, reporter=reporter, command=command)
    assert "metrics.json" in result.files
    reporter.flush()
    assert training.lines() == ["Loading"]


# The newest numbers


def test_the_newest_numbers_and_a_curve_stand_in_the_run_while_it_works(training):
    first = {"type": "metric", "step": 0, "epoch": 0, "eval_loss": 1.9}
    phase = {"type": "phase", "phase": "train", "text": "Training.", "total": 60}
    training.script([["event", first], ["event", phase], ["event", METRIC], ["exit", 1]])
    with pytest.raises(runner.EngineFailed):
        training.attempt()
    now = training.run.live
    assert (now["phase"], now["step"], now["total"]) == ("train", 12, 60)
    assert (now["loss"], now["eval_loss"], now["eval_before"]) == (0.834, 1.9, 1.9)
    assert now["loss_curve"]["points"] == [[12, 0.834]]


def test_a_later_attempt_goes_on_with_the_numbers_of_the_first(training):
    later = METRIC | {"step": 13, "loss": 0.8}
    training.script([["event", METRIC], ["exit", 143]], [["event", later], ["result", {}]])
    for _ in range(2):
        training.deliver()
    training.run.refresh_from_db()
    assert training.run.live["loss_curve"]["points"] == [[12, 0.834], [13, 0.8]]


def test_an_attempt_that_lost_its_run_leaves_the_newest_numbers_alone(training):
    log = runner.EventLog(training.run)
    Run.objects.update(events_offset=5, live={"step": 40})
    with pytest.raises(jobs.LeaseLost):
        log([METRIC], 9)
    training.run.refresh_from_db()
    assert training.run.live == {"step": 40}


# Stop and keep


def ask_to_finish_when_it_works(training) -> threading.Thread:
    def ask() -> None:
        assert processes.wait_until((training.folder / "waiting").exists, seconds=20)
        services.finish_training(job=training.job)
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


@pytest.mark.django_db(transaction=True)
def test_stop_and_keep_reaches_the_engine_and_the_result_says_who_stopped(training):
    train = {"steps": 7, "planned_steps": 60, "stopped_by": "person", "seconds": 3.0}
    metrics = {"baseline": {"eval_loss": 1.9}, "final": {"eval_loss": 0.7}, "train": train}
    result = ["result", {"metrics.json": json.dumps(metrics)}]
    training.script([["await_finish", None], result])
    thread = ask_to_finish_when_it_works(training)
    training.deliver()
    thread.join()
    training.job.refresh_from_db()
    assert training.job.status == Job.Status.SUCCEEDED
    assert training.job.message == "Stopped by you at step 7 of 60. Eval loss 1.90 -> 0.70"


@pytest.mark.django_db(transaction=True)
def test_an_attempt_after_an_interruption_honours_the_wish_of_before(training):
    training.script(
        [["await_finish", None], ["kill", signal.SIGKILL]],
        [["await_finish", None], ["result", {}]],
    )
    thread = ask_to_finish_when_it_works(training)
    training.deliver()
    thread.join()
    training.deliver()
    training.job.refresh_from_db()
    assert training.job.status == Job.Status.SUCCEEDED


def test_a_wish_whose_file_was_never_written_is_passed_on_by_the_next_attempt(training):
    training.script([["await_finish", None], ["result", {}]])
    Job.objects.update(finish_requested=True)
    assert training.attempt().status == Job.Status.SUCCEEDED


def test_only_a_running_training_is_told_to_finish(training):
    assert not services.finish_training(job=training.job)
    jobs.claim(training.job.pk)
    assert services.finish_training(job=training.job)
    jobs.request_cancel(training.job)
    Job.objects.update(finish_requested=False)
    assert not services.finish_training(job=training.job)


# What is written into the run's folder


@pytest.fixture
def model_folder(settings, tmp_path):
    settings.MODELS_DIR = tmp_path / "models"
    folder = settings.MODELS_DIR / "Tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "ftf_model.json").write_text('{"id": "owner/Tiny"}')
    return folder


def add_examples(project, split: str, count: int) -> None:
    for number in range(count):
        Example.objects.create(
            project=project,
            prompt=f"{split} {number}?",
            completion="Yes.",
            split=split,
            fingerprint=f"{split}{number}",
        )


@pytest.fixture
def fresh(project, model_folder):
    """Return a run with examples and no folder yet."""
    project.base_model = "Tiny"
    project.save()
    add_examples(project, "train", 3)
    add_examples(project, "eval", 2)
    job = services.start_training(project=project, method="qlora", epochs=2, lora_rank=4)
    return Run.objects.select_related("project").get(job=job)


def prepare(run: Run) -> Path:
    folder = services.run_folder(run)
    runner.prepare_folder(run, folder, method=run.method, overrides=run.job.params["overrides"])
    run.refresh_from_db()
    return folder


def test_a_run_gets_its_files_and_settings_from_the_project(fresh, model_folder):
    folder = prepare(fresh)
    config = EngineConfig.load(folder)
    assert config.base_model == str(model_folder)
    assert config.base_model_id == "owner/Tiny"
    assert (config.method, config.epochs, config.lora_rank) == ("qlora", 2, 4)
    assert len((folder / "train.jsonl").read_text().splitlines()) == 3
    assert fresh.config == config.to_json()
    assert fresh.dataset_stats["eval"] == 2
    assert fresh.dataset_stats["sources"]["settings"]["chunk_size"] == fresh.project.chunk_size
    assert len(fresh.dataset_hash) == 64


def test_a_later_attempt_keeps_the_settings_and_the_data_of_the_first(fresh):
    folder = prepare(fresh)
    before = {name: (folder / name).read_bytes() for name in ("config.json", "train.jsonl")}
    Example.objects.all().delete()
    (folder / "script.json").write_text(json.dumps([[["result", {}]]]))
    job = jobs.claim(fresh.job_id)
    command = [sys.executable, str(STAND_IN), str(folder)]
    runner.run_training(job=job, reporter=jobs.Reporter(job), command=command)
    assert before == {name: (folder / name).read_bytes() for name in before}


def failed_preparation(run: Run) -> jobs.JobFailed:
    with pytest.raises(jobs.JobFailed) as caught:
        prepare(run)
    assert not (services.run_folder(run) / "config.json").exists()
    return caught.value


@pytest.mark.parametrize("split", ["train", "eval"])
def test_without_examples_there_is_nothing_to_train(fresh, split):
    Example.objects.filter(split=split).delete()
    assert failed_preparation(fresh).code == "no_data"


def test_a_model_that_is_nowhere_is_named(fresh):
    fresh.project.base_model = "Gone"
    error = failed_preparation(fresh)
    assert error.code == "model_missing"
    assert "'Gone'" in str(error)


def test_a_wrong_setting_is_named(fresh):
    fresh.job.params["overrides"] = {"lora_rank": 0}
    error = failed_preparation(fresh)
    assert error.code == "bad_settings"
    assert "lora_rank" in str(error)


def test_overrides_cannot_exchange_the_model(fresh, model_folder):
    fresh.job.params["overrides"] = {"base_model": "/etc", "task": "verify"}
    config = EngineConfig.load(prepare(fresh))
    assert (config.base_model, config.task) == (str(model_folder), "train")


def test_a_hub_model_is_pinned_to_the_projects_commit(fresh):
    """A commit needs no Hub: the tests' machine may have none."""
    fresh.project.base_model, fresh.project.base_revision = "owner/elsewhere", "ab" * 20
    config = EngineConfig.load(prepare(fresh))
    assert (config.base_model, config.revision) == ("owner/elsewhere", "ab" * 20)


@pytest.mark.parametrize("revision", ["", "main"])
def test_what_is_no_commit_becomes_one_before_the_first_attempt(fresh, monkeypatch, revision):
    asked = []

    def resolve(model_id, revision):
        asked.append((model_id, revision))
        return SimpleNamespace(revision="cd" * 20)

    monkeypatch.setattr(hub_remote, "resolve", resolve)
    fresh.project.base_model, fresh.project.base_revision = "owner/elsewhere", revision
    assert EngineConfig.load(prepare(fresh)).revision == "cd" * 20
    assert fresh.config["revision"] == "cd" * 20
    assert asked == [("owner/elsewhere", revision or None)]


@pytest.mark.parametrize(
    ("code", "shown"),
    [("not_found", "model_missing"), ("gated", "gated"), ("remote_code", "remote_code")],
)
def test_what_the_hub_refuses_ends_the_training_with_its_reason(fresh, monkeypatch, code, shown):
    def resolve(model_id, revision):
        raise hub.HubError(code, "Accept its terms.")

    monkeypatch.setattr(hub_remote, "resolve", resolve)
    fresh.project.base_model = "owner/elsewhere"
    error = failed_preparation(fresh)
    assert (error.code, str(error)) == (shown, "Accept its terms.")


def test_a_training_without_the_hub_says_that_it_is_offline(fresh, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    fresh.project.base_model = "owner/never-fetched"
    error = failed_preparation(fresh)
    assert error.code == "offline"
    assert "cannot be reached for owner/never-fetched" in str(error)
