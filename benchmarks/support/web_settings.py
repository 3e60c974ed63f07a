"""The application's settings, with one more address: a bare view to compare pages with."""

from finetuneflow.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.support.web_urls"
