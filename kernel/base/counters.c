/*
 * counters: sums and text of the per-core blocks. Any core reads; a sum taken while cores run is a
 * snapshot that may be a few events old, field by field.
 */
#include "base/counters.h"

#include <assert.h>

#include <stdio.h>

struct counters *counters_of_core[CORES_MAX];

#define X(name) #name,
static const char *const counter_names[] = { COUNTER_LIST(X) };
#undef X

static_assert(sizeof(struct counters) == array_count(counter_names) * sizeof(uint64_t),
	      "a block is nothing but its 64-bit words");

void counters_sum(struct counters *sum)
{
	uint64_t *to = (uint64_t *)sum;

	*sum = (struct counters){ 0 };
	for (unsigned core = 0; core < CORES_MAX; core++) {
		const uint64_t *from = (const uint64_t *)counters_of_core[core];

		if (!from)
			continue;
		for (size_t i = 0; i < array_count(counter_names); i++)
			to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	}
}

size_t counters_print(char *buf, size_t size)
{
	struct counters sum;
	const uint64_t *value = (const uint64_t *)&sum;
	size_t used = 0;

	if (!size)
		return 0;
	counters_sum(&sum);
	buf[0] = '\0';
	for (size_t i = 0; i < array_count(counter_names); i++) {
		int wrote = snprintf(buf + used, size - used, "%s %llu\n", counter_names[i],
				     (unsigned long long)value[i]);

		if (wrote < 0 || used + (size_t)wrote >= size) {
			buf[used] = '\0';
			break;
		}
		used += (size_t)wrote;
	}
	return used;
}
