"""The settings of four services: a login page and three that verify its token with a shared secret.

SERVICE says which, DOMAIN and PORT where the gateway is, and MOVED that the service has moved behind the gateway's identity.
"""

import os

SERVICE, DOMAIN, PORT = os.environ["SERVICE"], os.environ["DOMAIN"], os.environ["PORT"]
MOVED = os.environ.get("MOVED") == "1"


def address(host):
    return "https://%s.%s:%s" % (host, DOMAIN, PORT)


SECRET_KEY = "of " + SERVICE
DEBUG = False
USE_TZ = True
STATIC_URL = "/static/"
ROOT_URLCONF = SERVICE
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "corsheaders",
    "rest_framework",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

HOST = {"login": "login", "website": "website", "billing": "billing-api", "inventory": "inventory-api"}[SERVICE]
ALLOWED_HOSTS = [HOST + "." + DOMAIN]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_COOKIE_DOMAIN = "." + DOMAIN
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE = True
CSRF_TRUSTED_ORIGINS = [".%s:%s" % (DOMAIN, PORT)]  # from Django 4.0 on: address("*")
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"  # before Django 4.0, CSRF protection of the APIs needs the Referer

LOGIN_URL = address("login")
IDENTITY = None
if SERVICE == "login":
    JWT_SECRET = os.environ["JWT_SECRET"]
elif MOVED:
    IDENTITY = {"billing": "rows.RowMiddleware"}.get(SERVICE, "vilogate_identity.IdentityMiddleware")
    VILOGATE = {"JWKS": os.environ["JWKS"], "ISSUER": "https://" + DOMAIN, "AUDIENCE": SERVICE}
else:
    JWT_SECRET = os.environ["JWT_SECRET"]
    IDENTITY = "jwt_auth.JWTMiddleware"

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
if IDENTITY:
    MIDDLEWARE.insert(MIDDLEWARE.index("django.contrib.auth.middleware.AuthenticationMiddleware") + 1, IDENTITY)
if SERVICE in ("billing", "inventory") and not MOVED:
    MIDDLEWARE.insert(0, "corsheaders.middleware.CorsMiddleware")
    CORS_ALLOW_CREDENTIALS = True
    CORS_ALLOWED_ORIGINS = [address("website")]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}

REST_FRAMEWORK = {"UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser"}
