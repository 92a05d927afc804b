"""The demo service with Django's cache of a whole site, around and inside the kit."""

from .settings import *  # noqa: F401,F403
from .settings import MIDDLEWARE as BARE

MIDDLEWARE = [
    "django.middleware.cache.UpdateCacheMiddleware",
    *BARE,
    "django.middleware.cache.FetchFromCacheMiddleware",
]
