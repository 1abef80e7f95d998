"""page.py: the comparison as one HTML page that needs nothing else, and as a CSV.

The page shows what rows.py holds and adds nothing. A figure in which Sluice is behind is written as one in
which it is ahead.
"""
import csv
import html

from compare import plot
from compare.rows import SLUICE
from measure import shown

STYLE = """
:root { color-scheme: light }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fbfbf9; margin: 0 auto;
       max-width: 76rem; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.9rem; margin: .2rem 0 .4rem } h2 { margin: 3rem 0 .3rem; border-top: 2px solid #1a1a1a;
       padding-top: .8rem } h3 { margin: 2rem 0 .3rem; font-size: 1.08rem }
p { margin: .35rem 0; max-width: 58rem } .quiet { color: #555; font-size: .88rem }
table { border-collapse: collapse; font-size: .86rem; margin: .6rem 0; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .22rem .5rem; border-bottom: 1px solid #ddd; white-space: nowrap }
th { border-bottom: 1px solid #777; font-weight: 600; white-space: normal; vertical-align: bottom }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 8rem; max-width: 22rem } td.left, th.left { text-align: left }
td .spread { color: #666; font-size: .86em } td.verdict { font-weight: 600 }
td.words { white-space: normal; text-align: left; max-width: 34rem }
table.glance td, table.glance th { white-space: normal; padding: .22rem .6rem } a { color: #174a84 }
.wide { overflow-x: auto } svg { max-width: 100%; height: auto; display: block; margin: .4rem 0 }
table.many { font-size: .74rem } table.many th, table.many td { padding: .2rem .3rem }
table.many th:first-child, table.many td:first-child { max-width: 9rem }
details { margin: .3rem 0 } summary { cursor: pointer; color: #444; font-size: .88rem }
ul { margin: .4rem 0 } .broken { border-left: 4px solid #b3261e; padding: .2rem .8rem; background: #fff }
"""


def esc(text):
    return html.escape(str(text))


def verdict(ratio):
    """In words: our best beside the others' best."""
    if ratio is None:
        return ""
    if 0.995 <= ratio <= 1.005:
        return "level"
    times = max(ratio, 1 / ratio)
    digits = 2 if times < 2 else 1 if times < 100 else 0
    return f"{times:,.{digits}f} × " + ("better" if ratio > 1 else "worse")


def cell(row):
    if row is None:
        return "<td>–</td>"
    if len(row.values) == 1:
        return f"<td>{shown(row.value)}</td>"
    spread = f"{shown(row.values[0])}..{shown(row.values[-1])} ({len(row.values)})"
    return f'<td>{shown(row.value)}<br><span class="spread">{spread}</span></td>'


def table(figure):
    systems = figure.systems()
    judged = any(figure.advantage(param) for param in figure.params())
    lines = [f'<div class="wide"><table{" class=many" if len(systems) > 7 else ""}><tr><th>' + esc(figure.axis) + "</th>" +
             "".join(f"<th>{esc(system)}</th>" for system in systems) +
             (f"<th>{esc(figure.versus)}</th>" if judged else "") + "</tr>"]
    for param in figure.params():
        lines.append(f"<tr><td>{esc(param)}</td>" + "".join(cell(figure.find(s, param)) for s in systems) +
                     (f'<td class="verdict">{verdict(figure.advantage(param))}</td>' if judged else "") + "</tr>")
    return "\n".join(lines) + "</table></div>"


def table_across(figure):
    """A line for each system, a column for each parameter."""
    params = figure.params()
    lines = [f'<div class="wide"><table><tr><th></th>{"".join(f"<th>{esc(param)}</th>" for param in params)}</tr>']
    for system in figure.systems():
        lines.append(f"<tr><td>{esc(system)}</td>" + "".join(cell(figure.find(system, p)) for p in params) + "</tr>")
    if any(figure.advantage(param) for param in params):
        lines.append(f"<tr><td>{esc(figure.versus)}</td>" + "".join(
            f'<td class="verdict">{verdict(figure.advantage(p))}</td>' for p in params) + "</tr>")
    return "\n".join(lines) + "</table></div>"


def conditions(figure):
    """Who was told what, and how it was counted: once for each system."""
    seen = {}
    for row in figure.rows:
        seen.setdefault((row.system, row.how, row.flags, row.note), []).append(row.param)
    lines = ['<details><summary>Machine, flags and notes of each system</summary><div class="wide"><table>'
             '<tr><th>system</th><th class="left">for</th><th class="left">machine, counted by</th>'
             '<th class="left">flags</th><th class="left">note</th></tr>']
    for (system, how, flags, note), params in seen.items():
        some = "all" if len(params) == len(figure.params()) else ", ".join(map(str, params))
        lines.append(f"<tr><td>{esc(system)}</td>" + "".join(f'<td class="words">{esc(words)}</td>'
                                                             for words in (some, how, flags, note)) + "</tr>")
    return "\n".join(lines) + "</table></div></details>"


def figure_html(figure):
    sense = {"less": "Less is better.", "more": "More is better.", None: ""}[figure.better]
    drawing = plot.draw(figure) or ""
    return (f'<h3 id="{figure.key}">{esc(figure.title)}</h3>\n<p class="quiet">{esc(figure.unit)}. {sense} '
            f"{'' if figure.plot == 'course' else 'Median, and below it least..most (repetitions). '}{esc(figure.text)}</p>\n"
            f"{drawing}\n{'' if figure.plot == 'course' else (table_across if figure.across else table)(figure)}\n{conditions(figure)}")


