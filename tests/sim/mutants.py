#!/usr/bin/env python3
"""Can the campaign fail, and the soak of moves? Each mutant is the kernel with one mistake in it, of the kind that is made:
a wake lost, a completion doubled, a cancellation missed. The campaign must find every one of them
within SEEDS seeds, or the test that is named with it; a mutant that lives is a failure of that test.

A mutant is one source file with one text replaced, compiled as the build compiles it and linked in
front of the kernel's library. The text must be in the file exactly once, so that who changes it
changes its mutant.

usage: mutants.py [part-of-a-name]      by `make mutants` and `make soak`
"""
import os
import re
import signal
import subprocess
import sys

SEEDS = 1000
OUT = os.path.join("build", "tests", "mutants")
LIMIT = 600  # seconds; what hangs is found, too
SIM_LINK = ("-Wl,--wrap=trace_event,--wrap=op_cancel,--wrap=mailbox_post,--wrap=pin_user,"
            "--wrap=pin_copy_in,--wrap=pin_copy_out,--wrap=random_expand,--wrap=tcp_write")

# name, file, what is there, what is there instead; which test (TEST:part-of-a-name, or unit/TEST)
# must find it, if not the campaign
MUTANTS = [
    ("wakes lost but the first", "kernel/sched/executor.c",
     "	while (!list_is_empty(&woken)) {", "	if (!list_is_empty(&woken)) {"),
    ("a completion doubled", "kernel/ring/ring.c",
     "	if (likely(cq_post(r, op->user_data, op->res, op->cqe_flags)))\n		return true;\n"
     "	cq_note_overflow(c, r, op);",
     "	if (op->opcode == IORING_OP_FSYNC)\n"
     "		(void)cq_post(r, op->user_data, op->res, op->cqe_flags);\n"
     "	if (likely(cq_post(r, op->user_data, op->res, op->cqe_flags)))\n		return true;\n"
     "	cq_note_overflow(c, r, op);"),
    ("a held-back completion lost", "kernel/ring/ring.c",
     "		cq_write(r, op->user_data, op->res, op->cqe_flags);\n		list_remove(&op->link);",
     "		list_remove(&op->link);"),
    ("a wake that does not follow its thread", "kernel/sched/thread.c",
     "	if (likely(core == this_core()->index))", "	if (1 || core)"),
    ("a wake that is lost on the way to another core", "kernel/sched/thread.c",
     "	if (!t->parked || t->woken) {", "	if (!t->parked) {"),
    ("a core that was forbidden on the way there", "kernel/sched/thread.c",
     "	atomic_thread_fence(memory_order_seq_cst);\n	thread_leave_forbidden(t);\n}\n\n/* READY or",
     "}\n\n/* READY or", "thread_move"),
    ("a timeout that was woken when its ring left", "kernel/ring/timeout.c",
     "	to->woken = op->life == OP_RUNNABLE;", "	to->woken = 0;", "moves"),
    ("a cancellation that nobody wakes for", "kernel/ring/poll.c",
     "static int poll_cancel(struct op *op)\n{\n	op_wake(op);",
     "static int poll_cancel(struct op *op)\n{\n	(void)op;"),
    ("a cancellation that looks in one bucket only", "kernel/ring/cancel.c",
     "	if (cn->flags & IORING_ASYNC_CANCEL_USERDATA)\n		n =",
     "	if (1)\n		n ="),
    ("a chain that goes on behind an error", "kernel/ring/chain.c",
     "	if ((broken && !hard) ||", "	if ("),
    ("a hard link that breaks", "kernel/ring/chain.c",
     "	if ((broken && !hard) ||", "	if (broken ||"),
    ("a broken chain that forgets its last member", "kernel/ring/chain.c",
     "	while (op) {\n		struct op *next = op->chain;\n\n		op->chain = NULL;\n		if (silent",
     "	while (op && (op->chain || op->life == OP_DONE)) {\n		struct op *next = op->chain;\n\n"
     "		op->chain = NULL;\n		if (silent"),
    ("a rest that talks behind a head that was to be silent", "kernel/ring/chain.c",
     "		if (silent)", "		if (silent && op->life == OP_DONE)"),
    ("a drain that does not see what has not begun", "kernel/ring/chain.c",
     "	return r->inflight_count | r->unbegun_count;", "	return r->inflight_count;"),
    ("a timeout that is early", "kernel/ring/timeout.c",
     "		return now + ns;", "		return now + ns - ns / 2;"),
    ("a timeout removed that ends as if it were not", "kernel/ring/timeout.c",
     "		if (op->flags & OP_CANCELLED)\n			return timeout_end(op, to, -ECANCELED);\n", ""),
    ("a link timeout that fires for nobody", "kernel/ring/timeout.c",
     "	to->fired = err == 0 || err == -EINPROGRESS;", "	to->fired = 0;"),
    ("a byte less than asked for", "kernel/fs/blkslow.c",
     "		pin_copy_in(&j->t->pin, j->done, bounce + r.skip, r.len);",
     "		pin_copy_in(&j->t->pin, j->done, bounce + r.skip, r.len - 1);"),
    ("two writers of one block", "kernel/fs/blkslow.c",
     "	if (exclusive && (!lanes_quiet(d) || disk_is_taken(d, begin, end, true))) {", "	if (0) {"),
    ("bytes received twice", "kernel/ring/sock_data.c",
     "		d->done += (uint32_t)n;\n		if (d->done < d->len)\n			return op_goto(op, DATA_MOVE);\n	}\n	return recv_end",
     "		d->done += (uint32_t)n - (n > 7);\n		if (d->done < d->len)\n			return op_goto(op, DATA_MOVE);\n	}\n	return recv_end"),
    ("a provided buffer lost with its error", "kernel/ring/bufs.c",
     "	if (group_untake(", "	if (group_untake(NULL, 0) || 1 || group_untake("),
    ("an op that is not given back", "kernel/ring/ring.c",
     "	posted = op_post(c, r, op);\n	if (unlikely(op->chain))",
     "	posted = op_post(c, r, op) && op->opcode != IORING_OP_ACCEPT;\n	if (unlikely(op->chain))"),
    ("a pin that is not released", "kernel/ring/rw.c",
     "	if ((op->flags & OP_CANCELLED) && !rw->t.started) {\n		pin_release(&rw->t.pin);",
     "	if ((op->flags & OP_CANCELLED) && !rw->t.started) {"),
    ("a multishot without a bound", "kernel/ring/more.c",
     "	if (here ? !ring_may_take(c, r) : ops_free_count(c) < ops_total_count(c) / 2)\n"
     "		return NULL;\n	if (!more_credit_take(r))\n		return NULL;\n", ""),
    ("a completion posted by the core that the ring has left", "kernel/ring/ring.c",
     "	if (!ring_is_here(c, r)) {\n		op->mail.deliver = op_return;",
     "	if (!ring_is_here(c, r) && op->home != c->index) {\n		op->mail.deliver = op_return;", "moves"),
    ("a completion that arrives where the ring was", "kernel/ring/move.c",
     "	if (likely(ring_is_here(c, r)))\n		return false;\n	post",
     "	if (likely(ring_is_here(c, r)) || m == &container_of(m, struct op, mail)->mail)\n"
     "		return false;\n	post", "moves"),
    ("mail that was too early forgotten", "kernel/ring/move.c",
     "	for (; m; m = next) {\n		next = m->next;\n		m->deliver(m);",
     "	for (; m; m = next) {\n		next = m->next;\n		if (!next)\n			m->deliver(m);", "moves"),
    ("a timeout that its ring leaves behind", "kernel/ring/timeout.c",
     "	op->core = (uint8_t)c->index;\n	if (to->armed)", "	op->core = (uint8_t)c->index;\n	if (0)",
     "moves"),
    ("a guard that its ring leaves behind", "kernel/ring/move.c",
     "				link_timeout_join(op->chain);", "				(void)op;", "moves"),
    ("members that begin on the core they were accepted on", "kernel/ring/chain.c",
     "	op->core = (uint8_t)c->index; /* the", "	if (0)\n		op->core = 0; /* the", "moves"),
    ("a pool's operations forgotten with the ring", "kernel/ring/move.c",
     "	r->ops_held = r->held_away[c->index];", "	r->ops_held = 0;", "moves"),
    ("a program that dies while its ring is away", "kernel/ring/life.c",
     "		process_poke(r->proc); /* which stops it */", "		(void)c;"),
    ("a doorbell at the core where the ring was born", "kernel/ring/enter.c",
     "			arch_doorbell(ring_post_core(r));", "			arch_doorbell(ring_home(r));", "moves"),
    ("an interrupted step that is forgotten", "kernel/sched/fiber.c",
     "		f->hurried++;\n		op_run_soon(f->op);", "		f->hurried++;", "preempt"),
    ("a stack that two steps have", "kernel/sched/fiber.c",
     "	f = list_item(list_take_front(&fs->free), struct fiber, link);",
     "	f = list_item(fs->free.next, struct fiber, link);", "preempt"),
    ("a page read on another core that nobody holds", "kernel/mm/mobj.c",
     "	if (page)\n		frame_get(arch_direct_paddr(page));\n	atomic_store_explicit(&look->at",
     "	atomic_store_explicit(&look->at", "preempt"),
    ("an operation given away that is run here as well", "kernel/sched/give.c",
     "	op_unqueue(op);\n", "", "preempt"),
    ("an operation given away that ends where it was given to", "kernel/ring/ring.c",
     "	if (!ring_is_here(c, r)) {\n		op->mail.deliver = op_return;",
     "	if (!ring_is_here(c, r) && !(op->flags & OP_GIVEN)) {\n		op->mail.deliver = op_return;",
     "moves:given away"),
    ("an operation given away in the middle of its stack", "kernel/sched/give.c",
     "(OP_ON_FIBER | OP_GIVEN)", "OP_GIVEN", "preempt"),
    ("an operation given away in the middle of its stack, in a chain", "kernel/sched/give.c",
     "(OP_ON_FIBER | OP_GIVEN)", "OP_GIVEN", "moves:given away"),
    ("an operation given away again and again", "kernel/sched/give.c",
     "(OP_ON_FIBER | OP_GIVEN)", "OP_ON_FIBER", "unit/sched_executor"),
    ("a gift that nobody marks", "kernel/sched/give.c",
     "	op->flags |= OP_GIVEN;\n", "", "unit/sched_executor"),
    ("a gift that is not counted", "kernel/sched/give.c",
     "	g->core->count->ops_given++;\n", "", "preempt:given away"),
    ("a gift that the ring does not know of", "kernel/sched/give.c",
     "	op_given_hook(op, g->to);\n", "", "unit/sched_executor"),
    ("an operation given away that belongs where it is", "kernel/sched/give.c",
     "op->row->placed(op) != OP_PLACE_ANY", "op->row->placed(op) == OP_PLACE_NET",
     "unit/sched_executor"),
    ("light operations given away", "kernel/sched/give.c",
     "	return work >= GIVE_WORTH_NS ? work : 0;", "	return work;", "unit/sched_executor"),
    ("what runs first given away first", "kernel/sched/give.c",
     "struct list *pos = queue->prev; pos != queue; pos = before",
     "struct list *pos = queue->next; pos != queue; pos = before", "unit/sched_executor"),
    ("the most urgent given away first", "kernel/sched/give.c",
     "	for (unsigned prio = OP_PRIORITIES; prio-- > 0;) {",
     "	for (unsigned prio = 0; prio < OP_PRIORITIES; prio++) {", "unit/sched_executor"),
    ("a run queue looked through without end", "kernel/sched/give.c",
     "looks++ == GIVE_LOOKS || ", "(void)looks, ", "unit/sched_executor"),
    ("a look at one operation only", "kernel/sched/give.c",
     "looks++ == GIVE_LOOKS || ", "looks++ || ", "unit/sched_executor"),
    ("all given away, not so much", "kernel/sched/give.c",
     "	g->left_ns -= min_of(g->left_ns, (uint64_t)worth);\n", "	(void)worth;\n",
     "unit/sched_executor"),
    ("a gift that is larger than what was left to give", "kernel/sched/give.c",
     "	g->left_ns -= min_of(g->left_ns, (uint64_t)worth);\n", "	g->left_ns -= worth;\n",
     "unit/sched_executor"),
    ("one given away where nothing was asked for", "kernel/sched/give.c",
     "	if (work_ns)\n		op_each(c, give_one", "	op_each(c, give_one", "unit/sched_executor"),
    ("work that is more than can be said", "kernel/sched/give.c",
     "u->work_ns += min_of(worth, UINT32_MAX - u->work_ns)", "u->work_ns += worth",
     "unit/sched_executor"),
    ("a unit that is not there moved", "kernel/sched/give.c",
     "	if (id != GIVE_UNIT)\n		return -ENOENT;\n", "", "unit/sched_executor"),
    ("operations given to a core that does not serve", "kernel/sched/give.c",
     "	if (!core_takes(cores[to], ROLE_SERVES))\n		return -EINVAL;\n", "",
     "unit/sched_executor"),
    ("all given away, not half", "kernel/sched/give.c",
     "((uint64_t)all.work_ns + 1) / 2", "all.work_ns", "unit/sched_executor"),
    ("nothing given, and said to be", "kernel/sched/give.c",
     "/ 2) ? 0 : -ENOENT", "/ 2) ? 0 : 0", "unit/sched_executor"),
    ("a unit of nothing on the board", "kernel/sched/give.c",
     "	return all.load != 0;", "	return 1;", "unit/sched_executor"),
    ("entered rings that stay where they are", "kernel/ring/move.c",
     "	return rings_add(c, &c->rings->entered, out, n, max);", "	return n;", "cores:entered"),
    ("light reads given away", "kernel/sched/give.c",
     "	return work >= GIVE_WORTH_NS ? work : 0;", "	return work;", "cores:light"),
    ("the only hot ring moved", "kernel/cores/policy.c",
     "	if (!u)\n		return false;\n	*out = move_of(u, s->hot, s->cool);\n	note_move",
     "	if (!u && s->hot->unit_count)\n		u = s->hot->units;\n	if (!u)\n"
     "		return false;\n	*out = move_of(u, s->hot, s->cool);\n	note_move", "cores:light"),
    ("random bytes that nobody gives away", "kernel/ring/sys_proc.c",
     "				       .anywhere = true,\n				       .work = getrandom_work };",
     "				       .anywhere = true };", "cores:draws"),
    ("reads that nobody gives away", "kernel/ring/rw.c",
     "		.work = rw_work,", "		.work = NULL,", "cores:reads"),
    ("a ring offered that is about to leave", "kernel/ring/move.c",
     "		if (r->pinned || r->moving)", "		if (r->pinned)", "moves:offered"),
    ("a unit where there is no room", "kernel/sched/give.c",
     "	if (!max || ", "	if (", "unit/sched_executor"),
    ("a doze that is believed however long", "kernel/cores/doze.c",
     "min_of(said - d->said, arch_time_ns() - c->now)", "said - d->said", "unit/cores_balance"),
    ("a doze that is counted twice", "kernel/cores/doze.c",
     "	d->said = said;\n", "", "unit/cores_balance"),
    ("a doze that is not counted", "kernel/cores/doze.c",
     "	c->count->doze_ns += ", "	(void)", "unit/cores_balance"),
    ("a doze that never ends", "kernel/cores/doze.c",
     "	return word < 0;", "	return true;", "unit/cores_balance"),
    ("a doze that was seen, and goes on unseen", "kernel/cores/doze.c",
     "	d->seen = word < 0 ? -1 : word;", "	d->seen = word;", "unit/cores_balance"),
    ("what one dozed while others ran counted", "kernel/cores/doze.c",
     "	d->said = arch_user_dozed(__atomic_load_n(d->word, __ATOMIC_RELAXED));\n", "",
     "unit/cores_balance"),
    ("a word that is not looked at after others ran", "kernel/cores/doze.c",
     "	d->seen = -1; /*", "	/*", "unit/cores_balance"),
    ("a doze of a core that sleeps", "kernel/cores/doze.c",
     "!d || __atomic_load_n(&c->signals.asleep_since, __ATOMIC_RELAXED) ||", "!d ||",
     "unit/cores_balance"),
    ("a doze of a core that is in the kernel", "kernel/cores/doze.c",
     "	    !atomic_load_explicit(&c->away, memory_order_relaxed) ||\n", "",
     "unit/cores_balance"),
    ("a doze of a thread that no longer runs there", "kernel/cores/doze.c",
     "	    __atomic_load_n(&d->turn, __ATOMIC_RELAXED) !=\n"
     "		    __atomic_load_n(&c->turn, __ATOMIC_RELAXED))", "	    false)",
     "unit/cores_balance"),
    ("a doze seen from afar that is believed however long", "kernel/cores/doze.c",
     "min_of(said - __atomic_load_n(&d->said, __ATOMIC_RELAXED), since)",
     "(said - __atomic_load_n(&d->said, __ATOMIC_RELAXED) + 0 * since)", "unit/cores_balance"),
    ("a doze seen from afar that begins at boot", "kernel/cores/doze.c",
     "said - __atomic_load_n(&d->said, __ATOMIC_RELAXED), since", "said, since",
     "unit/cores_balance"),
    ("who computes dozes, to others", "kernel/cores/doze.c",
     "	return d && __atomic_load_n(d->word, __ATOMIC_RELAXED) < 0;", "	return d;",
     "unit/cores_balance"),
    ("a long transfer that repeats what it had moved", "kernel/ring/rw.c",
     "	rw->addr += (uint32_t)moved;\n", "	rw->addr += preempt_may() ? 0 : (uint32_t)moved;\n", "preempt"),
]


