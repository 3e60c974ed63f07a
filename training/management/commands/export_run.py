"""manage.py export_run RUN: build the zip of a run, then check it in a fresh process."""

from projects.commands import BadInput
from projects.job_commands import JobCommand
from projects.models import Job
from training import services
from training.models import Export, Run


class Command(JobCommand):
    help = "Build a run's zip and wait for its verification."

    def add_arguments(self, parser) -> None:
        parser.add_argument("run", type=int)
        super().add_arguments(parser)

    def work(self, *, run, no_wait, **options) -> dict:
        found = Run.objects.select_related("project").filter(pk=run).first()
        if found is None:
            raise BadInput("no_such_run", f"There is no run {run}.")
        job = services.start_export(run=found)
        data = self.follow(job, no_wait=no_wait, **options)
        export = Export.objects.get(pk=job.params["export"])
        if no_wait:
            return data | {"export": {"id": export.pk}}
        check = Job.objects.filter(pk=data["job"]["result"].get("verification_job")).first()
        if check is not None:
            data["verification"] = self.follow(check, no_wait=False, **options)["job"]
        return data | {"export": _describe(export)}

    def show(self, data: dict) -> str:
        lines = [super().show(data)]
        if "verification" in data:
            lines.append(super().show({"job": data["verification"]}))
        if data.get("export", {}).get("path"):
            lines.append(data["export"]["path"])
        return "\n".join(lines)


def _describe(export: Export) -> dict:
    export.refresh_from_db()
    path = services.exports_folder(export.run.project) / export.file_name
    return {
        "id": export.pk,
        "path": str(path),
        "sha256": export.sha256,
        "size_bytes": export.size_bytes,
        "files": export.contents,
        "verification": export.verification,
    }
