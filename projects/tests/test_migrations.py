"""The schema can be built, taken back and built again, and the models add nothing to it."""

from io import StringIO

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

OURS = ("projects", "datasets", "training")


def our_tables():
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
    return {table for table in tables if table.startswith(tuple(f"{app}_" for app in OURS))}


def expected_tables():
    return {model._meta.db_table for app in OURS for model in apps.get_app_config(app).get_models()}


@pytest.mark.django_db
def test_the_models_have_no_change_that_is_not_in_a_migration():
    call_command("makemigrations", "--check", "--dry-run", stdout=StringIO())


@pytest.mark.django_db(transaction=True)
def test_all_migrations_go_back_and_forward_again():
    try:
        for app in reversed(OURS):
            call_command("migrate", app, "zero", verbosity=0)
        assert our_tables() == set()
    finally:
        call_command("migrate", verbosity=0)
    assert our_tables() == expected_tables()


@pytest.mark.django_db(transaction=True)
def test_taking_back_the_lowest_app_takes_back_those_above_it():
    try:
        call_command("migrate", "projects", "zero", verbosity=0)
        assert our_tables() == set()
    finally:
        call_command("migrate", verbosity=0)
    assert our_tables() == expected_tables()
