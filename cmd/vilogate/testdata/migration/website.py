"""The website: pages for people who are signed in, one for everybody, a form, and a script that calls both APIs."""

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.urls import path

if settings.MOVED:
    from vilogate_identity import public
else:
    public = lambda view: view

PAGE = """<!doctype html><link rel="icon" href="data:,"><title>Website</title><p id="user">%s</p>
<form method="post" action="/profile"><input type="hidden" name="csrfmiddlewaretoken" value="%s"><button id="save">Save</button></form>"""


def home(request):
    if not request.user.is_authenticated:
        return redirect("%s?redirect_uri=%s" % (settings.LOGIN_URL, request.build_absolute_uri()))
    return HttpResponse(PAGE % (request.user.username, get_token(request)))


def profile(request):
    return HttpResponse("saved by %s" % request.user.username if request.method == "POST" else "nothing")


@public
def about(request):
    return HttpResponse("about, for %s" % (request.user.username or "everybody"))


urlpatterns = [path("", home), path("profile", profile), path("about", about)]
