"""plot.py: a figure as an SVG drawing, made by gnuplot from the figure's rows alone.

Ours are red, drawn broad. Bars at a point reach from the least to the
largest value.
"""
import re
import subprocess

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


def lines(figure, systems):
    params = figure.params()
    text = 'set xrange [{}:{}]\nset logscale x 2\n'.format(params[0] * 0.85, params[-1] * 1.18)
    text += "set xtics ({})\n".format(", ".join(f'"{p:g}" {p}' for p in params))
    colour, parts = colours(figure, systems), []
    for i, system in enumerate(systems):
        rows = [row for row in figure.rows if row.system == system]
        rows.sort(key=lambda row: row.param)
        text += datablock(f"d{i}", [f"{r.param} {r.value} {r.values[0]} {r.values[-1]}" for r in rows])
        width = 3 if system.startswith(figure.ours) else 1.6
        look = f'lc rgb "{colour[system]}" lw {width} pt {i + 4} ps 0.7'
        parts += [f'$d{i} using 1:2 with linespoints {look} title "{escaped(system)}"',
                  f'$d{i} using 1:2:3:4 with yerrorbars lc rgb "{colour[system]}" lw 1 pt 0 notitle']
    return text + "plot " + ", \\\n".join(parts) + "\n"


def bars(figure, systems):
    """A group for each parameter, a bar for each system that answered."""
    colour, params = colours(figure, systems), figure.params()
    wide = 0.8 / len(systems)
    text = "set style fill solid 0.85\nset boxwidth {} absolute\n".format(wide * 0.92)
    text += "set xrange [-0.6:{}]\n".format(len(params) - 0.4)
    if sum(len(str(p)) + 3 for p in params) > 90:
        text += "set xtics rotate by -25\n"
    text += "set xtics ({})\n".format(", ".join(f'"{escaped(str(p))}" {i}' for i, p in enumerate(params)))
    parts = []
    for i, system in enumerate(systems):
        found = [(params.index(r.param) - 0.4 + wide * (i + 0.5), r) for r in figure.rows if r.system == system]
        text += datablock(f"d{i}", [f"{x} {r.value} {r.values[0]} {r.values[-1]}" for x, r in found])
        parts += [f'$d{i} using 1:2 with boxes lc rgb "{colour[system]}" title "{escaped(system)}"',
                  f'$d{i} using 1:2:3:4 with yerrorbars lc rgb "#333333" lw 1 pt 0 notitle']
    return text + "plot " + ", \\\n".join(parts) + "\n"


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
    script = HEAD.format(width=900, height=430, unit=escaped(figure.unit), axis=escaped(figure.axis))
    script += "set logscale y\n" if log else "set yrange [0:*]\n"
    script += 'set format y "%\'.0f"\n' if max(r.value for r in figure.rows) >= 1000 else ""
    script += (course if is_course else lines if is_lines else bars)(figure, systems)
    drawn = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True, timeout=60, check=False)
    if drawn.returncode or "<svg" not in drawn.stdout:
        raise OSError(f"gnuplot could not draw {figure.key}: {drawn.stderr.strip()[:300]}")
    return unique(drawn.stdout[drawn.stdout.index("<svg"):], figure.key)


def unique(svg, key):
    """Several drawings share one page: gnuplot's ids are the same in each."""
    svg = re.sub(r'id="([^"]+)"', rf'id="{key}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", svg)
    return re.sub(r"(xlink:href|href)=(['\"])#([^'\"]+)", rf"\1=\2#{key}-\3", svg)
