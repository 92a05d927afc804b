"""The demo service, with a database of its own that has one group."""

import os

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")
application = get_wsgi_application()

call_command("migrate", verbosity=0)

from django.contrib.auth.models import Group, Permission  # noqa: E402  (once the apps are loaded)

group, _ = Group.objects.get_or_create(name="billing-admin")
group.permissions.set([Permission.objects.get(codename="change_group", content_type__app_label="auth")])
