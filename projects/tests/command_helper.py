"""Running a management command as a script would: with --json, reading its one document."""

import json
from io import StringIO

from django.core.management import CommandError, call_command


def run(*arguments) -> tuple[int, dict]:
    """Return (exit code, the JSON document) of a command run with --json."""
    out, code = StringIO(), 0
    try:
        call_command(*map(str, arguments), "--json", stdout=out, stderr=StringIO())
    except CommandError as error:
        code = error.returncode
    return code, json.loads(out.getvalue())
