"""The probe against real child processes: without a GPU, with a scripted nvidia-smi, broken."""

import os
from pathlib import Path

import pytest

from training import hardware

GIB = 2**30
TWO_CARDS = """#!/bin/sh
case "$1" in
  --query-gpu=compute_cap) printf '8.0\\n[N/A]\\n' ;;
  --query-gpu*) echo "NVIDIA A100-SXM4, 80GB, 81920, 80000, 550.54"
                echo "NVIDIA L4, 23034, 22000, 550.54" ;;
  *) echo "| NVIDIA-SMI 550.54   Driver Version: 550.54   CUDA Version: 12.4  |" ;;
esac
"""


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Return a function that puts a scripted nvidia-smi first on the PATH."""

    def write(script: str) -> None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(script)
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return write


def test_a_machine_without_nvidia_smi_has_no_gpu_and_no_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = hardware.probe(refresh=True)
    assert found.gpus == ()
    assert found.errors == ()
    assert found.cpu_count >= 1 and found.ram_bytes > found.ram_free_bytes > 0
    assert found.disk_free_bytes > 0 and found.python_version.startswith("3.")


def test_every_card_is_listed_with_its_memory_in_bytes(smi):
    smi(TWO_CARDS)
    found = hardware.probe(refresh=True)
    assert [gpu.name for gpu in found.gpus] == ["NVIDIA A100-SXM4, 80GB", "NVIDIA L4"]
    assert found.gpus[0].total_bytes == 80 * GIB
    assert found.gpus[1].free_bytes == 22000 * 2**20
    assert (found.driver, found.cuda) == ("550.54", "12.4")
    assert [gpu.capability for gpu in found.gpus] == ["8.0", ""]
    assert [gpu.has_bf16 for gpu in found.gpus] == [True, None]
    assert hardware.summary() == "NVIDIA A100-SXM4, 80GB and 1 more"


def test_an_older_driver_that_knows_no_capability_still_lists_its_cards(smi):
    smi(TWO_CARDS.replace("printf '8.0\\n[N/A]\\n'", "exit 2"))
    found = hardware.probe(refresh=True)
    assert [gpu.capability for gpu in found.gpus] == ["", ""]
    assert found.errors == ()


def test_a_failing_nvidia_smi_is_a_sentence_and_not_an_exception(smi):
    smi("#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n")
    found = hardware.probe(refresh=True)
    assert found.gpus == ()
    assert "Driver/library version mismatch" in found.errors[0]


def test_garbage_from_nvidia_smi_is_a_sentence_and_not_an_exception(smi):
    smi("#!/bin/sh\necho '???'\n")
    found = hardware.probe(refresh=True)
    assert found.gpus == () and "nvidia-smi failed" in found.errors[0]


def test_a_probe_that_hangs_is_given_up(smi, monkeypatch):
    smi("#!/bin/sh\nexec sleep 20\n")
    monkeypatch.setattr(hardware, "CHILD_SECONDS", 0.5)
    found = hardware.probe(refresh=True)
    assert "did not answer" in found.errors[0]
    assert found.cpu_count >= 1


@pytest.mark.parametrize("body", ["import os; os.abort()", "print('{}')", "print('[1]')", ""])
def test_a_probe_that_dies_or_talks_nonsense_is_a_sentence(monkeypatch, tmp_path, body):
    broken = tmp_path / "probe.py"
    broken.write_text(body)
    monkeypatch.setattr(hardware, "PROBE", Path(broken))
    found = hardware.probe(refresh=True)
    assert "could not be probed" in found.errors[0]


def test_a_second_look_within_a_minute_starts_no_process(monkeypatch):
    first = hardware.probe(refresh=True)
    monkeypatch.setattr(hardware, "PROBE", Path("/nonexistent"))
    assert hardware.probe() is first
    assert hardware.probe(refresh=True).errors
