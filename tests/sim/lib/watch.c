/*
 * watch: what the simulator sees of a run from outside: every trace record in the order it was
 * written, and every state in which an operation was asked to end.
 *
 * The kernel's trace_event and op_cancel are wrapped by the linker (--wrap, see the Makefile), so
 * the kernel under test is the kernel as it is. Records go to one ring here, in global order; their
 * hash is part of a run's history. Counts of cancellations lie in memory that the runs of all seeds
 * share. Every core calls in here, one at a time: the machine has one thread.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/trace.h"
#include "lib/internal.h"
#include "ring/ring.h"

#define KEPT 256u /* power of two */
#define SHOWN 200u
#define STATES_MAX 8u
#define LIVES 8u

uint64_t sim_trace_hash;
bool sim_trace_all;

static struct trace_rec kept[KEPT];
static uint64_t recorded;

/* of all runs: how often an operation in this state and life was told to end */
static uint32_t (*cancels)[STATES_MAX][LIVES];

void __real_trace_event(enum trace_kind kind, uint32_t a, uint64_t b, uint64_t c);
void __wrap_trace_event(enum trace_kind kind, uint32_t a, uint64_t b, uint64_t c);
int __real_op_cancel(struct op *op);
int __wrap_op_cancel(struct op *op);

/* ---- the last records, in words -------------------------------------------------------------- */

static const char *op_name(uint32_t opcode)
{
	return opcode < 256 && op_table[opcode] ? op_table[opcode]->name : "?";
}

static const char *state_name(uint32_t opcode, uint32_t state)
{
	const struct op_row *row = opcode < 256 ? op_table[opcode] : NULL;

	return row && state < row->state_count ? row->state_names[state] : "?";
}

static void record_print(const struct trace_rec *r)
{
	static const char *const verdicts[] = { "done", "again", "parked", "degrade" };
	/* op memory lies in the direct map: its distance from there is the same in every run */
	unsigned long long op = r->b - HOSTED_DIRECT, data = r->c;

	printf("  %9.3f us core %u ", (double)r->ns / 1000, r->core);
	switch ((enum trace_kind)r->kind) {
	case TRACE_STEP:
		printf("step     op %llx %s/%s %s, user_data %llx\n", op, op_name(r->a & 0xff),
		       state_name(r->a & 0xff, r->a >> 8 & 0xff), verdicts[r->a >> 16 & 3], data);
		return;
	case TRACE_TAKE:
		printf("take     op %llx %s from ring %u, user_data %llx\n", op,
		       op_name(r->a & 0xff), r->a >> 8, data);
		return;
	case TRACE_COMPLETE:
		printf("complete ring %u res %d%s, user_data %llx\n", (uint32_t)r->b, (int32_t)r->a,
		       r->b & TRACE_MORE ? " more" : "", data);
		return;
	case TRACE_MAIL:
		printf("mail     op %llx to core %u, user_data %llx\n", op, r->a, data);
		return;
	case TRACE_RING:
		printf("ring     %llu %s core %u, %llu in flight\n", (unsigned long long)r->b,
		       r->a == r->core ? "is on" : "goes to", r->a, data);
		return;
	case TRACE_SLEEP:
		printf("sleep    until %lld us\n", (long long)(r->c / 1000));
		return;
	case TRACE_WAKE:
		printf("wake     reason %u\n", r->a);
		return;
	case TRACE_DOORBELL:
		printf("doorbell core %u\n", r->a);
		return;
	case TRACE_FAULT:
		printf("fault    access %u at %llx\n", r->a, data);
		return;
	default:
		printf("kind %u a %u b %llx c %llx\n", r->kind, r->a, (unsigned long long)r->b,
		       data);
	}
}

void __wrap_trace_event(enum trace_kind kind, uint32_t a, uint64_t b, uint64_t c)
{
	struct trace_rec *rec = &kept[recorded++ % KEPT];
	uint64_t words[] = { kind, a, c, sim_here, sim_now };

	*rec = (struct trace_rec){ .ns = sim_now,
				   .a = a,
				   .kind = (uint16_t)kind,
				   .core = (uint16_t)sim_here,
				   .b = b,
				   .c = c };
	for (unsigned i = 0; i < array_count(words); i++) /* FNV-1a, by words */
		sim_trace_hash = (sim_trace_hash ^ words[i]) * 0x100000001b3ull;
	if (sim_trace_all)
		record_print(rec);
	__real_trace_event(kind, a, b, c);
}

void sim_trace_print(void)
{
	uint64_t from = recorded > SHOWN ? recorded - SHOWN : 0;

	printf("the last %u of %llu trace records:\n", (unsigned)(recorded - from),
	       (unsigned long long)recorded);
	for (; from != recorded; from++)
		record_print(&kept[from % KEPT]);
	printf("trace hash %016llx\n", (unsigned long long)sim_trace_hash);
	fflush(stdout);
}

/* ---- cancellations --------------------------------------------------------------------------- */

int __wrap_op_cancel(struct op *op)
{
	if (cancels && op->state < STATES_MAX && op->life < LIVES)
		cancels[op->opcode][op->state][op->life]++;
	return __real_op_cancel(op);
}

void sim_cover_begin(void)
{
	cancels = mmap(NULL, 256 * sizeof(*cancels), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (cancels == MAP_FAILED)
		cancels = NULL;
}

static uint32_t cover_row(unsigned opcode, unsigned state)
{
	const uint32_t *n = cancels[opcode][state];
	char name[40];

	snprintf(name, sizeof(name), "%s/%s", op_name(opcode), state_name(opcode, state));
	printf("  %-22s %9u %9u %9u %9u\n", name, n[OP_PARKED], n[OP_RUNNABLE], n[OP_STEPPING],
	       n[OP_FIBER] + n[OP_HELD] + n[OP_DONE]);
	return n[OP_PARKED] + n[OP_RUNNABLE] + n[OP_STEPPING];
}

void sim_cover_print(void)
{
	bool missed = false;

	if (!cancels)
		return;
	printf("operations told to end, by the state they were in:\n"
	       "  %-22s %9s %9s %9s %9s\n", "operation/state", "parked", "runnable", "stepping",
	       "other");
	for (unsigned i = 0; i < 256; i++)
		for (unsigned s = 0; op_table[i] && s < op_table[i]->state_count; s++)
			if (cover_row(i, s))
				cancels[i][s][OP_FREE] = 1;
	printf("never told to end:");
	for (unsigned i = 0; i < 256; i++)
		for (unsigned s = 0; op_table[i] && s < op_table[i]->state_count; s++)
			if (!cancels[i][s][OP_FREE]) {
				printf(" %s/%s", op_name(i), state_name(i, s));
				missed = true;
			}
	printf("%s\n", missed ? "" : " none");
}
