"""Completion: scripts for bash, zsh and fish, and the program that kubectl runs to complete a plugin.

kubectl runs `kubectl_complete-investigation WORDS...` and reads a suggestion from each line. The last line, `:N`, is
Cobra's code for what the shell itself may add.
"""

import sys

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from aletheia_operator.cli.errors import ExitCode, Refused
from aletheia_operator.cli.options import Options, option_command
from aletheia_operator.cli.program import program_name, root

SHELLS = ("bash", "zsh", "fish")
NO_FILES, FILES = 4, 0
"""Cobra's ShellCompDirective: suggest no file names; the shell's default."""
PLUGIN_NOTES = """Put the line into your shell's start file:

\b
  bash   source <(aletheia completion bash)
  zsh    source <(aletheia completion zsh)
  fish   aletheia completion fish | source

`kubectl investigation` is completed by kubectl's own completion, if `kubectl_complete-investigation` is in the PATH, where
the package installs it."""


def completion(options: Options) -> int:
    """Print the script for a shell."""
    program = program_name()
    if program.startswith("kubectl "):
        raise Refused("kubectl completes its plugins itself: `kubectl completion --help` says how to switch that on")
    found = get_completion_class(options.shell)
    assert found is not None
    print(found(root, {}, program, f"_{program.upper()}_COMPLETE").source())
    return ExitCode.OK


def kubectl_complete() -> int:
    """Print suggestions for kubectl: the entry point of `kubectl_complete-investigation`."""
    *words, incomplete = sys.argv[1:] or [""]
    items = suggestions(words, incomplete)
    for item in items:
        if item.type == "plain":
            print(f"{item.value}\t{item.help}" if item.help else item.value)
    print(f":{FILES if any(item.type in ('file', 'dir') for item in items) else NO_FILES}")
    return ExitCode.OK


def suggestions(words: list[str], incomplete: str) -> list[CompletionItem]:
    """Return the completions of `incomplete`, the word that follows `words`."""
    return ShellComplete(root, {}, "kubectl investigation", "").get_completions(words, incomplete)


command = option_command(
    "completion",
    completion,
    "print the script that completes commands and names in your shell",
    click.Argument(["shell"], type=click.Choice(SHELLS)),
    notes=PLUGIN_NOTES,
)
