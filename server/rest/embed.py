#!/usr/bin/env python3
"""Embeds openapi.json into the program, checked and without white space. Usage: embed.py OUT.c openapi.json"""
import json
import sys

text = json.dumps(json.load(open(sys.argv[2])), separators=(",", ":"), ensure_ascii=True)
# A string literal longer than 65,535 bytes is beyond what C compilers must take: bytes instead.
rows = [", ".join(str(byte) for byte in text[i:i + 40].encode()) for i in range(0, len(text), 40)]
with open(sys.argv[1], "w") as out:
    out.write("#include \"internal.h\"\n\nstatic const char text[] = {\n    " + ",\n    ".join(rows) + ", 0};\n\n"
              "const char *rest_openapi_text(void) {\n    return text;\n}\n")
