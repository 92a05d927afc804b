"""Who is asking, for a Django service behind vilogate.

This one file takes the place of a JWT middleware: copy it into the service, on
its Python path. It needs Django 3.2 or later, and PyJWT with cryptography.

    # settings.py
    MIDDLEWARE = [
        ...
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "vilogate_identity.IdentityMiddleware",  # after it: the assertion decides
        ...
    ]
    VILOGATE = {
        # An address, or the path of a file. Every gateway has its keys there,
        # on its admin listener and on every host that it serves.
        "JWKS": "http://127.0.0.1:9901/.well-known/vilogate/jwks.json",
        "ISSUER": "https://viloforge.com",  # the parent domain: a name, not an address
        "AUDIENCE": "billing",  # this service's name among the gateway's upstreams
    }

The gateway signs a short-lived assertion for each request of somebody who is
signed in. The middleware verifies it and sets

    request.user      a User that is never saved: username, email, first_name (the
                      whole name), is_authenticated; with roles, subject,
                      has_role(), and groups and permissions by the roles
    request.identity  the assertion's claims, as a dict

A request without a good assertion never reaches a view, unless the view is
marked with @public; there request.user is AnonymousUser.

Nothing else says who is asking: not the plain headers beside the assertion
(X-User and its like), which whoever reaches this process without the gateway
can send, and which WSGI cannot tell from X_User; and not a Django session.

Django's cache keeps a page for each assertion: every response says that it varies
by X-User-Assertion before cache_page, or the cache of a whole site, keeps it.
"""

import functools
import json
import logging
import threading
import time
import urllib.request

import jwt
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group, Permission
from django.core.exceptions import ImproperlyConfigured
from django.http import JsonResponse
from django.middleware.cache import UpdateCacheMiddleware
from django.utils.cache import patch_vary_headers

HEADER = "HTTP_X_USER_ASSERTION"
VARY = ["X-User-Assertion"]
TYPE = "vilogate-assertion+jwt"

MAX_LENGTH = 8 * 1024  # of an assertion
MAX_SET = 256 * 1024  # of a key set, in bytes
MAX_KEYS = 100
LEEWAY = 60  # seconds that the gateway's clock may be ahead; there is none for exp

MAX_AGE = 300  # seconds after which the keys are looked at again
MIN_REFRESH = 30  # seconds between two looks, however many unknown keys are named
FIRST_RETRY = 1  # seconds between two looks while there are no keys at all
TIMEOUT = 5  # seconds for one look

log = logging.getLogger("vilogate.identity")

User = get_user_model()


class Refused(Exception):
    """There is no assertion, or none that counts here."""


class Unavailable(Exception):
    """There are no keys to judge an assertion with."""


def public(view):
    """Marks a view that anybody may see: without a good assertion,
    request.user is AnonymousUser. For a class-based view: public(V.as_view())."""

    @functools.wraps(view)
    def marked(*args, **kwargs):
        return view(*args, **kwargs)

    marked.vilogate_public = True
    return marked


