#!/usr/bin/env python3
"""Embeds the Lua scripts into the program: writes scripts.h (an enum) and scripts.c (text and SHA-1 of each).

A line "-- uses: page, ledger" in a script's opening comment puts lib/page.lua and lib/ledger.lua before it, with
what those use in turn. A line "-- flags: allow-oom" gives the script these flags (Redis: "Eval scripts flags").
COMMANDS and KEYS between "--" stand for what all scripts call, and how their keys begin where that is spelt out.
Usage: embed.py OUT.h OUT.c LIB_DIRECTORY SCRIPT..."""
import hashlib
import pathlib
import re
import sys


def libraries_of(text):
    found = re.search(r"^-- uses: (.+)$", text, re.MULTILINE)
    return [name.strip() for name in found.group(1).split(",")] if found else []


def collect(text, directory, seen):
    """The texts of all libraries that `text` needs, each once, those needed first."""
    parts = []
    for name in libraries_of(text):
        if name in seen:
            continue
        seen.add(name)
        library = (directory / (name + ".lua")).read_text()
        parts += collect(library, directory, seen) + [library]
    return parts


def flags_of(text):
    found = re.search(r"^-- flags: (.+)$", text, re.MULTILINE)
    return "#!lua flags=%s\n" % found.group(1) if found else ""


def literals(pattern, texts):
    found = {match for text in texts for match in re.findall(pattern, text)}
    return ", ".join("'%s'" % literal for literal in sorted(found))


def fill_in(text, texts):
    return (text.replace("--COMMANDS--", literals(r"redis\.call\('([A-Z]+)'", texts))
            .replace("--KEYS--", literals(r"redis\.call\('(?!INFO)[A-Z]+', '([^']+)'", texts)))


def c_string(text):
    lines = text.replace("\\", "\\\\").replace('"', '\\"').split("\n")
    return "\n".join('     "%s\\n"' % line for line in lines if line)


def main():
    header, source, directory = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    scripts = [pathlib.Path(name) for name in sys.argv[4:]]
    texts = [path.read_text() for path in scripts + sorted(directory.glob("*.lua"))]
    names, rows = [], []
    for path in scripts:
        text = fill_in(path.read_text(), texts)
        whole = "".join(collect(text, directory, set())) + text
        # Comment lines are for readers of the source; Redis keeps what it is given for ever.
        code = flags_of(text) + "\n".join(line for line in whole.split("\n") if line and not line.lstrip().startswith("--")) + "\n"
        names.append("SCRIPT_" + path.stem.upper())
        rows.append('    {"%s", "%s", %d,\n%s},' % (path.stem, hashlib.sha1(code.encode()).hexdigest(),
                                                    len(code.encode()), c_string(code)))
    pathlib.Path(header).write_text(
        "/* Made by scripts/embed.py from the Lua files beside it. */\n#pragma once\n\n#include <stddef.h>\n\n"
        "enum store_script_id {\n" + "".join("    %s,\n" % name for name in names) +
        "    SCRIPT_COUNT,\n    SCRIPT_NONE = -1 /* a plain command */\n};\n\n"
        "struct store_script {\n    const char *name, *sha1;\n    size_t length;\n    const char *text;\n};\n\n"
        "extern const struct store_script store_scripts[SCRIPT_COUNT];\n")
    pathlib.Path(source).write_text(
        '/* Made by scripts/embed.py from the Lua files beside it. */\n#include "scripts.h"\n\n'
        "const struct store_script store_scripts[SCRIPT_COUNT] = {\n" + "\n".join(rows) + "\n};\n")


main()
