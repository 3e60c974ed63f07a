"""The shape that must not erode: who may import whom, and where torch may never be."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APPS = ("finetuneflow", "projects", "datasets", "training")
ML_STACK = {"torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes"}
ENGINE_FOR_DJANGO = {"training.engine.config", "training.engine.events"}

# Each layer may import the layers below it. The engine is outside of this order.
LAYERS = ["finetuneflow.lib", "projects", "datasets", "training", "finetuneflow.urls"]
# Django's own entry points: they tie the layers together by name, in this one place.
TOP = {"finetuneflow.settings", "finetuneflow.wsgi", "finetuneflow.urls"}
DOORS = {"views", "admin", "tasks", "commands"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def source_files() -> dict[str, Path]:
    """Return module name -> file for our code without tests."""
    found = [path for app in APPS for path in (ROOT / app).rglob("*.py")]
    return {module_of(path): path for path in found if "tests" not in path.parts}


FILES = source_files()


def imports(path: Path, *, of_module: str | None = None) -> set[str]:
    """Return every dotted name that the file imports, in functions and `if TYPE_CHECKING` too."""
    return _imports(path.read_text(encoding="utf-8"), path, of_module)


@cache
def _imports(text: str, path: Path, of_module: str | None) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = (of_module or module_of(path)).split(".")
                package = package if path.name == "__init__.py" else package[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [base])])
            found |= {f"{base}.{alias.name}" for alias in node.names} | {base}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def is_engine(module: str) -> bool:
    return within(module, "training.engine")


def layer_of(module: str) -> int | None:
    """Return the module's place in LAYERS; what is in `finetuneflow` outside lib is the top."""
    for place, package in enumerate(LAYERS):
        if within(module, package):
            return place
    return len(LAYERS) - 1 if within(module, "finetuneflow") else None


def upward_imports(module: str, path: Path) -> set[str]:
    """Return the imports of `path` that name one of our modules in a higher layer."""
    mine = layer_of(module)
    found = {name for name in imports(path, of_module=module) if name.split(".")[0] in APPS}
    return {name for name in found if name != "finetuneflow" and layer_of(name) > mine}


def test_the_files_of_all_four_packages_are_looked_at():
    assert len(FILES) > 40
    assert {name.split(".")[0] for name in FILES} == set(APPS)


@pytest.mark.parametrize("app", APPS)
def test_imports_only_go_down(app):
    wrong = {
        module: found
        for module, path in FILES.items()
        if within(module, app) and not is_engine(module)
        if (found := upward_imports(module, path) - {"finetuneflow.settings"})
    }
    assert wrong == {}


def test_the_settings_are_read_through_django_everywhere_but_in_its_entry_points():
    wrong = [
        module
        for module, path in FILES.items()
        if module not in TOP and "finetuneflow.settings" in imports(path, of_module=module)
    ]
    assert wrong == []


def test_the_library_knows_no_app_no_model_and_no_settings_of_ours():
    for module, path in FILES.items():
        if within(module, "finetuneflow.lib"):
            ours = {n for n in imports(path, of_module=module) if n.split(".")[0] in APPS}
            assert all(within(n, "finetuneflow.lib") or n == "finetuneflow" for n in ours), module
            assert not any(n.startswith("django.db.models") for n in imports(path)), module


def test_only_the_engine_imports_the_training_stack():
    wrong = {
        module: found
        for module, path in FILES.items()
        if not is_engine(module)
        if (found := {name.split(".")[0] for name in imports(path)} & ML_STACK)
    }
    assert wrong == {}


def test_the_engine_knows_neither_django_nor_the_rest_of_the_application():
    forbidden = {"django", "django_q", "finetuneflow", "projects"}
    for module, path in FILES.items():
        if is_engine(module):
            names = imports(path, of_module=module)
            assert not {name.split(".")[0] for name in names} & forbidden, module
            ours = {n for n in names if within(n, "training")} - {"training"}
            assert all(is_engine(name) for name in ours), module


def test_django_code_takes_only_config_and_events_from_the_engine():
    for module, path in FILES.items():
        if not is_engine(module):
            taken = {n for n in imports(path, of_module=module) if is_engine(n)}
            taken -= {"training.engine"}
            wrong = {n for n in taken if not any(within(n, e) for e in ENGINE_FOR_DJANGO)}
            assert wrong == set(), module


def test_the_two_modules_that_django_may_take_use_nothing_heavy():
    for module in ENGINE_FOR_DJANGO:
        packages = {name.split(".")[0] for name in imports(FILES[module])}
        assert packages <= {*sys.stdlib_module_names, "training"}, module


def door_of(module: str) -> str | None:
    """Return the door that the module belongs to: views, admin, tasks, commands, job_commands."""
    parts = module.split(".")
    if parts[0] not in APPS:
        return None
    if "management" in parts:
        return "commands"
    kind = parts[1].rpartition("_")[2] if len(parts) == 2 else ""
    return kind if kind in DOORS else None


