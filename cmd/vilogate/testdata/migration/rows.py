"""A row for everybody, as the admin site needs it: who has the role admin is of its staff."""

from django.contrib.auth.models import User

from vilogate_identity import IdentityMiddleware


class RowMiddleware(IdentityMiddleware):
    def make_user(self, claims):
        staff = "admin" in claims["roles"]
        user, _ = User.objects.get_or_create(username=claims["preferred_username"])
        if (user.email, user.is_staff) != (claims.get("email", ""), staff):
            user.email, user.is_staff, user.is_superuser = claims.get("email", ""), staff, staff
            user.save()
        return user