class IdentityMiddleware:
    def __init__(self, get_response):
        self.get_response = get_response
        given = getattr(settings, "VILOGATE", {})
        wanted = {"JWKS", "ISSUER", "AUDIENCE"}
        if set(given) != wanted or not all(isinstance(v, str) and v for v in given.values()):
            raise ImproperlyConfigured("settings.VILOGATE needs %s, each a text" % ", ".join(sorted(wanted)))
        self.keys = Keys(given["JWKS"])
        self.issuer = given["ISSUER"]
        self.audience = given["AUDIENCE"]
        vary_in_caches()

    def __call__(self, request):
        request.user, request.identity, request.vilogate_problem = AnonymousUser(), None, None
        try:
            claims = self.verify(request)
            request.user, request.identity = self.make_user(claims), claims
        except (Refused, Unavailable) as problem:
            request.vilogate_problem = problem
            request.META.pop(HEADER, None)  # no cache finds a page by an assertion that does not count
        response = self.get_response(request)
        patch_vary_headers(response, VARY)
        return response

    def process_view(self, request, view, args, kwargs):
        if request.vilogate_problem is None or getattr(view, "vilogate_public", False):
            return None
        return refusal(request, request.vilogate_problem)

    def verify(self, request):
        raw = request.META.get(HEADER)
        if raw is None:
            raise Refused("no assertion")
        try:
            return verify(raw, self.keys, self.issuer, self.audience)
        except (Refused, Unavailable) as problem:
            log.warning("assertion rejected: %s (request %s)", problem, request.META.get("HTTP_X_REQUEST_ID", "")[:128])
            raise

    def make_user(self, claims):
        """The user of a request. A service that keeps a row for everybody
        overrides this, and returns that row."""
        user = GatewayUser()
        setattr(user, User.USERNAME_FIELD, claims["preferred_username"])
        setattr(user, User.get_email_field_name(), claims.get("email") or "")
        user.first_name = claims.get("name") or ""
        user.is_active = True
        user.backend = "django.contrib.auth.backends.ModelBackend"
        user.subject = claims["sub"]
        user.roles = tuple(claims["roles"])
        return user


class GatewayUser(User):
    """Somebody that the gateway vouches for. There is no row of it, and there
    never will be; subject is what to keep beside one's own data.

    A role counts as the group of the same name in this service's database,
    where there is one: its permissions are the user's."""

    subject = ""
    roles = ()

    class Meta:
        proxy = True
        app_label = "vilogate_identity"

    def has_role(self, role):
        return role in self.roles

    @property
    def groups(self):
        return Group.objects.filter(name__in=self.roles)

    @property
    def user_permissions(self):
        return Permission.objects.none()

    def get_user_permissions(self, obj=None):
        return set()

    def get_group_permissions(self, obj=None):
        if obj is not None:
            return set()
        if not hasattr(self, "_by_role"):
            found = Permission.objects.filter(group__name__in=self.roles)
            names = found.values_list("content_type__app_label", "codename")
            self._by_role = {"%s.%s" % name for name in names}
        return self._by_role

    def get_all_permissions(self, obj=None):
        return self.get_group_permissions(obj)

    def has_perm(self, perm, obj=None):
        return perm in self.get_all_permissions(obj)

    def has_module_perms(self, app_label):
        return any(perm.partition(".")[0] == app_label for perm in self.get_all_permissions())

    def save(self, *args, **kwargs):
        raise TypeError("a user of the gateway has no row; keep user.subject instead")


def vary_in_caches():
    """Has Django's cache keep a page for each assertion. cache_page keeps it inside
    the view, before any middleware sees the response, and the cache of a whole site
    is a middleware that may stand inside this one: both keep it by this method."""
    keep = UpdateCacheMiddleware.process_response
    if hasattr(keep, "vilogate"):
        return

    @functools.wraps(keep)
    def process_response(self, request, response):
        if hasattr(request, "vilogate_problem"):
            patch_vary_headers(response, VARY)
        return keep(self, request, response)

    process_response.vilogate = True
    UpdateCacheMiddleware.process_response = process_response


def verify(raw, keys, issuer, audience):
    """The claims of an assertion that counts. Raises Refused or Unavailable,
    whose texts never quote it."""
    if len(raw) > MAX_LENGTH:
        raise Refused("the assertion is too long")
    try:
        header = jwt.get_unverified_header(raw)
        if set(header) != {"alg", "typ", "kid"} or header["typ"] != TYPE or header["alg"] != "ES256":
            raise Refused("the header is not that of an assertion")
        claims = jwt.decode(
            raw,
            keys.get(header["kid"]),
            algorithms=["ES256"],
            issuer=issuer,
            audience=audience,
            options={
                "require": ["iss", "aud", "sub", "iat", "exp", "preferred_username", "roles"],
                "verify_iat": False,  # without a leeway it would fail whenever two clocks differ
            },
        )
    except (jwt.PyJWTError, RecursionError) as error:
        raise Refused("the assertion does not verify: " + type(error).__name__) from None
    check_shape(claims)
    return claims


