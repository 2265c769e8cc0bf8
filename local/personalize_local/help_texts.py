"""The help of the command line: a sentence, options, and examples."""

import argparse
import textwrap
from collections.abc import Sequence


class HelpFormatter(argparse.HelpFormatter):
    """Wraps texts at the width of the terminal. Keeps paragraphs, and lines that begin with spaces."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = []
        for paragraph in text.strip().split("\n\n"):
            # Examples and exit codes are lines of their own.
            is_list = "\n  " in paragraph
            paragraphs.append(paragraph if is_list else textwrap.fill(paragraph, width, break_long_words=False))
        return textwrap.indent("\n\n".join(paragraphs), indent)


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    sentence: str,
    examples: Sequence[str],
    *,
    notes: str = "",
    usage: str | None = None,
) -> argparse.ArgumentParser:
    """Adds a command.

    Args:
        commands: The commands of the parser.
        name: Its name.
        sentence: What it does.
        examples: Command lines that work.
        notes: Paragraphs before the examples.
        usage: Its usage. Defaults to the usage that argparse derives.

    Returns:
        The parser of the command.
    """
    return commands.add_parser(
        name,
        help=sentence,
        description=sentence,
        epilog=f"{notes}\n\n{format_examples(examples)}",
        usage=usage,
        formatter_class=HelpFormatter,
    )


def format_examples(examples: Sequence[str]) -> str:
    """Returns the examples at the end of a help."""
    return "\n".join([f"example{'s' if len(examples) > 1 else ''}:", *(f"  {example}" for example in examples)])
