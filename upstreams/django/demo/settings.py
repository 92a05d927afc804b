"""A service as the guide's billing API was, behind the gateway."""

import os

SECRET_KEY = os.environ["DEMO_SECRET_KEY"]
DEBUG = False
ROOT_URLCONF = "demo.urls"
WSGI_APPLICATION = "demo.wsgi.application"
USE_TZ = True

INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DEMO_DATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "vilogate_identity.IdentityMiddleware",
]

VILOGATE = {
    "JWKS": os.environ["DEMO_JWKS"],
    "ISSUER": "https://viloforge.com",
    "AUDIENCE": "billing",
}

# The gateway passes the public authority on as Host, and says how the person
# reached it in X-Forwarded-Proto, which it never takes from a stranger.
ALLOWED_HOSTS = ["billing-api.viloforge.com"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_TRUSTED_ORIGINS = ["website.viloforge.com"]  # from Django 4.0 on: "https://website.viloforge.com"
CSRF_COOKIE_SECURE = True
SESSION_COOKIE_SECURE = True
