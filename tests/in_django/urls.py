"""The addresses of a project with Django's own admin, and an admin of its own beside it."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from segmentflow_django.admin import ProfileAdmin, UserEventAdmin
from segmentflow_django.models import Profile, UserEvent

ops = admin.AdminSite("ops")
ops.register(Profile, ProfileAdmin)
ops.register(UserEvent, UserEventAdmin)

urlpatterns = [path("admin/", admin.site.urls), path("ops/", ops.urls)]