def test_doors_never_import_each_other():
    for module, path in FILES.items():
        mine = door_of(module)
        doors = {door_of(name) for name in imports(path, of_module=module)}
        if mine is not None:
            assert doors <= {None, mine}, module


def test_nothing_below_the_doors_imports_a_door():
    for module, path in FILES.items():
        last = module.rsplit(".", 1)[-1]
        if door_of(module) is None and last not in {"urls", "apps"}:
            doors = [n for n in imports(path, of_module=module) if door_of(n) is not None]
            assert doors == [], module


IMPORT_EVERYTHING = """
import importlib, os, pkgutil, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "finetuneflow.settings"
from finetuneflow.wsgi import application
from django.contrib import admin
from django.core.management import call_command
from django.test import RequestFactory
from django.urls import get_resolver
import projects, datasets, training
get_resolver().url_patterns
admin.autodiscover()
call_command("check")
for package in (projects, datasets, training):
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".tests" not in found.name and not found.name.startswith("training.engine"):
            importlib.import_module(found.name)
for name in ("config", "events"):
    importlib.import_module(f"training.engine.{name}")
print(" ".join(sorted(name for name in sys.modules if "." not in name)))
"""


def test_the_web_side_and_the_workers_never_import_the_training_stack(tmp_path):
    """One process imports the application, its addresses, admin, tasks and commands."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING],
        env={"PATH": "", "FTF_DATA_DIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    loaded = set(done.stdout.splitlines()[-1].split())
    assert {"django", "projects", "datasets", "training"} <= loaded
    assert loaded & ML_STACK == set()


FORBIDDEN_IN_TEMPLATES = {
    "an inline script": r"<script(?![^>]*\bsrc=)",
    "an inline style sheet": r"<style\b",
    "a style attribute": r"<[^>]*\sstyle\s*=",
    "an hx-on attribute": r"\bhx-on\b",
    "a handler attribute": r"<[^>]*\son[a-z]+\s*=",
    "a javascript: address": r"javascript:",
    "an unescaped value": r"\|\s*safe(seq)?\b|{%\s*autoescape\s+off",
    "something from another host": r"<(script|link|img|iframe)\b[^>]*(src|href)=[\"'](https?:)?//",
    "an htmx filter trigger": r"hx-trigger=[\"'][^\"']*\[",
}


def templates() -> list[Path]:
    return sorted(
        path
        for folder in (ROOT / "templates", *(ROOT / app for app in APPS))
        for path in folder.rglob("*.html")
        if "tests" not in path.parts
    )


def test_there_are_templates_to_look_at():
    assert len(templates()) > 10


@pytest.mark.parametrize("what", FORBIDDEN_IN_TEMPLATES)
def test_no_template_has(what):
    pattern = re.compile(FORBIDDEN_IN_TEMPLATES[what], re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}: {match[0][:80]}"
        for path in templates()
        for match in pattern.finditer(re.sub(r"{#.*?#}", "", path.read_text(encoding="utf-8")))
    ]
    assert found == []


# The loss curve: an SVG made of our own words and of numbers. The report: behind nh3.
MARKS_SAFE = {"training.run_selectors", "training.rendering"}


def test_python_code_marks_no_other_text_as_safe_html():
    found = {
        module
        for module, path in FILES.items()
        if re.search(r"\bmark_safe\b|\bSafeString\(|__html__", path.read_text(encoding="utf-8"))
    }
    assert found <= MARKS_SAFE


@pytest.mark.parametrize(
    ("what", "example"),
    [
        ("an inline script", "<script>alert(1)</script>"),
        ("an inline script", "<script nonce='x'>"),
        ("a style attribute", '<p class="a" style="color: red">'),
        ("a handler attribute", '<a onclick="x()">'),
        ("an hx-on attribute", "<a hx-on:click='x'>"),
        ("an unescaped value", "{{ text | safe }}"),
        ("something from another host", '<link rel="x" href="//cdn.example/x.css">'),
    ],
)
def test_the_patterns_find_what_they_forbid(what, example):
    assert re.search(FORBIDDEN_IN_TEMPLATES[what], example, re.IGNORECASE)


def test_an_upward_import_would_be_found(tmp_path):
    path = tmp_path / "x.py"
    for line in (
        "from datasets import services",
        "import training.models",
        "from finetuneflow import health",
        "def f():\n    from ..datasets.models import Chunk",
        "import importlib; importlib.import_module('training.runner')",
    ):
        path.write_text(line)
        assert upward_imports("projects.x", path), line
    path.write_text("from finetuneflow.lib import env\nfrom projects.models import Job\nimport os")
    assert not upward_imports("projects.x", path)
