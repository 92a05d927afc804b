"""The login page: a form, and for the right password a token in a cookie of the parent domain."""

import time

import jwt
from django.conf import settings
from django.contrib.auth import authenticate
from django.http import HttpResponse, HttpResponseForbidden, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.urls import path

from settings import address

LIFE = 3600

FORM = """<!doctype html><link rel="icon" href="data:,"><title>Django's login</title><form method="post">
<input type="hidden" name="csrfmiddlewaretoken" value="%s"><input name="username"><input name="password" type="password"><button>Sign in</button></form>"""


def login(request):
    if request.method != "POST":
        return HttpResponse(FORM % get_token(request))
    user = authenticate(username=request.POST.get("username"), password=request.POST.get("password"))
    if user is None:
        return HttpResponseForbidden("Invalid login")
    now = int(time.time())
    claims = {"username": user.username, "email": user.email, "iat": now, "exp": now + LIFE}
    response = HttpResponseRedirect(request.GET.get("redirect_uri", address("website") + "/"))
    response.set_cookie(
        "jwt",
        jwt.encode(claims, settings.JWT_SECRET, algorithm="HS256"),
        domain="." + settings.DOMAIN,
        max_age=LIFE,
        secure=True,
        httponly=True,
        samesite="Lax",
    )
    return response


urlpatterns = [path("", login)]
