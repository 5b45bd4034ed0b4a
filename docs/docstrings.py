"""Lets docstrings of the code be read as Markdown: examples become blocks of code, and averages <a> are no tags."""

import re

import griffe


class AsMarkdown(griffe.Extension):
    """Fences lines that begin with >>>, with their output up to the next empty line, and escapes < before a letter."""

    def on_object(self, *, obj, **kwargs):
        if obj.docstring is not None:
            obj.docstring.value = fence(escape(obj.docstring.value))


def escape(text):
    """Return a docstring whose averages are text; code and examples stay as they are.

    >>> escape("The mean <u> of `<file>`.")
    'The mean &lt;u> of `<file>`.'
    """
    return re.sub(r"(`[^`]*`|^ *>>>.*$)|<(?=[\w-])", lambda m: m[1] or "&lt;", text, flags=re.M)


def fence(text):
    """Return a docstring with its doctests in fences.

    >>> fence("Add.\\n\\n>>> 1 + 1\\n2").splitlines()
    ['Add.', '', '```pycon', '>>> 1 + 1', '2', '```']
    """
    lines, inside = [], False
    for line in text.splitlines():
        if line.startswith(">>>") and not inside:
            lines.append("```pycon")
            inside = True
        elif inside and not line.strip():
            lines.append("```")
            inside = False
        lines.append(line)
    return "\n".join([*lines, "```"] if inside else lines)
