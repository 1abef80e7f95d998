/*
 * unit: the machine that unit tests run on.
 */
#include "unit/lib/unit.h"

#include "arch/hosted/hosted.h"

void unit_machine(unsigned mib, unsigned cores)
{
	struct hosted_options o = { .cores = cores, .ram_bytes = (uint64_t)mib << 20 };

	if (hosted_machine_init(&o))
		exit(1);
	hosted_cpu_enter(0);
}
