from contextlib import suppress

from django.apps import AppConfig
from django.conf import settings


class FineTuneFlowConfig(AppConfig):
    name = "finetuneflow"
    verbose_name = "FineTuneFlow"

    def ready(self) -> None:
        from finetuneflow import checks  # noqa: F401  (registers the system checks)

        with suppress(OSError):  # One of those checks says why the data folder cannot be used.
            settings.FILE_UPLOAD_TEMP_DIR.mkdir(parents=True, exist_ok=True)
