"""manage.py doctor: is this installation well, and what to do where it is not?"""

from dataclasses import asdict

from projects.commands import CommandFailed, JsonCommand
from training import doctor


class Command(JsonCommand):
    help = "Look the installation over. Exit code 1 if anything fails; warnings do not count."
    # It reports what the checks would stop at.
    requires_system_checks = ()

    def add_arguments(self, parser) -> None:
        parser.add_argument(
            "--online", action="store_true", help="Also ask the language model's server."
        )

    def work(self, *, online, **options) -> dict:
        found = doctor.examine(online=online)
        data = {"checks": [asdict(check) for check in found]}
        failed = [check.name for check in found if check.state == doctor.FAIL]
        if failed:
            text = f"Not well: {', '.join(failed)}."
            raise CommandFailed("not_well", text, data=data)
        return data

    def show(self, data: dict) -> str:
        lines = []
        for check in data["checks"]:
            lines.append(f"{check['state']:4}  {check['name']}: {check['text']}")
            if check["todo"]:
                lines.append(f"      → {check['todo']}")
        return "\n".join(lines)
