"""How a subcommand is run: as a script runs it, and as a person does who answers its questions."""

from __future__ import annotations

import io
import json
from unittest import mock

from django.core.management import CommandError, call_command


class Terminal(io.StringIO):
    """What a person looks at."""

    def isatty(self) -> bool:
        return True


def ask(*arguments, answer=None, stdout=None, stderr=None):
    """Run a subcommand, and return its exit code and what it printed; ``answer`` is what a person types."""
    out, code = stdout or io.StringIO(), 0
    typed = {"side_effect": EOFError} if answer is None else {"return_value": answer}
    try:
        with mock.patch("builtins.input", **typed):
            call_command("dripcache", *arguments, stdout=out, stderr=stderr or io.StringIO())
    except SystemExit as end:
        code = end.code
    return code, out.getvalue()


def ask_json(*arguments, **options):
    code, text = ask(*arguments, "--json", **options)
    return code, json.loads(text)


def ask_lines(*arguments, **options):
    """Run a subcommand that prints one document a line."""
    code, text = ask(*arguments, "--json", **options)
    return code, [json.loads(line) for line in text.splitlines()]


def refusal(*arguments, **options):
    """Run a subcommand that refuses, and return its exit code and what it says."""
    try:
        ask(*arguments, **options)
    except CommandError as error:
        return error.returncode, str(error)
    message = "It was not refused."
    raise AssertionError(message)
