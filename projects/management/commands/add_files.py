"""manage.py add_files PROJECT PATH…: add documents or datasets from the command line."""

from collections.abc import Iterator
from pathlib import Path

from finetuneflow.lib import storage
from projects import services
from projects.commands import CommandFailed, JsonCommand, find_project
from projects.models import Project, SourceFile


class Command(JsonCommand):
    help = "Add files to a project. Exit code 1 if any is rejected; the others are added."

    def add_arguments(self, parser) -> None:
        parser.add_argument("project", type=int)
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
        parser.add_argument(
            "--kind", choices=SourceFile.Kind.values, default=SourceFile.Kind.RAW_DOC.value
        )

    def work(self, *, project, paths, kind, **options) -> dict:
        target = find_project(project)
        files = [_add(target, path, kind) for path in paths]
        rejected = sum(1 for file in files if not file["ok"])
        data = {"added": len(files) - rejected, "rejected": rejected, "files": files}
        if rejected:
            text = f"{rejected} of {len(files)} files were rejected."
            raise CommandFailed("rejected", text, data=data)
        return data

    def show(self, data: dict) -> str:
        return "\n".join(
            f"added     {file['path']} (file {file['id']}, {file['size_bytes']} bytes)"
            if file["ok"]
            else f"rejected  {file['path']}: {file['error']}"
            for file in data["files"]
        )


def _add(project: Project, path: Path, kind: str) -> dict:
    """Add one file; a rejected one is a result with its reason, not an exception."""
    result = {"path": str(path), "ok": False}
    if not path.is_file():
        return result | {"error": f"{path.name or path} is not a file."}
    try:
        file = services.add_file(project=project, name=path.name, pieces=_pieces(path), kind=kind)
    except services.FileRejected as error:
        return result | {"error": str(error)}
    return result | {
        "ok": True,
        "id": file.pk,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
    }


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(storage.CHUNK_BYTES):
            yield piece
