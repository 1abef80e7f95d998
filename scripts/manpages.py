#!/usr/bin/env python3
"""manpages.py: manual pages (mdoc) of libasync, made of what its headers say.

usage: manpages.py OUT VERSION DATE HEADER...    e.g. OUT/async_groups.3, OUT/libasync.7, ...

A header's first comment becomes a page of section 7, each part `/* ---- Title ---- */` a page of
section 3 named after it, with one more for every function in it that only points there. In a part, a
comment belongs to the declarations below it, up to the next comment or empty line; one that is a prototype declares
a function that is inline elsewhere. Comments: an empty line begins a paragraph, lines behind a tab are
shown as they are, `word` is a name.
"""
import datetime
import os
import re
import sys
import textwrap

# Header -> name of its section 7 page, prefix of its section 3 pages.
PAGES = {"async.h": ("libasync", "async"), "ring.h": ("libasync_ring", "ring")}
TOKEN = re.compile(r"/\*(.*?)\*/[ \t]*\n?|([^/]+|/)", re.S)
TITLE = re.compile(r"^ ---- (.*?) -*\s*$")
NOISE = re.compile(r"\s*Inline(, in|; the whole switch is in) async_core\.h[.:]")
INLINE = re.compile(r"^\s*((?:[a-z]\w* )+\**\w+\([^;]*\));[^;]*$|^\s*(typedef [^;]*;)\s*$")
HIDDEN = re.compile(r"#(include|ifn?def|else|endif|define (LIBASYNC_\w+_H|ring_(un)?likely)\b)"
                    r"|_Static_assert|typedef .* ring_word;|(int64_t|void) async_linux_")
FUNCTION = re.compile(r"^(?:static inline |_Noreturn )*([\w ]+?[ *]+)(\w+)\(([^;]*?)\)"
                      r"(?: __attribute__.*)?$", re.S)


def clean(comment):
    """A comment's lines without its stars."""
    lines = [re.sub(r"^ ?\*? ?", "", line) if i else line.strip()
             for i, line in enumerate(comment.split("\n"))]
    return NOISE.sub("", "\n".join(line.rstrip() for line in lines).strip("\n"))


def declarations(code):
    """The declarations in a piece of code, inline functions without their bodies. Before one that an
    empty line divides from what is above it stands ""."""
    found, depth, whole = [], 0, ""
    code = re.sub(r"\n\{\n.*?\n\}\n", ";\n", code, flags=re.S).removesuffix("\n")
    for line in code.split("\n") if code else ():
        if not line.strip() and not whole:
            found.append("")
            continue
        whole += line + "\n"
        depth += line.count("{") - line.count("}")
        bare = re.sub(r"/\*.*?\*/", "", line).rstrip()
        if depth == 0 and (bare.endswith(";") or whole.startswith("#") and not bare.endswith("\\")):
            if not HIDDEN.match(whole):
                found.append(re.sub(r"^(static inline |_Noreturn )+", "", whole.strip()))
            whole = ""
    return found


class Part:
    def __init__(self, title):
        self.title = title
        self.groups = []  # (text, [declaration])

    def add_text(self, text):
        self.groups.append((text, []))

    def add_declarations(self, found):
        for each in found:
            if not self.groups or not each and self.groups[-1][1]:
                self.add_text("")
            if each:
                self.groups[-1][1].append(each)

    def functions(self):
        names = [function_of(each) for _, found in self.groups for each in found]
        return [match[2] for match in names if match]


def function_of(declaration):
    if declaration.startswith(("typedef", "#", "extern")) or "{" in declaration:
        return None
    return FUNCTION.match(declaration.rstrip(";"))


def parts_of(text):
    """The header's first comment, and its parts."""
    text = re.sub(r"\n#ifdef __riscv.*?#endif\n", "\n", text, flags=re.S)
    head, parts, code = None, [Part("")], ""
    for comment, other in TOKEN.findall(text):
        if other:
            code += other
            continue
        # a comment inside a declaration (a member, a line of a body) is part of it
        if code.rpartition("\n")[2].strip() or code.count("{") > code.count("}"):
            code += f"/*{comment}*/\n"
            continue
        parts[-1].add_declarations(declarations(code))
        code = ""
        title, inline = TITLE.match(comment), INLINE.match(clean(comment))
        if head is None:
            head = clean(comment)
        elif title:
            parts.append(Part(title[1]))
        elif inline:
            parts[-1].add_declarations([(inline[1] or inline[2].rstrip(";")) + ";"])
        else:
            parts[-1].add_text(clean(comment))
    parts[-1].add_declarations(declarations(code))
    return head, [part for part in parts if part.functions()]


# ---- mdoc ---------------------------------------------------------------------------------------


def escape(text):
    """What would be read as a request, or a minus as a hyphen."""
    text = re.sub(r"(?<![\w)])-(?=\w)", r"\\-", text)
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def literal(lines):
    shown = textwrap.dedent("\n".join(line.expandtabs(8) for line in lines))
    shown = escape(shown.replace("\\", "\\e"))
    return [".Bd -literal -offset indent", *shown.split("\n"), ".Ed"]


