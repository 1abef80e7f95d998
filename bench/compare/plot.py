"""plot.py: a figure as an SVG drawing, made by gnuplot from the figure's rows alone.

Ours are red, drawn broad. Bars at a point reach from the least to the
largest value.
"""
import re
import subprocess
import textwrap

OURS = ("#b3261e", "#e0725f", "#7f1d1d", "#d9943f")
OTHERS = ("#1f5fa8", "#2e7d32", "#7b4fa3", "#b06a00", "#00796b", "#5d4037", "#546e7a")
HEAD = """set terminal svg size {width},{height} dynamic font "sans-serif,13" background "#ffffff"
set border 3 lc rgb "#555555"
set tics nomirror textcolor rgb "#222222"
set grid ytics lc rgb "#e2e2e2"
set key outside above textcolor rgb "#222222" samplen 2 width 1
set ylabel "{unit}" textcolor rgb "#222222"
set xlabel "{axis}" textcolor rgb "#222222"
"""


def escaped(text):
    """For gnuplot's enhanced text."""
    return re.sub(r"([_^{}@&~\\])", r"\\\\\1", text).replace('"', "'")


def colours(figure, systems):
    ours, theirs, found = list(OURS), list(OTHERS), {}
    for system in systems:
        bag = ours if system.startswith(figure.ours) else theirs
        found[system] = bag.pop(0) if bag else "#888888"
    return found


def datablock(name, lines):
    return f"${name} << EOD\n" + "\n".join(lines) + "\nEOD\n"


def is_logarithmic(figure, span):
    """When the largest value is more than `span` times the least."""
    values = [value for row in figure.rows for value in row.values if value > 0]
    return bool(values) and max(values) / min(values) > span and all(v > 0 for r in figure.rows for v in r.values)


def shorter(number):
    return f"{number // 1024} Ki" if number >= 1 << 14 and number % 1024 == 0 else f"{number:g}"


def lines(figure, systems):
    params = figure.params()
    text = 'set xrange [{}:{}]\nset logscale x 2\n'.format(params[0] * 0.85, params[-1] * 1.18)
    text += "set xtics ({})\n".format(", ".join(f'"{shorter(p)}" {p}' for p in params))
    colour, parts = colours(figure, systems), []
    reach = []
    if figure.marks:
        text += datablock("marks", [f"{param} {value}" for param, value in figure.marks])
        parts.append('$marks using 1:2 with points pt 6 ps 2.2 lw 2 lc rgb "#222222" notitle')
    for i, system in enumerate(systems):
        rows = [row for row in figure.rows if row.system == system]
        rows.sort(key=lambda row: row.param)
        text += datablock(f"d{i}", [f"{r.param} {r.value} {r.values[0]} {r.values[-1]}" for r in rows])
        width = 3 if system.startswith(figure.ours) else 1.6
        look = f'lc rgb "{colour[system]}" lw {width} pt {i + 4} ps 0.7'
        parts.append(f'$d{i} using 1:2 with linespoints {look} title "{escaped(system)}"')
        reach.append(f'$d{i} using 1:2:3:4 with yerrorbars lc rgb "{colour[system]}" lw 1 pt 0 notitle')
    return text + "plot " + ", \\\n".join(reach + parts) + "\n"  # a point of an error bar hides what is below


