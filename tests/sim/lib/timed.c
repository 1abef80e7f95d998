/*
 * timed: clocks, costs, and whose turn it is. See timed.h; the cache lines are in lines.c.
 *
 * A core that runs has `clock`; a core that sleeps is there again when its deadline or its bell
 * comes, and pays for waking up. The stepper resumes the earliest and tells it `horizon`: the time
 * until which nobody else can do anything.
 */
#include "lib/timed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/drivers.h"
#include "drivers/random.h"
#include "lib/internal.h"
#include "mm/pin.h"

#define PS_PER_NS 1000u
#define READ_PS 1000u /* a look at the clock, so that who waits for time does not wait for ever */

struct sim_costs sim_costs;
bool sim_timed, sim_timed_held;

/* What a core had counted when its clock was last brought up to date. */
static struct seen {
	uint64_t turns, idle, sqes, steps, mails, traps, pins, posts, copied, drawn, tcps;
} seen[CORES_MAX];
static uint64_t pins[CORES_MAX], posts[CORES_MAX], tcps[CORES_MAX];
static uint64_t copied[CORES_MAX], drawn[CORES_MAX]; /* bytes */
static uint64_t horizon;

int64_t __real_pin_user(struct aspace *as, uaddr_t claim, uint64_t len, uint32_t access,
			struct pin *pin);
int64_t __wrap_pin_user(struct aspace *as, uaddr_t claim, uint64_t len, uint32_t access,
			struct pin *pin);
void __real_pin_copy_in(const struct pin *pin, uint32_t off, void *dst, uint32_t n);
void __wrap_pin_copy_in(const struct pin *pin, uint32_t off, void *dst, uint32_t n);
void __real_pin_copy_out(const struct pin *pin, uint32_t off, const void *src, uint32_t n);
void __wrap_pin_copy_out(const struct pin *pin, uint32_t off, const void *src, uint32_t n);
void __real_random_expand(const uint32_t key[RANDOM_KEY_WORDS], void *dst, size_t len);
void __wrap_random_expand(const uint32_t key[RANDOM_KEY_WORDS], void *dst, size_t len);
void __real_mailbox_post(unsigned index, struct mail *m);
struct tcp_pcb;
/* lwip/tcp.h */
signed char __real_tcp_write(struct tcp_pcb *pcb, const void *from, uint16_t len, uint8_t flags);
signed char __wrap_tcp_write(struct tcp_pcb *pcb, const void *from, uint16_t len, uint8_t flags);
void __wrap_mailbox_post(unsigned index, struct mail *m);

/* ---- costs ----------------------------------------------------------------------------------- */

static noreturn_fn void refuse(const char *path, const char *what, const char *word)
{
	fprintf(stderr, "%s: %s %s\n", path, what, word);
	exit(2);
}

void sim_costs_read(const char *path, double lines)
{
	static const char *const names[] = {
#define X(name) #name "_ns",
		SIM_COST_LIST(X)
#undef X
	};
	uint64_t *cost = (uint64_t *)&sim_costs;
	bool found[array_count(names)] = { false };
	char text[200], key[40], *rest;
	FILE *f = fopen(path, "r");

	if (!f)
		refuse(path, "cannot be read;", "make cost-model writes one");
	while (fgets(text, sizeof(text), f)) {
		unsigned i = 0;
		double ns;

		if (text[0] == '#' || text[0] == '\n')
			continue;
		if (sscanf(text, "%39[a-z_]=", key) != 1 || !strchr(text, '='))
			refuse(path, "KEY=value is wanted, not", text);
		while (i < array_count(names) && strcmp(names[i], key))
			i++;
		ns = strtod(strchr(text, '=') + 1, &rest);
		if (i == array_count(names) || found[i] || !(ns >= 0 && ns < 1e6) ||
		    (*rest && *rest != '\n'))
			refuse(path, "unknown, twice, or not 0 to 1000000 nanoseconds:", text);
		found[i] = true;
		cost[i] = (uint64_t)(ns * PS_PER_NS + 0.5);
	}
	fclose(f);
	for (unsigned i = 0; i < array_count(names); i++)
		if (!found[i])
			refuse(path, "lacks", names[i]);
	sim_costs.line = (uint64_t)((double)sim_costs.line * lines);
	sim_costs.stream = (uint64_t)((double)sim_costs.stream * lines);
	sim_costs.store = (uint64_t)((double)sim_costs.store * lines);
}

void sim_costs_equal(void)
{
	uint64_t *cost = (uint64_t *)&sim_costs;

	for (unsigned i = 0; i < sizeof(sim_costs) / sizeof(*cost); i++)
		cost[i] = 20 * PS_PER_NS;
}

uint64_t sim_pins(void)
{
	return pins[sim_here];
}

uint64_t sim_tcps(void)
{
	return tcps[sim_here];
}

void sim_timed_begin(void)
{
	sim_timed = true;
}

/* ---- the clock of the core that runs --------------------------------------------------------- */

