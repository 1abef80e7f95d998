"""sluice.py: gdb commands that know the kernel. `make debug` loads it; `sluice-help` lists them.

They read the kernel's structures only, so they work on a running machine that was stopped anywhere, on a halted
panic (boot argument panic=halt) and on the hosted machine. A command is a class with a docstring;
the docstring's first line is what sluice-help prints.
"""
import gdb

ROLES = ((1, "user"), (2, "kernel"), (4, "io"), (8, "net"), (16, "rt"), (32, "elastic"))
CORES_MAX = 64
commands = []


def command(name):
    """Registers a class as the gdb command `name`."""
    def register(cls):
        commands.append((cls.__doc__ or name).strip().splitlines()[0])
        cls.__init__ = lambda self: gdb.Command.__init__(self, name, gdb.COMMAND_USER)
        cls()
        return cls
    return register


# ---- reading structures -------------------------------------------------------------------------

def value(expression):
    return gdb.parse_and_eval(expression)


def number(val):
    return int(val.cast(gdb.lookup_type("unsigned long")))


def known(expression):
    """The value, or None when this image has no such object."""
    try:
        return value(expression)
    except gdb.error:
        return None


def cores():
    table = value("cores")
    for i in range(CORES_MAX):
        if number(table[i]):
            yield table[i].dereference()


