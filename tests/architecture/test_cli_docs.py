import re
from pathlib import Path

import pytest

from kasparro.cli.command_table import COMMANDS, load_command

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
SECTIONS = dict(re.findall(r"^## `kasparro (\w+)[^\n]*\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_with_its_options_is_documented(name):
    command = load_command(name)

    missing = [
        word
        for word in words_of(command, name)
        if not re.search(rf"(?<![\w-]){word}(?![\w-])", SECTIONS[name])
    ]

    assert missing == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_command_says_of_itself(name):
    command = load_command(name)

    assert command.help.partition("\n")[0].startswith(COMMANDS[name].rstrip("."))


def test_no_command_is_documented_that_does_not_exist():
    assert set(SECTIONS) == set(COMMANDS)


def words_of(command, path):
    yield from (option for parameter in command.params for option in options_of(parameter))
    for name, inner in getattr(command, "commands", {}).items():
        yield f"{path} {name}"
        yield from words_of(inner, f"{path} {name}")


def options_of(parameter):
    spelt = [*parameter.opts, *parameter.secondary_opts]
    return [option for option in spelt if option.startswith("-") and option != "--help"]
