"""What the Tab key gives in bash: commands, options, and values that are one of a few."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

# Where nothing fits, bash completes names of files.
_SCRIPT = """\
# Completion of {prog} in bash, made by: {prog} completion bash
{function}() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words=
    case "$COMP_CWORD:${{COMP_WORDS[1]}}:${{COMP_WORDS[COMP_CWORD - 1]}}:$word" in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F {function} {prog}
"""


def render_bash(parser: argparse.ArgumentParser) -> str:
    """Return the script for a program with commands."""
    function = "_" + parser.prog.replace("-", "_")
    cases = "\n".join(
        f"        {pattern}) words={shlex.quote(' '.join(words))} ;;"
        for pattern, words in _list_cases(parser)
        if words
    )
    return _SCRIPT.format(prog=parser.prog, function=function, cases=cases)


def _list_cases(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[str]]]:
    """Yield what is offered where: by the word's number, the command, the word before, the word."""
    yield "1:*", [*_find_choices(parser), *_list_options(parser)]
    for name, command in _find_commands(parser).items():
        for action in command._actions:  # noqa: SLF001 - no public name
            if action.choices:
                for option in action.option_strings:
                    yield f"*:{name}:{option}:*", list(action.choices)
        yield f"*:{name}:*:-*", _list_options(command)
        yield f"*:{name}:*", _find_choices(command)


def _find_commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:  # noqa: SLF001 - no public name
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - no public name
            return dict(action.choices)
    return {}


def _find_choices(parser: argparse.ArgumentParser) -> list[str]:
    """Return the values of positional arguments that take one of a few: commands, for example."""
    actions = parser._actions  # noqa: SLF001 - no public name
    positional = [action for action in actions if not action.option_strings]
    return [str(choice) for action in positional for choice in action.choices or ()]


def _list_options(parser: argparse.ArgumentParser) -> list[str]:
    return [
        option
        for action in parser._actions  # noqa: SLF001 - no public name
        if action.help != argparse.SUPPRESS
        for option in action.option_strings
    ]
