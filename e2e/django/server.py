"""A real authorization server for the end-to-end tests: Django OAuth Toolkit, as
Debian has it. It rotates refresh tokens, and for a while answers one that was used
before with the same successor; after that it refuses it.

It listens on a free port of 127.0.0.1, lets everybody in as anna, and writes where
it listens, as a JSON object, on standard output. It ends when its standard input
does. Its database is a file in the folder it is given.
"""

import json
import os
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import include, path

redirect_uri, life, grace, client_secret, folder = sys.argv[1:]


def anybody(get_response):
    """Middleware that has everybody logged in."""

    def middleware(request):
        from django.contrib.auth import get_user_model

        if request.path == "/o/authorize/":
            request.user = get_user_model().objects.get(username="anna")
        return get_response(request)

    return middleware


settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(folder, "django.db")}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    MIDDLEWARE=["__main__.anybody"],
    OAUTH2_PROVIDER={
        "ACCESS_TOKEN_EXPIRE_SECONDS": int(life),
        "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": int(grace),
        "PKCE_REQUIRED": True,
        "SCOPES": {"openid": "who", "offline_access": "for long"},
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for this test",
    USE_TZ=True,
)
django.setup()
call_command("migrate", verbosity=0)

from django.contrib.auth import get_user_model  # noqa: E402, after setup
from oauth2_provider.decorators import protected_resource  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402

anna = get_user_model().objects.create_user("anna")
Application.objects.create(
    client_id="evergrant",
    client_secret=client_secret,
    user=anna,
    redirect_uris=redirect_uri,
    client_type=Application.CLIENT_CONFIDENTIAL,
    authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
    skip_authorization=True,
)


@protected_resource()
def me(request):
    """The API: it says whose token it is."""
    return JsonResponse({"sub": request.resource_owner.username})


urlpatterns = [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")), path("me", me)]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def end_with_input():
    sys.stdin.read()
    os._exit(0)  # the test has gone


server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)
print(json.dumps({"event": "listening", "issuer": f"http://127.0.0.1:{server.server_port}"}), flush=True)
threading.Thread(target=end_with_input, daemon=True).start()
server.serve_forever()
