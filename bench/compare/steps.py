"""steps.py: what a comparison is made of, and how long each part is expected to take.

A Step is the smallest thing that can be skipped or can go wrong by itself. `seconds` is for two cores
that do nothing else; what is left is scaled by how that held so far. How long each took is kept.
"""
import sys
import time

STEADY = 120  # seconds: so much weight has what was expected before anything ran


class Step:
    """`run(run, section)`; `peer`: it needs the peer; `full`: it is not for the quick run; `clock`: it gives
    figures in seconds only. `took`: seconds."""

    def __init__(self, name, seconds, run, peer=False, full=False, clock=False):
        self.name, self.seconds, self.run = name, seconds, run
        self.peer, self.full, self.clock = peer, full, clock
        self.took = 0.0


class Progress:
    """Says what runs, and how long is left."""

    def __init__(self, steps):
        self.total = sum(step.seconds for step in steps) or 1
        self.count = len(steps)
        self.begun = time.monotonic()
        self.expected = self.done = 0

    def elapsed(self):
        return time.monotonic() - self.begun

    def left(self):
        pace = (self.elapsed() + STEADY) / (self.expected + STEADY)
        return (self.total - self.expected) * pace

    def say(self, section, step):
        self.done += 1
        minutes, seconds = divmod(round(self.left()), 60)
        print(f"[{self.elapsed():5.0f} s] {self.done:2}/{self.count}  {section.number:>2} {section.title}: "
              f"{step.name}   (about {minutes}:{seconds:02} left)", flush=True)

    def finished(self, step):
        self.expected += step.seconds


def run_all(run, plan):
    """plan: [(section, step)]. What a step could not measure is written down in its section."""
    progress = Progress([step for _, step in plan])
    for section, step in plan:
        progress.say(section, step)
        begun = time.monotonic()
        try:
            step.run(run, section)
        except Exception as error:
            # whatever it was: what the others measured is not to be lost, and this is said on the page
            sentence = f"{type(error).__name__}: {error}".split("\n", maxsplit=1)[0]
            section.broken.append(f"{step.name}: {sentence}")
            print(f"compare: {section.title}, {step.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        step.took = time.monotonic() - begun
        progress.finished(step)
    return progress.elapsed()
