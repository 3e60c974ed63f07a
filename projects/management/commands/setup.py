"""`manage.py setup`: prepare or update an installation. Run it before every start; it is idle
when there is nothing to do."""

import io

from django.core.management import call_command
from django.core.management.base import BaseCommand

from projects import accounts


class Command(BaseCommand):
    help = "Bring the database up to date and create the first administrator."

    def handle(self, *args, **options) -> None:
        call_command("check", databases=["default"], stdout=io.StringIO())
        call_command("migrate", verbosity=0, interactive=False)
        name, password = accounts.ensure_admin()
        if password:
            self.stdout.write(f"\n  First start. Log in as   {name}\n")
            self.stdout.write(f"  with the password        {password}\n")
            self.stdout.write(
                "  It is shown only this once; change it in the admin (Change password).\n\n"
            )
        else:
            self.stdout.write(f"Ready. The administrator is {name}.")