def items(head, kind, member):
    """The structures of type `kind` on an intrusive list."""
    struct = gdb.lookup_type(kind)
    offset = next(f.bitpos // 8 for f in struct.fields() if f.name == member)
    node, end = head["next"], head.address
    while number(node) and node != end:
        yield gdb.Value(number(node) - offset).cast(struct.pointer()).dereference()
        node = node["next"]


def enum_name(kind, val, prefix):
    fields = gdb.lookup_type(kind).fields()
    names = {f.enumval: f.name for f in fields}
    name = names.get(int(val), str(int(val)))
    return name[len(prefix):].lower() if name.startswith(prefix) else name


def roles_text(roles):
    return "+".join(name for bit, name in ROLES if roles & bit) or "none"


def seconds(ns):
    return f"{ns // 10**9}.{ns // 1000 % 10**6:06}"


def op_text(op):
    row = op["row"]
    if not number(row):
        return f"{number(op.address):#x} (no row)"
    state = str(int(op["state"]))
    names = row["state_names"]
    if number(names) and int(op["state"]) < int(row["state_count"]):
        state = names[int(op["state"])].string()
    life = enum_name("enum op_life", op["life"], "OP_")
    return (f"{number(op.address):#x} {row['name'].string():12} {life:10} state {state:10} core {int(op['core'])} "
            f"res {int(op['res'])} flags {int(op['flags']):#x} user_data {number(op['user_data']):#x} "
            f"ring {int(op['ring']['id']) if number(op['ring']) else '-'}")


def live_ops(core):
    if not number(core["exec"]):
        return
    pool = core["exec"]["pool"]
    base, size = number(pool["base"]), int(pool["size"])
    op_type = gdb.lookup_type("struct op").pointer()
    for i in range(int(pool["total"])):
        op = gdb.Value(base + i * size).cast(op_type).dereference()
        if int(op["life"]):
            yield op


def processes():
    table = known("process_table")
    if table is None or not number(table):
        return
    for i in range(64):
        if int(table[i]["used"]) == 2:
            yield table[i]


# ---- commands -------------------------------------------------------------------------------------

@command("sluice-help")
class Help(gdb.Command):
    """sluice-help: lists the commands of this file."""

    def invoke(self, _argument, _from_tty):
        for line in commands:
            print(line)


@command("cores")
class Cores(gdb.Command):
    """cores: every core's roles, turn, whether it is away (asleep or in user mode), what it runs."""

    def invoke(self, _argument, _from_tty):
        for c in cores():
            line = f"core {int(c['index'])}  {roles_text(int(c['roles'])):20} turn {int(c['turn']):<12}"
            line += "away" if int(c["away"]) else "here"
            if number(c["mailbox"]["newest"]):
                line += ", mail waits"
            if number(c["exec"]):
                pool = c["exec"]["pool"]
                line += f", ops {int(pool['total']) - int(pool['free_count'])} of {int(pool['total'])}"
                if number(c["exec"]["running"]):
                    line += ", runs " + op_text(c["exec"]["running"].dereference())
            if number(c["users"]):
                line += f", threads ready {int(c['users']['ready_count'])}"
            print(line)


@command("core")
class Core(gdb.Command):
    """core N: one core in full: its hand, run queues, threads, timers; selects its gdb thread."""

    def invoke(self, argument, _from_tty):
        try:
            index = int(argument)
        except ValueError:
            raise gdb.GdbError("core N: N is a core index, see cores") from None
        c = next((c for c in cores() if int(c["index"]) == index), None)
        if c is None:
            raise gdb.GdbError(f"there is no core {index}")
        self.select(index)
        print(f"core {index}: {roles_text(int(c['roles']))}, turn {int(c['turn'])}, "
              f"turn began at {seconds(number(c['now']))}, last work {seconds(number(c['busy_until']))}, "
              f"spin {int(c['spin']['budget']) // 1000} us")
        print("  parts: " + " ".join(c["part"][i]["name"].string() for i in range(c["part"].type.range()[1] + 1)
                                      if number(c["part"][i])))
        if number(c["hand"]):
            print("  hand: " + op_text(c["hand"].dereference()))
        if number(c["exec"]):
            for prio in range(8):
                for op in items(c["exec"]["queue"][prio], "struct op", "link"):
                    print(f"  runnable (priority {prio}): {op_text(op)}")
        if number(c["users"]):
            for t in items(c["users"]["ready"], "struct thread", "link"):
                print(f"  ready thread {number(t.address):#x}, space {number(t['as']):#x}")
        for name in ("sqes", "cqes", "steps", "parks", "sleeps", "user_traps", "page_faults"):
            print(f"  {name} {int(c['count'][name])}", end="")
        print()

    @staticmethod
    def select(index):
        """QEMU numbers its gdb threads by hart id from 1 on."""
        harts = known("harts")
        if harts is None:
            return
        try:
            gdb.execute(f"thread {int(harts[index]['id']) + 1}", to_string=True)
        except gdb.error as error:
            print(f"  (no gdb thread for its hart: {error})")


@command("ops")
class Ops(gdb.Command):
    """ops [N]: the operations that are not free, of core N or of all."""

    def invoke(self, argument, _from_tty):
        total = 0
        for c in cores():
            if argument and int(c["index"]) != int(argument):
                continue
            for op in live_ops(c):
                print(op_text(op))
                total += 1
        print(f"{total} operations")


@command("rings")
class Rings(gdb.Command):
    """rings: every process's rings: where they live, what is in them and in flight."""

    def invoke(self, _argument, _from_tty):
        for p in processes():
            print(f"process {int(p['pid'])} {p['name'].string()}, home core {int(p['home'])}")
            for r in items(p["rings"], "struct ring", "sibling"):
                self.show(r)

    @staticmethod
    def show(r):
        line = f"  ring {int(r['id'])} {enum_name('enum ring_kind', r['kind'], 'RING_'):6} core {int(r['core'])} "
        if number(r["shared"]):
            s = r["shared"]
            sq_head, sq_tail = int(r["sq_head"]), int(s["sq_tail"])
            cq_tail, cq_head = int(r["cq_published"]), int(s["cq_head"])
            line += (f"sq {sq_head}..{sq_tail} ({(sq_tail - sq_head) % 2**32} waiting) "
                     f"cq {cq_head}..{cq_tail} ({(cq_tail - cq_head) % 2**32} unread) "
                     f"flags {int(s['sq_flags']):#x} ")
        line += f"in flight {int(r['inflight_count'])}"
        overflow = sum(1 for _ in items(r["overflow"], "struct op", "link"))
        waiters = sum(1 for _ in items(r["waiters"], "struct enter_wait", "link"))
        print(line + (f", overflowed {overflow}" if overflow else "") + (f", waiters {waiters}" if waiters else ""))


@command("trace")
class Trace(gdb.Command):
    """trace [N]: the newest N (32) trace records of every core, merged by time."""

    def invoke(self, argument, _from_tty):
        count = int(argument or 32)
        table, words = value("trace_rings"), value("kind_words")
        records = []
        for i in range(CORES_MAX):
            if not number(table[i]):
                continue
            ring = table[i].dereference()
            slots = int(ring["mask"]) + 1
            end = int(ring["next"])
            for at in range(max(0, end - min(count, slots - 1)), end):
                records.append(ring["rec"][at % slots])
        for rec in sorted(records, key=lambda rec: int(rec["ns"])):
            word = words[int(rec["kind"])]
            a = int(rec["a"])
            a -= (a & 1 << 31) << 1
            print(f"{seconds(int(rec['ns'])):>14} core {int(rec['core'])} {word['name'].string():8} "
                  f"{word['a'].string()}={a} {word['b'].string()}={int(rec['b']):#x} "
                  f"{word['c'].string()}={int(rec['c']):#x}")


@command("epitaph")
class Epitaph(gdb.Command):
    """epitaph: the last words of a kernel that panicked."""

    def invoke(self, _argument, _from_tty):
        text = value("panic_epitaph").string()
        print(text.rstrip() if text else "the kernel has not panicked")


print("Sluice: sluice-help lists the kernel's own commands.")
