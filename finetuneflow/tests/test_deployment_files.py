"""Dockerfile, compose files and environment documentation agree with the code they describe."""

import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from finetuneflow.tests import environment_names as names

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "db"}
LONG_RUNNING = {name: service for name, service in SERVICES.items() if name != "setup"}
ML_PACKAGES = {
    "torch",
    "transformers",
    "trl",
    "peft",
    "bitsandbytes",
    "accelerate",
    "datasets",
    "gguf",
    "safetensors",
}


def dockerfile_stages() -> dict[str, list[tuple[str, str]]]:
    """Return the instructions of each build stage; a stage includes those it is built from."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    stages: dict[str, list[tuple[str, str]]] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            source, _, name = rest.partition(" AS ")
            current = stages[name] = [*stages.get(source, [])]
        current.append((word, rest))
    return stages


STAGES = dockerfile_stages()


def last(stage: str, word: str) -> str:
    return [rest for found, rest in STAGES[stage] if found == word][-1]


class TestDockerfile:
    def test_there_are_two_targets_and_web_is_the_default(self):
        assert list(STAGES) == ["base", "gpu", "web"]

    @pytest.mark.parametrize("stage", ["web", "gpu"])
    def test_no_target_runs_as_root(self, stage):
        user, group = last(stage, "USER").split(":")
        assert int(user) >= 1000 and int(group) >= 1000
        words = [word for word, _ in STAGES[stage]]
        assert "RUN" not in words[words.index("USER") :]

    def test_web_installs_only_the_web_requirements(self):
        commands = " ".join(rest for word, rest in STAGES["web"] if word in {"RUN", "COPY"})
        assert "requirements-web.txt" in commands
        assert not re.search(r"requirements(-dev)?\.txt", commands)

    def test_the_web_requirements_hold_nothing_of_the_training_stack(self):
        lines = (ROOT / "requirements-web.txt").read_text().splitlines()
        packages = {re.split(r"[\[=<>~]", line)[0] for line in lines if not line.startswith("#")}
        assert "django" in packages
        assert not packages & ML_PACKAGES

    def test_every_requirement_is_pinned(self):
        for path in ROOT.glob("requirements*.txt"):
            for line in path.read_text().splitlines():
                assert line.startswith(("#", "-r ")) or "==" in line, f"{path.name}: {line}"

    @pytest.mark.parametrize("stage", ["web", "gpu"])
    def test_what_is_copied_exists(self, stage):
        for rest in (rest for word, rest in STAGES[stage] if word == "COPY"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists()

    def test_secrets_data_and_history_stay_out_of_the_image(self):
        ignored = (ROOT / ".dockerignore").read_text().split()
        assert {".git", ".env", ".env.*", "data", ".venv"} <= set(ignored)

    @pytest.mark.parametrize("stage", ["web", "gpu"])
    def test_commands_and_health_checks_are_exact_argument_lists(self, stage):
        assert json.loads(last(stage, "CMD"))
        assert json.loads(last(stage, "HEALTHCHECK").partition("CMD ")[2])


class TestCompose:
    @pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
    def test_the_files_fit_the_compose_specification(self, name):
        schema = ["--builtin-schema", "vendor.compose-spec"]
        done = subprocess.run(
            [Path(sys.executable).with_name("check-jsonschema"), *schema, ROOT / name],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_all_processes_of_the_product_are_there(self):
        assert set(SERVICES) == {"db", "setup", "web", "worker", "gpu-worker", "reconciler"}
        assert SERVICES["db"]["image"] == "postgres:16"

    @pytest.mark.parametrize("name", LONG_RUNNING)
    def test_every_service_is_restarted_checked_reaped_and_given_time_to_stop(self, name):
        service = SERVICES[name]
        assert service["restart"] == "unless-stopped"
        assert service["init"] is True
        assert service["stop_grace_period"]
        assert {"test", "interval", "timeout", "retries", "start_period"} <= set(
            service["healthcheck"]
        )

    def test_only_web_is_published_and_only_on_the_loopback_address(self):
        published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
        assert published == {"web": ["${FTF_BIND:-127.0.0.1:8000}:8000"]}

    def test_the_database_password_has_no_default(self):
        text = (ROOT / "compose.yaml").read_text()
        uses = re.findall(r"\$\{POSTGRES_PASSWORD[^}]*\}", text)
        assert len(uses) == 2
        assert all(use.startswith("${POSTGRES_PASSWORD:?") for use in uses)

    @pytest.mark.parametrize("name", OURS)
    def test_our_services_wait_for_the_database_and_for_setup(self, name):
        waits = {other: how["condition"] for other, how in OURS[name]["depends_on"].items()}
        expected = {"db": "service_healthy", "setup": "service_completed_successfully"}
        if name == "setup":
            del expected["setup"]
        assert waits == expected

    @pytest.mark.parametrize("name", OURS)
    def test_our_services_share_one_database_and_one_data_volume(self, name):
        service = OURS[name]
        assert service["volumes"] == ["data:/data"]
        assert service["environment"]["FTF_DATA_DIR"] == "/data"
        assert service["environment"]["DATABASE_URL"].endswith("@db:5432/ftf")
        assert service["cap_drop"] == ["ALL"]

    def test_volumes_are_named_and_declared(self):
        used = {v.partition(":")[0] for s in SERVICES.values() for v in s["volumes"]}
        assert used == set(COMPOSE["volumes"])

    @pytest.mark.parametrize("name", OURS)
    def test_the_target_exists_and_only_gpu_worker_has_the_training_stack(self, name):
        target = OURS[name]["build"]["target"]
        assert target in STAGES
        assert (target == "gpu") == (name == "gpu-worker")

    def test_each_queue_has_one_worker_with_its_own_health_check(self, settings):
        for service, queue in (("worker", "default"), ("gpu-worker", "gpu")):
            manage = ["python", "manage.py"]
            assert SERVICES[service]["command"] == [*manage, "worker", "--queue", queue]
            check = SERVICES[service]["healthcheck"]["test"]
            assert check == ["CMD", *manage, "health", "--queue", queue]
            assert queue in settings.QUEUES

    def test_every_management_command_exists_and_takes_these_arguments(self):
        lines = [s["command"] for s in OURS.values()]
        lines += [s["healthcheck"].get("test", [])[1:] for s in OURS.values()]
        lines += [json.loads(last(stage, "CMD")) for stage in ("web", "gpu")]
        ours = [line[2:] for line in lines if line[:2] == ["python", "manage.py"]]
        assert len(ours) >= 8
        for name, *arguments in ours:
            command = load_command_class(get_commands()[name], name)
            command.create_parser("manage.py", name).parse_args(arguments)

    def test_gunicorn_accepts_its_options_and_finds_the_application(self, tmp_path):
        of_image = json.loads(last("web", "CMD"))
        of_compose = SERVICES["web"]["command"]
        assert " ".join(of_image).replace(" ", "=") == " ".join(of_compose).replace(" ", "=")
        gunicorn = str(Path(sys.executable).with_name("gunicorn"))
        environment = os.environ | {"FTF_DATA_DIR": str(tmp_path)}
        done = subprocess.run(
            [gunicorn, "--check-config", *of_image[1:]],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (302, 1)])
    def test_the_web_health_check_passes_on_200_alone(self, status, code):
        check = SERVICES["web"]["healthcheck"]["test"]
        assert check[1:] == json.loads(last("web", "HEALTHCHECK").partition("CMD ")[2])

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status if self.path == "/health" else 404)
                self.end_headers()

            def log_message(self, *args):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            script = check[-1].replace("8000", str(server.server_port))
            assert subprocess.run([sys.executable, "-c", script]).returncode == code
            server.shutdown()

    def test_the_web_health_check_fails_when_nobody_listens(self, unused_tcp_port):
        script = SERVICES["web"]["healthcheck"]["test"][-1].replace("8000", str(unused_tcp_port))
        done = subprocess.run([sys.executable, "-c", script], capture_output=True)
        assert done.returncode != 0

    def test_the_gpu_file_only_adds_the_cards(self):
        added = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text())["services"]
        assert set(added) == {"gpu-worker"}
        (device,) = added["gpu-worker"]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


class TestProcfile:
    def test_it_starts_the_same_processes_as_compose(self):
        lines = (ROOT / "Procfile").read_text().splitlines()
        commands = [shlex.split(line.partition(":")[2]) for line in lines if line.strip()]
        found = {" ".join(command[1:]) for command in commands if "manage.py" in command}
        expected = {
            " ".join(service["command"][1:])
            for name, service in OURS.items()
            if name not in {"setup", "web"}
        }
        assert found == expected


class TestMakefile:
    @pytest.fixture
    def dry_run(self, tmp_path):
        """Return what `make TARGET` would do in a fresh clone."""
        for path in (ROOT / "Makefile", *ROOT.glob("requirements*.txt")):
            shutil.copy(path, tmp_path)

        def make(target: str, **environment: str) -> str:
            environment |= {"PATH": os.environ["PATH"]}
            command = ["make", "--dry-run", target]
            return subprocess.check_output(command, env=environment, cwd=tmp_path, text=True)

        return make

    def test_the_demonstration_reads_the_env_file_when_there_is_one(self, dry_run, tmp_path):
        assert "honcho" not in dry_run("demo")
        (tmp_path / ".env").touch()
        done = dry_run("demo")
        assert ".venv/bin/honcho run .venv/bin/python manage.py setup" in done
        assert ".venv/bin/honcho run .venv/bin/python manage.py demo" in done

    def test_the_bundled_model_follows_the_folder_of_the_data(self, dry_run, tmp_path):
        assert f"--models-dir {tmp_path}/data/models\n" in dry_run("model")
        assert "--models-dir /big/models\n" in dry_run("model", FTF_DATA_DIR="/big")
        both = {"FTF_DATA_DIR": "/big", "FTF_MODELS_DIR": "/models"}
        assert "--models-dir /models\n" in dry_run("model", **both)


class TestEnvironment:
    def test_the_code_is_really_searched(self):
        assert {"FTF_DATA_DIR", "SECRET_KEY", "FTF_LOG_LEVEL"} <= names.read_by_code()
        assert "DJANGO_SUPERUSER_PASSWORD" in names.read_by_code()
        assert "OLLAMA_API_KEY" in names.secrets_of_code()

    def test_the_example_file_names_every_variable_and_no_other(self):
        assert set(names.in_example()) == names.for_people()

    def test_the_documentation_names_every_variable_and_no_other(self):
        assert names.in_documentation() == names.for_people()

    def test_every_variable_of_the_example_has_its_explanation_above_it(self):
        for name, (_, comment) in names.in_example().items():
            assert len(comment) > 10, name

    def test_the_example_file_shows_the_defaults_of_the_code(self):
        shown = {name: value for name, (value, _) in names.in_example().items()}
        for name, default in names.defaults_of_code().items():
            assert shown[name] == default, name

    def test_secrets_are_marked_and_nothing_else_is(self):
        marked = {name for name, (_, text) in names.in_example().items() if "Secret:" in text}
        assert marked == names.secrets_of_code()

    def test_the_example_file_is_a_start_that_works(self, tmp_path):
        given = {name: value for name, (value, _) in names.in_example().items() if value}
        environment = {"PATH": os.environ["PATH"]} | given | {"FTF_DATA_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "manage.py", "check"],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