def build_folder(test):
    if test == "cores": # its clocks want a build of their own
        return os.path.join("build", "hosted-timed")
    for name in ("hosted", "hosted-asan"):
        folder = os.path.join("build", name)
        if all(os.path.exists(os.path.join(folder, f"tests/sim/{test}.c.o"))
               for test in ("campaign", "moves")):
            return folder
    sys.exit("the campaign is not built: make sim")


def mutate(path, old, new):
    with open(path, encoding="utf-8") as text:
        source = text.read()
    if source.count(old) != 1:
        return None
    return source.replace(old, new)


def objects(folder, test):
    found = []
    kind, _, name = test.rpartition("/")
    tests = f"tests/{kind or 'sim'}"
    for where in (f"{tests}/{name}.c.o", f"{tests}/{name}_parts", f"{tests}/lib"):
        path = os.path.join(folder, where)
        if not os.path.exists(path):
            continue
        found += [path] if path.endswith(".o") else \
            [os.path.join(path, n) for n in sorted(os.listdir(path)) if n.endswith(".o")]
    return found


def build(folder, flags, number, path, source, test):
    """The test with the changed file; None and why, or its path."""
    base = os.path.join(OUT, str(number))
    with open(base + ".c", "w", encoding="utf-8") as out:
        out.write(source)
    # as the file where it was: its own folder's headers are named from the roots
    steps = [f"{flags} -w -O1 -g0 {'-isystem kernel/net/lwip ' if '/net/' in path else ''}"
             f"-c {base}.c -o {base}.o",
             f"{flags.split()[0]} {' '.join(f for f in flags.split() if f.startswith('-fsan') and test != 'cores')} "
             f"-pthread {'' if '/' in test else SIM_LINK} {' '.join(objects(folder, test))} "
             f"{base}.o {folder}/libkernel.a -lcmocka "
             f"$(pkg-config --libs slirp glib-2.0) -o {base}"]
    for step in steps:
        done = subprocess.run(["/bin/sh", "-c", step], capture_output=True, text=True)
        if done.returncode:
            return None, (done.stderr.strip().splitlines() or ["?"])[0]
    return base, None


