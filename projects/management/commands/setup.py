"""`manage.py setup`: prepare or update an installation. Run it before every start; it is idle
when there is nothing to do."""

import io

from django.core.management import call_command
from django.core.management.base import BaseCommand

from finetuneflow.lib import env
from projects import accounts


class Command(BaseCommand):
    help = "Bring the database up to date; make the administrator that the environment names."

    def handle(self, *args, **options) -> None:
        call_command("check", databases=["default"], stdout=io.StringIO())
        call_command("migrate", verbosity=0, interactive=False)
        admin = accounts.ensure_given_admin()
        if accounts.is_new():
            address = f"http://{env.text('FTF_BIND', '127.0.0.1:8000')}/"
            self.stdout.write("\n  First start. Once the pages are up, open them in a browser:")
            self.stdout.write(f"  {address}")
            self.stdout.write("  and choose the administrator's name and password there.\n\n")
        elif admin is not None:
            self.stdout.write(f"Ready. The administrator is {admin.get_username()}.")
        else:
            self.stdout.write("Ready. There is no administrator: see `manage.py createsuperuser`.")