def bars(figure, systems):
    """A group for each parameter, a bar for each system that answered."""
    colour, params = colours(figure, systems), figure.params()
    wide = 0.8 / len(systems)
    text = "set style fill solid 0.85\nset boxwidth {} absolute\n".format(wide * 0.92)
    text += "set xrange [-0.6:{}]\n".format(len(params) - 0.4)
    room = max(8, 110 // len(params))
    names = [escaped("\n".join(textwrap.wrap(str(p), room))).replace("\n", "\\n") for p in params]
    text += "set xtics ({})\n".format(", ".join(f'"{name}" {i}' for i, name in enumerate(names)))
    more = max(name.count("\\n") for name in names)
    if more:
        text += f'set bmargin {4 + more}\nset xlabel "{escaped(figure.axis)}" offset 0,{-more}\n'
    parts = []
    for i, system in enumerate(systems):
        found = [(params.index(r.param) - 0.4 + wide * (i + 0.5), r) for r in figure.rows if r.system == system]
        text += datablock(f"d{i}", [f"{x} {r.value} {r.values[0]} {r.values[-1]}" for x, r in found])
        parts += [f'$d{i} using 1:2 with boxes lc rgb "{colour[system]}" title "{escaped(system)}"',
                  f'$d{i} using 1:2:3:4 with yerrorbars lc rgb "#333333" lw 1 pt 0 notitle']
    return text + "plot " + ", \\\n".join(parts) + "\n"


def across(figure, systems):
    """A line for each system, in it a bar for each parameter that it answered."""
    params = figure.params()
    high = 0.8 / len(params)
    text = "set style fill solid 0.85\nset border 1\nset grid noytics xtics\nset ylabel\n"
    text += f'set xlabel "{escaped(figure.unit)}{", logarithmic" if is_logarithmic(figure, 40) else ""}"\nset yrange [{-len(systems) + 0.4}:0.6]\n'
    text += "set ytics ({})\n".format(", ".join(f'"{escaped(system)}" {-i}' for i, system in enumerate(systems)))
    parts = []
    for ours, bag in ((True, OURS), (False, OTHERS)):
        for i, param in enumerate(params):
            found = [(0.4 - systems.index(r.system) - high * (i + 0.5), r) for r in figure.rows
                     if r.param == param and r.system.startswith(figure.ours) == ours]
            if not found:
                continue
            name = f"d{'o' if ours else 't'}{i}"
            text += datablock(name, [f"{r.value} {y} {r.values[0]} {r.values[-1]}" for y, r in found])
            side = figure.ours if ours else "others"
            parts += [f"${name} using ($1/2):2:(LOW):1:($2-{high * 0.46}):($2+{high * 0.46}) with boxxyerror "
                      f'lc rgb "{bag[i]}" title "{escaped(side + ", " + str(param))}"',
                      f'${name} using 1:2:3:4 with xerrorbars lc rgb "#333333" lw 1 pt 0 notitle']
    return text + "plot " + ", \\\n".join(parts) + "\n"


def low_edge(figure, log):
    """Where bars begin: at 0, or on a logarithmic axis a little below the least value."""
    if not log:
        return 0
    least, edge = min(row.values[0] for row in figure.rows), 1.0
    while edge > least:
        edge /= 10
    while edge * 10 <= least:
        edge *= 10
    return edge


def course(figure, systems):
    """What happened in time, moment by moment."""
    colour, parts = colours(figure, systems), []
    text = f"set xrange [0:{figure.params()[-1]}]\n"
    for i, system in enumerate(systems):
        rows = sorted((row for row in figure.rows if row.system == system), key=lambda row: row.param)
        text += datablock(f"d{i}", [f"{r.param} {r.value}" for r in rows])
        parts.append(f'$d{i} using 1:2 with lines lc rgb "{colour[system]}" lw 2 title "{escaped(system)}"')
    return text + "plot " + ", \\\n".join(parts) + "\n"


def draw(figure):
    """The SVG's text without its XML head; None when there is nothing to draw."""
    systems = figure.systems()
    if not figure.plot or not figure.rows:
        return None
    is_course = figure.plot == "course"
    is_lines = figure.plot == "lines" and len(figure.params()) > 1
    log = not is_course and is_logarithmic(figure, 12 if is_lines else 40)  # a bar's length should mean something
    values = "x" if figure.across else "y"
    height = 130 + 18 * len(systems) * len(figure.params()) if figure.across else 430 + 18 * max(0, len(systems) - 4)
    unit = figure.unit + (", logarithmic" if log else "")
    script = HEAD.format(width=900, height=height, unit=escaped(unit), axis=escaped(figure.axis))
    script += f"LOW = {low_edge(figure, log)}\n"
    script += f"set logscale {values}\n" if log else f"set {values}range [0:*]\n"
    if figure.across and log:
        script += "set xrange [LOW:*]\n"
    most = max(r.value for r in figure.rows)
    if most >= 1000:
        script += f"set format {values} " + ('"%.0s %c"\n' if most >= 1e6 else '"%.0f"\n')
    script += (course if is_course else lines if is_lines else across if figure.across else bars)(figure, systems)
    drawn = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True, timeout=60, check=False)
    if drawn.returncode or "<svg" not in drawn.stdout:
        raise OSError(f"gnuplot could not draw {figure.key}: {drawn.stderr.strip()[:300]}")
    return unique(drawn.stdout[drawn.stdout.index("<svg"):], figure.key)


def unique(svg, key):
    """Several drawings share one page: gnuplot's ids are the same in each."""
    svg = re.sub(r"""\bid=(['"])([^'"]+)""", rf"id=\1{key}-\2", svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", svg)
    return re.sub(r"(xlink:href|href)=(['\"])#([^'\"]+)", rf"\1=\2#{key}-\3", svg)
