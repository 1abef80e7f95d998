"""rows.py: what one comparison found, and everything a reader needs to judge each figure by.

A Figure is one question with one unit; a Row is one system's answer for one parameter: the values of all
repetitions, of which the median and the extremes are shown. Rows come from this run only.
"""
import statistics

SLUICE = "Sluice"


def question(experiment):
    """What a function asks, whose first words name it: `name: the question?`"""
    text = experiment.__doc__.split(": ", 1)[1]
    return text[0].upper() + text[1:]


class Figure:
    """
    key      name in the CSV
    title    the question, in words
    axis     what the parameter is
    unit     of the values
    better   "less", "more", or None when there is nothing to win
    plot     "lines" (the parameter is a number), "course" (it is time), "bars", or None
    text     what a reader must know to believe it
    ours     how the systems begin whose best is held against the others' best
    versus   that, in words
    pace     of instructions: what of the host's pace is in them, so that rounds may differ; none under -icount
    """

    def __init__(self, key, title, axis, unit, better="less", plot="lines", text="", ours=SLUICE,
                 versus="Sluice's best against the others' best", pace=""):
        self.key, self.title, self.axis, self.unit = key, title, axis, unit
        self.better, self.plot, self.text = better, plot, text
        self.ours, self.versus, self.pace = ours, versus, pace
        self.rows, self.marks = [], []

    def mark(self, param, value):
        """A point of the drawing is circled."""
        self.marks.append((param, value))

    def systems(self):
        """In the order in which they came; Sluice's own first."""
        names = list(dict.fromkeys(row.system for row in self.rows))
        return sorted(names, key=lambda name: not name.startswith(self.ours))

    @property
    def across(self):
        """Many systems and few parameters read better as a line for each system."""
        return self.plot == "bars" and len(self.systems()) > 6 and len(self.params()) < 4

    def params(self):
        """In order: numbers by size, words as they came."""
        found = list(dict.fromkeys(row.param for row in self.rows))
        return sorted(found) if all(isinstance(p, (int, float)) for p in found) else found

    def find(self, system, param):
        for row in self.rows:
            if row.system == system and row.param == param:
                return row
        return None

    def best(self, param, ours):
        """The best row of our side, or of the others, at this parameter."""
        rows = [row for row in self.rows if row.param == param and row.judged and
                row.system.startswith(self.ours) == ours]
        if not rows or not self.better:
            return None
        return (min if self.better == "less" else max)(rows, key=lambda row: row.value)

    def advantage(self, param):
        """How many times better our best is than the others' best; below 1 it is worse. None: no pair."""
        mine, theirs = self.best(param, True), self.best(param, False)
        if not mine or not theirs or not mine.value or not theirs.value:
            return None
        ratio = theirs.value / mine.value
        return ratio if self.better == "less" else 1 / ratio


class Row:
    """`how`: machine and way of counting; `flags`: what the system was told. `judged`: False for a
    limit or a reference that is nobody's answer. `alone`: nothing but the guest is in it."""

    def __init__(self, system, param, values, how, flags="", note="", judged=True):
        self.system, self.param = system, param
        self.values = sorted(values)
        self.value = statistics.median(self.values)
        self.how, self.flags, self.note, self.judged = how, flags, note, judged

    @property
    def alone(self):
        return "-icount" in self.how

    def instructions(self, figure):
        return "instructions" in f"{figure.unit} {self.param}"

    def pace(self, figure):
        """Why rounds may differ; nothing where they must not."""
        return "" if self.alone else figure.pace

    @property
    def spread(self):
        return (self.values[-1] - self.values[0]) / self.value if self.value else 0.0


class Section:
    """One row of the comparison: its number and name, its figures, and what went wrong."""

    def __init__(self, number, title, question, module):
        self.number, self.title, self.question, self.module = number, title, question, module
        self.figures = {}
        self.remarks = []
        self.absent = []
        self.broken = []

    def figure(self, *words, **more):
        made = Figure(*words, **more)
        self.figures[made.key] = made
        return made

    def row(self, key, *words, **more):
        made = Row(*words, **more)
        self.figures[key].rows.append(made)
        return made

    def remark(self, text):
        if text not in self.remarks:
            self.remarks.append(text)

    def leave_out(self, what, why):
        """By name, with the reason, on the page."""
        self.absent.append((what, why))

    def crossover(self, key, mine, theirs):
        """The least parameter from which on `mine` stays ahead of `theirs`; None when it never does."""
        figure, found = self.figures[key], None
        for param in reversed(figure.params()):
            a, b = figure.find(mine, param), figure.find(theirs, param)
            if not a or not b:
                continue
            if (a.value < b.value) != (figure.better == "less"):
                break
            found = param
        return found
