from django.apps import AppConfig


class FineTuneFlowConfig(AppConfig):
    name = "finetuneflow"
    verbose_name = "FineTuneFlow"

    def ready(self) -> None:
        from finetuneflow import checks  # noqa: F401  (registers the system checks)
