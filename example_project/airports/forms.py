"""The site's one form."""

from __future__ import annotations

from typing import ClassVar

from django import forms

from airports.models import Preference


class PreferenceForm(forms.ModelForm):
    """How a user wants to see the site."""

    class Meta:
        """Both choices, each seen at once."""

        model = Preference
        fields = ("units", "theme")
        widgets: ClassVar = {"units": forms.RadioSelect, "theme": forms.RadioSelect}
