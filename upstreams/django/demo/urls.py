"""The views of the demo service: what the guide's views use of a request."""

from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.urls import path
from django.views.decorators.cache import cache_page
from django.views.decorators.http import require_GET, require_POST
from django.views.decorators.vary import vary_on_cookie

from vilogate_identity import public


@public
@require_GET
def healthz(request):
    return JsonResponse({"status": "ok", "authenticated": request.user.is_authenticated})


@require_GET
def whoami(request):
    user = request.user
    return JsonResponse(
        {
            "user": user.username,
            "id": user.subject,
            "email": user.email,
            "name": user.get_full_name(),
            "roles": user.roles,
            "session": request.identity.get("sid", ""),
            "active": user.is_active,
            "staff": user.is_staff,
            "groups": sorted(user.groups.values_list("name", flat=True)),
            "permissions": sorted(user.get_all_permissions()),
            "secure": request.is_secure(),
            "uri": request.build_absolute_uri(),
        }
    )


@require_GET
def list_invoices(request):
    if not request.user or not request.user.is_authenticated:
        return JsonResponse({"error": "Unauthorized"}, status=401)
    user = request.user.username
    rows = [{"invoice_id": 1, "amount": 100, "user": user}, {"invoice_id": 2, "amount": 250, "user": user}]
    return JsonResponse(rows, safe=False)


@login_required(login_url="https://login.viloforge.com")
def dashboard(request):
    page = engines["django"].from_string("Hello {{ user.username }}, {{ user.email }}")
    return HttpResponse(page.render({"user": request.user}))


@permission_required("auth.change_group", raise_exception=True)
def groups(request):
    return HttpResponse("the groups")


@require_POST
def note(request):
    return HttpResponse("noted by " + request.user.username)


@require_GET
def form(request):
    return HttpResponse(get_token(request))


def hello(request):
    return HttpResponse("hello " + (request.user.username or "stranger"))


urlpatterns = [
    path("hello", hello),
    path("cached", cache_page(60)(hello)),
    path("cached-by-cookie", cache_page(60)(vary_on_cookie(hello))),
    path("cached-public", public(cache_page(60)(hello))),
    path("healthz", healthz),
    path("whoami", whoami),
    path("invoices", list_invoices),
    path("dashboard", dashboard),
    path("groups", groups),
    path("note", note),
    path("form", form),
]
