"""machine.py: what a page or a table of figures says about where they were taken."""
import os
import platform
import subprocess


def output_of(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def load():
    return " ".join(f"{value:.2f}" for value in os.getloadavg())
