"""The inventory API, of Django REST Framework."""

from django.conf import settings
from django.urls import path
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response


class MiddlewareAuthentication(BaseAuthentication):
    """Who the middleware says it is. The gateway has checked where a request with a cookie comes from (CSRF)."""

    def authenticate(self, request):
        user = request._request.user
        return (user, None) if user.is_authenticated else None


@api_view(["GET", "POST"])
@authentication_classes([MiddlewareAuthentication])
@permission_classes([IsAuthenticated])
def items(request):
    return Response({"user": request.user.username, "method": request.method, "sent": request.data})


urlpatterns = [path("items", items)]
