"""figures.py: finds figures that were measured: in build/bench.csv (`make bench`) and in
build/report/figures.csv (`make compare`). Owns nothing; a figure that is not there is None.
"""
import csv
import os

BENCH = os.path.join("build", "bench.csv")
REPORT = os.path.join("build", "report", "figures.csv")


def read(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


class Figures:
    def __init__(self):
        self.bench = {(row["name"], row["param"]): row for row in read(BENCH)}
        self.report = {(row["figure"], row["system"], row["parameter"]): row for row in read(REPORT)}

    def of_bench(self, name, param, column="value"):
        """As text; column: value, least, most, repetitions."""
        return self.bench.get((name, param), {}).get(column)

    def of_report(self, figure, system, param, column="median"):
        """As text; column: median, min, max, and the others of that file."""
        return self.report.get((figure, system, param), {}).get(column)
