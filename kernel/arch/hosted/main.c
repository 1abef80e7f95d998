/*
 * main: the Linux process that is the hosted machine: reads its options, makes the machine, becomes
 * core 0.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/hosted/hosted.h"
#include "base/counters.h"

static const char usage[] = "sluice [-smp N] [-m MiB] [-initrd FILE] [-append STRING] [-disk FILE]"
			    " [-hostfwd HOSTPORT:GUESTPORT]...";

static noreturn_fn void refuse(const char *option, const char *value, const char *want)
{
	fprintf(stderr, "sluice: option %s %s: %s (%s)\n", option, value ? value : "", want, usage);
	exit(2);
}

/* A whole number in [least, most], ended by `end`; the rest through *rest. */
static bool number(const char *text, char end, unsigned long least, unsigned long most,
		   unsigned long *out, const char **rest)
{
	char *stop;

	errno = 0;
	*out = strtoul(text, &stop, 10);
	*rest = stop + 1;
	return *text >= '0' && *text <= '9' && !errno && *stop == end && *out >= least &&
	       *out <= most;
}

static void parse(struct hosted_options *o, char **argv)
{
	for (; *argv; argv += 2) {
		const char *name = argv[0], *value = argv[1], *rest;
		unsigned long n, m;

		if (*name != '-' || !value)
			refuse(name, value, *name == '-' ? "needs a value" : "is not an option");
		if (!strcmp(name, "-smp")) {
			if (!number(value, 0, 1, CORES_MAX, &n, &rest))
				refuse(name, value, "wants a number of cores from 1 to 128");
			o->cores = (unsigned)n;
		} else if (!strcmp(name, "-m")) {
			if (!number(value, 0, 16, 1 << 20, &n, &rest))
				refuse(name, value, "wants MiB of memory from 16 to 1048576");
			o->ram_bytes = n << 20;
		} else if (!strcmp(name, "-initrd")) {
			o->initrd = value;
		} else if (!strcmp(name, "-append")) {
			o->cmdline = value;
		} else if (!strcmp(name, "-disk")) {
			o->disk = value;
		} else if (!strcmp(name, "-hostfwd")) {
			if (!number(value, ':', 1, 65535, &n, &rest) ||
			    !number(rest, 0, 1, 65535, &m, &rest))
				refuse(name, value, "wants HOSTPORT:GUESTPORT");
			if (o->forward_count == HOSTED_FORWARDS_MAX)
				refuse(name, value, "is one forwarded port too many");
			o->forward[o->forward_count++] =
				(struct hosted_forward){ (uint16_t)n, (uint16_t)m };
		} else {
			refuse(name, value, "is not known");
		}
	}
}

int main(int argc, char **argv)
{
	struct hosted_options o = { .cores = 3, .ram_bytes = 256ull << 20 };
	sigset_t quit;

	(void)argc;
	parse(&o, argv + 1);
	/* The console's thread takes these; the cores must never be interrupted by them. */
	sigemptyset(&quit);
	sigaddset(&quit, SIGINT);
	sigaddset(&quit, SIGTERM);
	sigaddset(&quit, SIGHUP);
	sigaddset(&quit, SIGPIPE);
	sigprocmask(SIG_BLOCK, &quit, NULL);
	if (hosted_machine_init(&o))
		return 2;
	hosted_cpu_enter(0);
	kernel_main();
}
