"""The billing API, with Django's admin site."""

from django.contrib import admin
from django.http import JsonResponse
from django.urls import path


def invoices(request):
    if not request.user.is_authenticated:
        return JsonResponse({"error": "Unauthorized"}, status=401)
    return JsonResponse({"user": request.user.username, "email": request.user.email, "method": request.method})


urlpatterns = [path("invoices", invoices), path("admin/", admin.site.urls)]