def verdict(program, test, environment):
    """What the test says of the mutant, None if it finds nothing wrong. By which seed, if by one."""
    with subprocess.Popen([program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
                          start_new_session=True) as run:
        try:
            said, _ = run.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)  # a machine is a process of its own
            return f"it did not end within {LIMIT} s"
    found = re.search(rf"^(?:FAIL {test}[^:]*:|not ok \d+ -) (.*)$", said, re.M)
    if found:
        return found[1]
    return f"it ended with {run.returncode}" if run.returncode else None


def main():
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    os.makedirs(OUT, exist_ok=True)
    environment = dict(os.environ, SEEDS=str(SEEDS), SEED="", JOBS="1",
                       ASAN_OPTIONS="detect_stack_use_after_return=0", CMOCKA_MESSAGE_OUTPUT="TAP")
    bad = 0
    for number, (name, path, old, new, *tests) in enumerate(MUTANTS):
        test, _, environment["TEST"] = (tests[0] if tests else "campaign").partition(":")
        if only not in name:
            continue
        folder = build_folder(test)
        with open(os.path.join(folder, "kernel.flags"), encoding="utf-8") as text:
            flags = text.read().strip()
        source = mutate(path, old, new)
        if not source:
            print(f"FAIL {name}: its text is not in {path} once", flush=True)
            bad = 1
            continue
        program, why = build(folder, flags, number, path, source, test)
        if not program:
            print(f"FAIL {name}: does not build: {why}", flush=True)
            bad = 1
            continue
        found = verdict(program, test, environment)
        if found:
            seed = re.search(r"\(seed (\d+)", found)
            print(f"ok {name}, found by {f'seed {seed[1]}' if seed else test}", flush=True)
            print(f"  {found[:160]}", flush=True)
        else:
            print(f"FAIL {name}: {test} did not find it", flush=True)
            bad = 1
        os.unlink(program)
    sys.exit(bad)


if __name__ == "__main__":
    main()