def check_shape(claims):
    for name in ("sub", "preferred_username"):
        if not isinstance(claims[name], str) or not claims[name]:
            raise Refused(name + " is no name")
    for name in ("email", "name", "sid"):
        if not isinstance(claims.get(name, ""), str):
            raise Refused(name + " is no text")
    roles = claims["roles"]
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise Refused("roles is no list of names")
    issued = claims["iat"]
    if isinstance(issued, bool) or not isinstance(issued, (int, float)) or issued > time.time() + LEEWAY:
        raise Refused("iat lies in the future")


def refusal(request, problem):
    status, kind, title = 401, "unauthenticated", "A good assertion of the gateway is needed"
    name, value = "WWW-Authenticate", "X-User-Assertion"  # of the gateway, not of the person
    if isinstance(problem, Unavailable):
        status, kind, title = 503, "unavailable", "The gateway's keys are not known yet"
        name, value = "Retry-After", "1"
    body = {"type": "https://vilogate.dev/problems/" + kind, "title": title, "status": status}
    request_id = request.META.get("HTTP_X_REQUEST_ID")
    if request_id:
        body["request_id"] = request_id[:128]
    response = JsonResponse(body, status=status, content_type="application/problem+json")
    response["Cache-Control"] = "no-store"
    response[name] = value
    return response


class Keys:
    """The gateways' public keys, by key id. What was read last in full and in
    good order stays in force until something better comes. Safe for threads."""

    def __init__(self, source, clock=time.monotonic):
        self.source = source
        self.clock = clock
        self.lock = threading.Lock()  # held during a refresh
        self.keys = None  # replaced as a whole
        self.refreshed = None  # when the last refresh began

    def get(self, kid):
        if self.keys is None:
            self.refresh(FIRST_RETRY)
        elif self.clock() - self.refreshed >= MAX_AGE:
            self.refresh(MAX_AGE)
        if self.keys is None:
            raise Unavailable("the keys at %s are not there yet" % self.source)
        if kid not in self.keys:
            self.refresh(MIN_REFRESH)  # a gateway that has just started signs with a new one
        if kid not in self.keys:
            raise Refused("the key is unknown")
        return self.keys[kid]

    def refresh(self, min_age):
        """Reads the source again, if the last refresh is that many seconds ago.
        Other threads go on with the cached keys meanwhile."""
        with self.lock:
            if self.refreshed is not None and self.clock() - self.refreshed < min_age:
                return
            self.refreshed = self.clock()
            try:
                self.keys = parse(read(self.source))
            except Exception as error:  # whatever is wrong with an answer, it changes nothing
                log.warning("JWKS refresh from %s failed, keeping the cached keys: %s", self.source, error)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kwargs):
        return None


opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)


def read(source):
    """The key set at an address or in a file, bounded in size and time."""
    if not source.startswith(("http://", "https://")):
        with open(source, "rb") as file:
            data = file.read(MAX_SET + 1)
    else:
        end = time.monotonic() + TIMEOUT
        data = b""
        with opener.open(source, timeout=TIMEOUT) as response:
            while len(data) <= MAX_SET:
                part = response.read1(MAX_SET + 1)
                if not part:
                    break
                data += part
                if time.monotonic() > end:
                    raise OSError("the answer takes too long")
    if len(data) > MAX_SET:
        raise ValueError("longer than %d bytes" % MAX_SET)
    return data


def parse(data):
    """The keys of a JSON Web Key Set that could have signed an assertion."""
    published = json.loads(data)["keys"]
    if len(published) > MAX_KEYS:
        raise ValueError("more than %d keys" % MAX_KEYS)
    keys = {}
    for key in published:
        if key.get("kty") != "EC" or key.get("crv") != "P-256" or "d" in key:
            continue
        if key.get("use", "sig") != "sig" or key.get("alg", "ES256") != "ES256":
            continue
        keys.setdefault(key["kid"], jwt.PyJWK(key, algorithm="ES256").key)
    if not keys:
        raise ValueError("no key that verifies assertions")
    return keys
