"""manage.py create_project NAME --owner USER: create a project from the command line."""

from django.contrib.auth import get_user_model

from projects import services
from projects.commands import BadInput, JsonCommand
from projects.models import Project


class Command(JsonCommand):
    help = "Create a project."

    def add_arguments(self, parser) -> None:
        parser.add_argument("name")
        parser.add_argument("--owner", required=True, metavar="USER", help="The owner's user name.")
        parser.add_argument(
            "--task", choices=Project.TaskType.values, default=Project.TaskType.QA.value
        )
        parser.add_argument(
            "--model", default="", help="A Hugging Face id or a folder in the models folder."
        )
        parser.add_argument("--chunk-size", type=int, default=512, metavar="TOKENS")
        parser.add_argument("--overlap", type=int, default=50, metavar="TOKENS")
        parser.add_argument(
            "--strategy", choices=Project.Strategy.values, default=Project.Strategy.AUTO.value
        )

    def work(self, *, name, owner, task, model, chunk_size, overlap, strategy, **options) -> dict:
        users = get_user_model()
        user = users.objects.filter(**{users.USERNAME_FIELD: owner}).first()
        if user is None:
            raise BadInput(
                "no_such_user", f"There is no user {owner!r}. Create one with `createsuperuser`."
            )
        project = services.create_project(
            owner=user,
            name=name,
            task_type=task,
            base_model=model,
            chunk_size=chunk_size,
            chunk_overlap=overlap,
            strategy=strategy,
        )
        return {"project": _describe(project)}

    def show(self, data: dict) -> str:
        project = data["project"]
        return f"Project {project['id']} created: {project['name']} ({project['base_model']})."


def _describe(project: Project) -> dict:
    names = ("name", "task_type", "base_model", "chunk_size", "chunk_overlap", "strategy")
    return {"id": project.pk, "owner": project.owner.get_username()} | {
        name: getattr(project, name) for name in names
    }