def words(text, names):
    """Running text: names of functions and `words` in their faces, one sentence to a line."""
    text = " ".join(text.split()).replace("\\", "\\e")
    text = re.sub(r"`([^`]+)`", r"\\fI\1\\fR", text)
    text = re.sub(r"\b((?:async|ring)_\w+)\b",
                  lambda match: f"\\fB{match[1]}\\fR" if match[1] in names else match[1], text)
    lines = [line for sentence in re.split(r"(?<=[\w)\]*][.?!]) (?=\S)", text)
             for line in textwrap.wrap(sentence, 78, break_long_words=False, break_on_hyphens=False)]
    return escape("\n".join(lines)).split("\n") if lines else []


def body(text, names):
    """A comment as paragraphs and displays."""
    out, shown = [], []
    for block in re.split(r"\n\n+", text):
        lines = block.split("\n")
        while lines:
            is_shown = lines[0].startswith(("\t", "  "))
            run = []
            while lines and lines[0].startswith(("\t", "  ")) == is_shown:
                run.append(lines.pop(0))
            if is_shown:
                shown = literal(run)
                if out and out[-1] == ".Ed":  # a display that an empty line divides
                    out[-1:] = ["", *shown[1:]]
                else:
                    out += shown
            else:
                out += ([".Pp"] if out else []) + words(" ".join(run), names)
    return out


def arguments(text):
    return [" ".join(each.split()) for each in re.split(r",(?![^(]*\))", text)]


def synopsis(found):
    match = function_of(found)
    if not match:
        return literal(found.split("\n"))
    return [f".Ft {' '.join(match[1].split())}", f".Fo {match[2]}",
            *(f'.Fa "{each}"' for each in arguments(match[3])), ".Fc"]


def heading(found):
    """How a declaration is named above its description."""
    match = function_of(found)
    if not match:
        return None
    names = [re.search(r"\(\*(\w+)\)|(\w+)(?:\[\w*\])?$", each) for each in arguments(match[3])]
    shown = [next(filter(None, each.groups())) if each else "..." for each in names]
    shown = [] if shown == ["void"] else shown
    return " ".join([match[2]] + [f'"{each}"' for each in shown])


class Page:
    def __init__(self, out, version, date, others):
        self.out, self.version, self.others = out, version, others
        self.date = datetime.date.fromisoformat(date).strftime(".Dd %B %-d, %Y")

    def write(self, name, section, about, lines):
        with open(os.path.join(self.out, f"{name}.{section}"), "w", encoding="utf-8") as page:
            page.write("\n".join(['.\\" Made by scripts/manpages.py of the header: edit that.',
                                  self.date, f".Dt {name.upper()} {section}",
                                  f".Os libasync {self.version}", ".Sh NAME", *about, *lines,
                                  ".Sh SEE ALSO", *self.see(name)]) + "\n")

    def see(self, name):
        order = sorted((other for other in self.others if other[0] != name),
                       key=lambda other: (other[1], other[0]))
        return [f".Xr {page} {section}" + (" ," if other is not order[-1] else "")
                for other in order for page, section in [other]]


def page_name(prefix, title):
    title = re.sub(r"^the ", "", title.split(":")[0].lower())
    return prefix + "_" + re.sub(r"\W+", "_", title)


def part_page(part, header, names):
    functions = part.functions()
    about = [f".Nm {each}" + (" ," if each is not functions[-1] else "") for each in functions]
    about.append(f".Nd {part.title.partition(': ')[2] or part.title.lower()}")
    lines = [".Sh SYNOPSIS", f".In {header}"]
    for _, found in part.groups:
        for each in found:
            lines += synopsis(each)
    lines.append(".Sh DESCRIPTION")
    for text, found in part.groups:
        heads = [head for head in map(heading, found) if head]
        if heads:
            lines.append(".Bl -tag -width Ds")
            lines += [f".It Fn {head}" for head in heads]
            lines += body(text, names) or ["As the name says."]
            lines.append(".El")
        elif text:
            lines += ([".Pp"] if lines[-1] != ".Sh DESCRIPTION" else []) + body(text, names)
    lines += [".Sh RETURN VALUES", "Unless said otherwise: a count, a descriptor or 0, or a negative "
              "errno;", "there is no errno variable.", "See", ".Xr libasync 7 ."]
    return about, lines


def main():
    out, version, date, *headers = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    read, others, names = [], [], set()
    for path in headers:
        with open(path, encoding="utf-8") as text:
            head, parts = parts_of(text.read())
        header = os.path.basename(path)
        read.append((header, head, parts))
        others.append((PAGES[header][0], 7))
        for part in parts:
            part.title = part.title or "Set-up and end"
            others.append((page_name(PAGES[header][1], part.title), 3))
            names.update(part.functions())
    page = Page(out, version, date, others)
    for header, head, parts in read:
        name, prefix = PAGES[header]
        rest = head.partition(": ")[2]
        rest = rest[:1].upper() + rest[1:]
        summary = rest[:1].lower() + re.split(r"(?<=\w)\. ", " ".join(rest.split()), maxsplit=1)[0][1:]
        page.write(name, 7, [f".Nm {name}", f".Nd {summary}"],
                   [".Sh SYNOPSIS", f".In {header}", ".Sh DESCRIPTION", *body(rest, names)])
        for part in parts:
            family = page_name(prefix, part.title)
            page.write(family, 3, *part_page(part, header, names))
            for function in part.functions():
                with open(os.path.join(out, f"{function}.3"), "w", encoding="utf-8") as alias:
                    alias.write(f".so man3/{family}.3\n")


if __name__ == "__main__":
    main()
