"""What each service does with the login page's token before it moves."""

import jwt
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User


class JWTMiddleware:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.user = self.user(request)
        return self.get_response(request)

    def user(self, request):
        scheme, _, raw = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme != "Bearer":
            raw = request.COOKIES.get("jwt", "")
        try:
            claims = jwt.decode(raw, settings.JWT_SECRET, algorithms=["HS256"])
        except jwt.PyJWTError:
            return AnonymousUser()
        return User(username=claims["username"], email=claims["email"])
