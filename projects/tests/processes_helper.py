"""Starting real `manage.py` processes on the test's database, and looking inside them."""

import subprocess
import sys
from contextlib import contextmanager

import psutil
from django.conf import settings

from finetuneflow.lib import processes

MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]


@contextmanager
def manage(*arguments: str, env: dict):
    """Run `manage.py ARGUMENTS` until the block ends."""
    process = processes.start_bound([*MANAGE, *arguments], env=env, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        processes.stop(process, grace_seconds=10)


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def cluster_workers(supervisor_pid: int, count: int = 1) -> list[psutil.Process]:
    """Return the cluster's workers: the sentinel's first children, in the order of their start."""
    (cluster,) = psutil.Process(supervisor_pid).children()
    (sentinel,) = cluster.children()
    return sorted(sentinel.children(), key=lambda child: child.pid)[:count]


def cluster_is_up(supervisor_pid: int, count: int = 1) -> bool:
    """True when workers, monitor and pusher are there."""
    try:
        (cluster,) = psutil.Process(supervisor_pid).children()
        (sentinel,) = cluster.children()
        return len(sentinel.children()) == count + 2
    except (ValueError, psutil.Error):
        return False
