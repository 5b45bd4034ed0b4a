"""Build steps of the documentation that no plugin has: API pages, links of class names, formulae as MathML."""

import ast
import html
import posixpath
import re
from collections import Counter
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lit_bg"
RESULTS = "experiments/README.md"  # a page of the site, too
TAGS = {
    "a", "autoref", "b", "br", "code", "dd", "details", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i",
    "img", "li", "ol", "p", "pre", "small", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "th", "thead",
    "tr", "ul",
}  # fmt: skip


def on_config(config):
    """Put the API pages, one per package, at the end of the navigation."""
    config.nav.append({"API": ["api/index.md", *(f"api/{name}.md" for name in api_pages())]})
    return config


def on_files(files, config):
    """Add the pages and pictures that do not lie in docs/."""
    pages = api_pages()
    lines = [f"- [`{name}`]({name}.md): {summary(modules[0])}" for name, modules in pages.items()]
    index = "# API\n\nEverything public, from the docstrings of the code.\n\n" + "\n".join(lines) + "\n"
    files.append(File.generated(config, "api/index.md", content=index))
    for name, modules in pages.items():
        content = f"# {name}\n\n" + "\n\n".join(map(ask_for, modules)) + "\n"
        files.append(File.generated(config, f"api/{name}.md", content=content))
    files.append(File.generated(config, "results.md", content=read_results()))
    for picture in (ROOT / RESULTS).parent.glob("*.png"):
        files.append(File.generated(config, picture.name, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Let links to the results lead to their page."""
    return markdown.replace(f"](../{RESULTS}", "](results.md")


def on_page_content(content, page, config, files):
    """Turn TeX into MathML, which browsers show without any script, and names of classes into links to their docstrings."""
    content = re.sub(
        r'<(span|div) class="arithmatex">(.*?)</\1>', lambda m: mathml(m[2], m[1] == "div", page), content, flags=re.S
    )
    refuse_tags(content, page)
    kept = r"(<pre.*?</pre>|<h\d.*?</h\d>|<a .*?</a>|<autoref.*?</autoref>)|<code>([\w.]+)(\(\))?</code>"
    return re.sub(kept, link, content, flags=re.S)


def api_pages():
    """Return the public modules by the page they are on: each package, then `lit_bg` for those beside the packages."""
    pages = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        name = ".".join(parts[:2]) if (ROOT / posixpath.join(*parts[:2])).is_dir() else "lit_bg"
        pages.setdefault(name, []).append(".".join(parts))
    return pages


def ask_for(module):
    """Return what puts a module on a page; a package has no more than its docstring, since its classes have their modules."""
    return f"::: {module}" + ("\n    options: {members: false}" if (ROOT / module.replace(".", "/")).is_dir() else "")


def summary(module):
    """Return the first line of a module's docstring."""
    path = ROOT / module.replace(".", "/")
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
    return (ast.get_docstring(tree) or "").split("\n")[0]


def read_results():
    """Return the table of experiments, whose YAMLs are no pages."""
    text = (ROOT / RESULTS).read_text().replace("](../docs/", "](")
    return re.sub(r"\[([^\]]*)\]\((?:\w+/)*\w+\.yaml\)", r"`\1`", text)


def mathml(tex, display, page):
    """Return a formula as MathML.

    Raises:
        PluginError: it has a command that is not known, which would be shown as it stands.
    """
    tex = html.unescape(tex).strip()[2:-2].replace(r"\arg ", r"\operatorname{arg} ")  # without \( \) or \[ \]
    try:
        found = convert(tex, display="block" if display else "inline")
    except Exception as error:
        raise PluginError(f"{page.file.src_uri}: the formula {tex} cannot be read: {error!r}") from error
    if left := re.search(r">\s*(\\[A-Za-z]+)", found):
        raise PluginError(f"{page.file.src_uri}: {left[1]} in the formula {tex} is not known: use another command.")
    return found


def refuse_tags(content, page):
    """Refuse what Markdown has taken for a tag and is an average, such as <u>, which would not be shown.

    Raises:
        PluginError: there is one.
    """
    for tag in re.findall(r"<([A-Za-z][^\s>/]*)[^>]*>", re.sub(r"<(math|svg)\b.*?</\1>", "", content, flags=re.S)):
        if tag not in TAGS:
            raise PluginError(f"{page.file.src_uri}: <{tag}> is taken for a tag of HTML: write it as a formula or &lt;{tag}>.")


def link(match):
    kept, name, _ = match.groups()
    target = None if kept else PUBLIC.get(name)
    return f'<autoref identifier="{target}">{match[0]}</autoref>' if target else match[0]


def find_public():
    """Return where each class that has its name alone is defined, and all that is public as `package.name`, `module.name`."""
    where, count = {}, Counter()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_") and ast.get_docstring(node):
                full = f"{module}.{node.name}"
                for part in module.split(".")[1:]:
                    where[f"{part}.{node.name}"] = full
                if isinstance(node, ast.ClassDef):
                    where[node.name], count[node.name] = full, count[node.name] + 1
    return {name: full for name, full in where.items() if count[name] <= 1}


PUBLIC = find_public()
