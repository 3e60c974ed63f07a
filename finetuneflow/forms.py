"""Django's account forms in the words of these pages."""

from django.contrib.auth.forms import BaseUserCreationForm, PasswordChangeForm

RULES = "At least 8 characters. Not only digits, no common word, nothing like your name."


class FirstAdminForm(BaseUserCreationForm):
    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        _say(self.fields["username"], "Name", "Letters, digits and @ . + - _")
        _say(self.fields["password1"], "Password", RULES)
        _say(self.fields["password2"], "Password again")


class PasswordForm(PasswordChangeForm):
    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        # Nobody comes to this page only to change the password.
        del self.fields["old_password"].widget.attrs["autofocus"]
        _say(self.fields["old_password"], "Present password")
        _say(self.fields["new_password1"], "New password", RULES)
        _say(self.fields["new_password2"], "New password again")


def _say(field, label: str, help_text: str = "") -> None:
    field.label, field.help_text = label, help_text
