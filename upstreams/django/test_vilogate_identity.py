"""What vilogate_identity.py does with key sets that are not what they should be,
and with users. Run by the Go test beside it; by hand: python3 -m unittest"""

import base64
import http.server
import json
import os
import tempfile
import threading
import unittest

import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    SECRET_KEY="of the tests",
    ALLOWED_HOSTS=["testserver"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    LOGGING_CONFIG=None,
    USE_TZ=True,
    VILOGATE={"JWKS": "jwks.json", "ISSUER": "https://viloforge.com", "AUDIENCE": "billing"},
)
django.setup()

import jwt  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import Client, RequestFactory, override_settings  # noqa: E402
from django.urls import path  # noqa: E402

import vilogate_identity  # noqa: E402
from vilogate_identity import GatewayUser, IdentityMiddleware, Keys, Refused, Unavailable  # noqa: E402

vilogate_identity.log.disabled = True


def published(kid, **changes):
    point = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    # PyJWT's to_jwk leaves leading zeros out, which PyJWK then refuses (RFC 7518, section 6.2.1.2: the full size).
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode() for n in (point.x, point.y))
    return dict({"kty": "EC", "crv": "P-256", "x": x, "y": y}, kid=kid, use="sig", alg="ES256", **changes)


def key_set(*kids):
    return json.dumps({"keys": [published(kid) for kid in kids]}).encode()


