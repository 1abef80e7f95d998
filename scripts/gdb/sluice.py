"""sluice.py: gdb commands that know the kernel. `make debug` loads it; `sluice-help` lists them.

A command is a class with a docstring; the docstring's first line is what sluice-help prints.
"""
import gdb

commands = []


def command(name):
    """Registers a class as the gdb command `name`."""
    def register(cls):
        commands.append((cls.__doc__ or name).strip().splitlines()[0])
        cls.__init__ = lambda self: gdb.Command.__init__(self, name, gdb.COMMAND_USER)
        cls()
        return cls
    return register


@command("sluice-help")
class Help(gdb.Command):
    """sluice-help: lists the commands of this file."""

    def invoke(self, _argument, _from_tty):
        for line in commands:
            print(line)


print("Sluice: sluice-help lists the kernel's own commands.")