/* Things that no counter of the kernel counts. */
int64_t __wrap_pin_user(struct aspace *as, uaddr_t claim, uint64_t len, uint32_t access,
			struct pin *pin)
{
	pins[sim_here]++;
	return __real_pin_user(as, claim, len, access, pin);
}

void __wrap_pin_copy_in(const struct pin *pin, uint32_t off, void *dst, uint32_t n)
{
	copied[sim_here] += n;
	__real_pin_copy_in(pin, off, dst, n);
}

void __wrap_pin_copy_out(const struct pin *pin, uint32_t off, const void *src, uint32_t n)
{
	copied[sim_here] += n;
	__real_pin_copy_out(pin, off, src, n);
}

/* What long steps draw; the short ones' few bytes are part of what an entry costs. */
void __wrap_random_expand(const uint32_t key[RANDOM_KEY_WORDS], void *dst, size_t len)
{
	drawn[sim_here] += len;
	__real_random_expand(key, dst, len);
}

void __wrap_mailbox_post(unsigned index, struct mail *m)
{
	posts[sim_here]++;
	__real_mailbox_post(index, m);
}

signed char __wrap_tcp_write(struct tcp_pcb *pcb, const void *from, uint16_t len, uint8_t flags)
{
	tcps[sim_here]++;
	return __real_tcp_write(pcb, from, len, flags);
}

void sim_timed_settle(void)
{
	struct sim_core *sc = &sim_cores[sim_here];
	struct core *c = cores[sim_here];
	struct counters *n = c->count;
	struct seen *s = &seen[sim_here], now = {
		c->turn, n->turns_idle, n->sqes, n->steps, n->mails, n->user_traps,
		pins[sim_here], posts[sim_here], copied[sim_here],
		drawn[sim_here], tcps[sim_here],
	};

	sc->clock += (now.turns - s->turns) * sim_costs.turn +
		     (now.idle - s->idle) * sim_costs.relax +
		     (now.sqes - s->sqes) * sim_costs.sqe +
		     (now.steps - s->steps) * sim_costs.step +
		     (now.mails - s->mails) * sim_costs.mail +
		     (now.traps - s->traps) * sim_costs.trap +
		     (now.pins - s->pins) * sim_costs.transfer +
		     (now.posts - s->posts) * sim_costs.post +
		     (now.copied - s->copied) * sim_costs.copy / 64 +
		     (now.drawn - s->drawn) * sim_costs.random / 64 +
		     (now.tcps - s->tcps) * sim_costs.tcp;
	*s = now;
}

void sim_timed_sync(void)
{
	sim_timed_settle();
	while (!sim_timed_held && sim_cores[sim_here].clock > horizon)
		sim_switch();
}

nsec_t sim_timed_time(void)
{
	sim_cores[sim_here].clock += READ_PS;
	sim_timed_sync();
	return sim_cores[sim_here].clock / PS_PER_NS;
}

void sim_work(uint64_t ps)
{
	sim_cores[sim_here].clock += ps;
}

nsec_t sim_clock(void)
{
	return sim_cores[sim_here].clock / PS_PER_NS;
}

/* Of two bells the earlier one is heard. From the stepper: a device's, or the test's, and now. */
void sim_timed_bell(struct sim_core *to, bool from_core)
{
	uint64_t at = sim_now * PS_PER_NS;

	if (from_core) {
		sim_timed_settle();
		sim_work(sim_costs.doorbell);
		at = sim_cores[sim_here].clock;
	}
	if (!to->bell || at < to->bell_at)
		to->bell_at = at;
	to->bell = true;
	horizon = min_of(horizon, max_of(at, to->clock));
}

bool sim_timed_heard(const struct sim_core *sc)
{
	return sc->bell && sc->bell_at <= sc->clock;
}

/* ---- whose turn it is ------------------------------------------------------------------------ */

static uint64_t ready_at(const struct sim_core *sc)
{
	uint64_t at = UINT64_MAX;

	if (!sc->idle)
		return sc->clock;
	if (sc->bell)
		at = sc->bell_at;
	if (sc->deadline != NSEC_NEVER)
		at = min_of(at, sc->deadline * PS_PER_NS);
	return max_of(at, sc->clock);
}

int sim_timed_next(nsec_t device)
{
	uint64_t first = UINT64_MAX, second = UINT64_MAX;
	struct sim_core *sc;
	int index = -1;

	for (unsigned i = 0; i < cores_count; i++) {
		uint64_t at;

		if (!sim_cores[i].started)
			continue;
		at = ready_at(&sim_cores[i]);
		if (at < first) {
			second = first;
			first = at;
			index = (int)i;
		} else if (at < second) {
			second = at;
		}
	}
	if (index < 0 || (device != NSEC_NEVER && device * PS_PER_NS < first))
		return -1;
	sc = &sim_cores[index];
	if (sc->idle)
		sc->clock = first + sim_costs.wake;
	sim_now = max_of(sim_now, first / PS_PER_NS);
	horizon = device == NSEC_NEVER ? second : min_of(second, device * PS_PER_NS);
	return index;
}