def found_html(section):
    """What could not be measured, and what was found, in words."""
    parts = [f'<p class="broken">Could not be measured: {esc(words)}</p>' for words in section.broken]
    if section.remarks:
        parts.append("<ul>" + "".join(f"<li>{esc(words)}</li>" for words in section.remarks) + "</ul>")
    return "\n".join(parts)


def figures_html(section):
    return "\n".join(figure_html(figure) for figure in section.figures.values() if figure.rows)


def section_html(section):
    return (f'<h2 id="s{section.number}">{section.number}. {esc(section.title)}</h2><p>{esc(section.question)}</p>\n'
            f"{found_html(section)}\n{figures_html(section)}")


def summary(sections):
    """Every figure with an opponent in one line: the range of our best against the others' best."""
    lines = ['<table class="glance"><tr><th>figure</th><th class="left">unit</th><th class="left">where Sluice does least '
             'well</th><th class="left">where it does best</th></tr>']
    for section in sections:
        for figure in section.figures.values():
            ratios = [(figure.advantage(param), param) for param in figure.params() if figure.advantage(param)]
            if not ratios or figure.ours != SLUICE:
                continue
            low, high = min(ratios), max(ratios)
            lines.append(f'<tr><td><a href="#{figure.key}">{section.number}: {esc(figure.title)}</a></td>'
                         f'<td class="left">{esc(figure.unit)}</td>' +
                         "".join(f'<td class="left"><b>{verdict(ratio)}</b> at {esc(param)}</td>'
                                 for ratio, param in (low, high)) + "</tr>")
    return "\n".join(lines) + "</table>"


def repeatability(sections):
    """How far the rounds of the instruction rows lie apart, and why, for each figure."""
    lines = ['<table><tr><th>instructions</th><th>rows</th><th>rounds within 1 %</th><th>at most apart</th>'
             '<th class="left">what lets them differ</th></tr>']
    for section in sections:
        for figure in section.figures.values():
            for alone in (True, False):
                rows = [row for row in figure.rows if row.instructions(figure) and len(row.values) > 1 and
                        row.alone == alone]
                if not rows:
                    continue
                widest = max(rows, key=lambda row: row.spread)
                lines.append(f'<tr><td><a href="#{figure.key}">{section.number}: {esc(figure.title)}</a></td>'
                             f"<td>{len(rows)}</td><td>{sum(row.spread <= 0.01 for row in rows)}</td>"
                             f'<td>{widest.spread:.2%}</td><td class="words">'
                             f'{esc(figure.pace) if not alone else "nothing but the guest, and what its own timers bring: -icount"}</td></tr>')
    return "\n".join(lines) + "</table>"


def durations(run):
    """How long each step took, beside what two free cores were expected to take."""
    lines = ['<details><summary>How long each step of this run took</summary><table><tr><th>step</th>'
             "<th>took, s</th><th>expected on two free cores, s</th></tr>"]
    lines += [f"<tr><td>{esc(section.number)} {esc(section.title)}: {esc(step.name)}</td><td>{step.took:.0f}</td>"
              f"<td>{step.seconds:.0f}</td></tr>" for section, step in run.plan]
    return "\n".join(lines) + "</table></details>"


def write_page(path, run, sections):
    facts = "".join(f'<tr><td>{esc(key)}</td><td class="words">{esc(value)}</td></tr>' for key, value in run.facts())
    absent = "".join(f"<li><b>{esc(name)}</b>: {esc(why)}</li>" for name, why in run.absent)
    text = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sluice beside Linux</title><style>{STYLE}</style></head><body>
<h1>Sluice beside Linux</h1>
<p>The same work on the same emulated machine, both systems in one run; and, where it is said, on this host's own processor.
Every figure below was measured by the run named here; none was typed in.</p>
<div class="wide"><table>{facts}</table></div>
{durations(run)}
<h2>At a glance</h2>
<p>For each figure, Sluice’s best way beside the best way of the others: at the parameter where it does least well, and where it does best.</p>
{summary(sections)}
<h2>How well it repeats</h2>
<p>Rounds of the instruction rows. Each value shown is the median; <code>make compare-repeat</code> measures all of them in two runs
and holds the medians against each other.</p>
<div class="wide">{repeatability(sections)}</div>
<h2>Left out</h2><p>Rows of the comparison that this run does not have, and why.</p><ul>{absent}</ul>
{"".join(section_html(section) for section in sections)}
</body></html>
"""
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)


def write_csv(path, run, sections):
    facts = dict(run.facts())
    common = (facts["machine"], facts["emulator"], facts["commit"])
    with open(path, "w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(("row", "figure", "system", "parameter", "unit", "median", "min", "max", "repetitions",
                       "measured", "flags", "note", "pace", "machine", "emulator", "commit"))
        for section in sections:
            for figure in section.figures.values():
                for r in figure.rows:
                    rows.writerow((section.number, figure.key, r.system, r.param, figure.unit, f"{r.value:.6g}",
                                   f"{r.values[0]:.6g}", f"{r.values[-1]:.6g}", len(r.values), r.how, r.flags,
                                   r.note, r.pace(figure)) + common)