class Publisher:
    """An address with an answer that can be changed, and that counts."""

    def __init__(self):
        self.status, self.body, self.headers, self.asked = 200, key_set("one"), {}, 0
        publisher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.asked += 1
                self.send_response(publisher.status)
                for name, value in publisher.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(publisher.body)
                except BrokenPipeError:
                    pass  # the reader has had enough

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.address = "http://127.0.0.1:%d/keys" % self.server.server_port

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class KeysTest(unittest.TestCase):
    def setUp(self):
        self.publisher = Publisher()
        self.addCleanup(self.publisher.close)
        self.now = 1000.0
        self.keys = Keys(self.publisher.address, clock=lambda: self.now)

    def test_unknown_keys_cause_one_refresh_in_thirty_seconds(self):
        self.keys.get("one")
        self.now += 30
        for number in range(1000):
            with self.assertRaises(Refused):
                self.keys.get("forged-%d" % number)
        self.keys.get("one")
        self.assertEqual(self.publisher.asked, 2)

    def test_key_of_a_gateway_that_has_just_started_is_found(self):
        self.keys.get("one")
        self.publisher.body = key_set("one", "two")
        with self.assertRaises(Refused):
            self.keys.get("two")  # the last refresh was a moment ago
        self.now += 30
        self.keys.get("two")

    def test_withdrawn_key_is_forgotten(self):
        self.keys.get("one")
        self.publisher.body = key_set("two")
        self.now += 299
        self.keys.get("one")
        self.now += 1
        with self.assertRaises(Refused):
            self.keys.get("one")

    def test_cached_keys_stay(self):
        self.keys.get("one")
        for status, body in (
            (500, b""),
            (404, key_set("two")),
            (200, b""),
            (200, b"{}"),
            (200, b'{"keys": []}'),
            (200, b'{"keys": [7]}'),
            (200, b'{"keys": {"one": 1}}'),
            (200, b"[" * 100000),
            (200, key_set("two") + b" " * (256 * 1024)),
            (200, key_set(*[str(number) for number in range(101)])),
            (200, json.dumps({"keys": [published("two", d="AQAB")]}).encode()),
            (200, json.dumps({"keys": [dict(published("two"), use="enc")]}).encode()),
            (200, json.dumps({"keys": [dict(published("two"), alg="RS256")]}).encode()),
            (200, json.dumps({"keys": [dict(published("two"), x="AAAA")]}).encode()),
            (200, json.dumps({"keys": [{"kty": "oct", "kid": "two", "k": "c2VjcmV0"}]}).encode()),
        ):
            with self.subTest(status=status, body=body[:60]):
                self.publisher.status, self.publisher.body = status, body
                self.now += 301
                asked = self.publisher.asked
                self.keys.get("one")
                self.assertEqual(self.publisher.asked, asked + 1)
                self.now += 31
                with self.assertRaises(Refused):
                    self.keys.get("two")

    def test_redirect_is_not_followed(self):
        self.publisher.status = 302
        self.publisher.headers = {"Location": self.publisher.address}
        with self.assertRaises(Unavailable):
            self.keys.get("one")
        self.assertEqual(self.publisher.asked, 1)

    def test_without_keys_nothing_is_verified_and_the_next_refresh_is_soon(self):
        self.publisher.status = 503
        for _ in range(100):
            with self.assertRaises(Unavailable):
                self.keys.get("one")
        self.assertEqual(self.publisher.asked, 1)
        self.publisher.status = 200
        self.now += 1
        self.keys.get("one")

    def test_refresh_of_many_threads_is_one(self):
        threads = [threading.Thread(target=self.keys.get, args=("one",)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.publisher.asked, 1)

    def test_file_is_read_again(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "jwks.json")
            with open(path, "wb") as file:
                file.write(key_set("one"))
            keys = Keys(path, clock=lambda: self.now)
            keys.get("one")
            with open(path, "wb") as file:
                file.write(key_set("two"))
            self.now += 30
            keys.get("two")
            os.remove(path)
            self.now += 301
            keys.get("two")


class RowMiddleware(IdentityMiddleware):
    """As the README shows it: a row for everybody."""

    def make_user(self, claims):
        user, _ = User.objects.get_or_create(username=claims["preferred_username"], defaults={"email": claims.get("email", "")})
        user.groups.set(Group.objects.filter(name__in=claims["roles"]))
        return user


class UserTest(unittest.TestCase):
    claims = {"sub": "1", "preferred_username": "alice", "email": "a@viloforge.com", "roles": ["member", "nowhere"]}

    @classmethod
    def setUpClass(cls):
        call_command("migrate", verbosity=0)
        Group.objects.create(name="member")
        Group.objects.create(name="billing-admin")

    def test_user_is_never_saved(self):
        user = IdentityMiddleware(None).make_user(self.claims)
        with self.assertRaises(TypeError):
            user.save()
        self.assertTrue(user.is_authenticated)
        self.assertIsInstance(user, User)
        self.assertEqual([group.name for group in user.groups.all()], ["member"])
        self.assertFalse(user.has_perm("auth.change_group"))
        self.assertFalse(user.has_module_perms("auth"))
        self.assertFalse(user.is_staff or user.is_superuser)

    def test_service_may_keep_rows(self):
        first = RowMiddleware(None).make_user(self.claims)
        again = RowMiddleware(None).make_user(dict(self.claims, roles=[]))
        self.assertEqual(first.pk, again.pk)
        self.assertFalse(again.groups.exists())

    def test_settings_are_complete_or_refused(self):
        for given in (
            {},
            {"JWKS": "jwks.json", "ISSUER": "https://viloforge.com"},
            {"JWKS": "jwks.json", "ISSUER": "https://viloforge.com", "AUDIENCE": ""},
            {"JWKS": "jwks.json", "ISSUER": "https://viloforge.com", "AUDIENCE": "billing", "AUDIENCES": "x"},
        ):
            with self.subTest(given=given), override_settings(VILOGATE=given), self.assertRaises(ImproperlyConfigured):
                IdentityMiddleware(None)

    def test_force_login_in_a_services_tests(self):
        user = User.objects.create(username="bob")
        middleware = [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "vilogate_identity.IdentityMiddleware",
        ]
        for used, want in ((middleware, 401), (middleware[:-1], 200)):
            with self.subTest(want=want), override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=used):
                client = Client()
                client.force_login(user)
                got = client.get("/whoami")
                self.assertEqual(got.status_code, want)
                if want == 200:
                    self.assertEqual(got.content, b"bob")

    def test_user_of_the_gateway_in_a_services_tests(self):
        request = RequestFactory().get("/whoami")
        request.user = GatewayUser(username="alice")
        request.user.roles, request.user.subject = ("member",), "u-1"
        self.assertEqual(whoami(request).content, b"alice")
        self.assertTrue(request.user.is_authenticated and request.user.has_role("member"))


def whoami(request):
    return HttpResponse(request.user.username)


urlpatterns = [path("whoami", whoami)]


if __name__ == "__main__":
    unittest.main()
