/*
 * map: which hart plays which role. The boot argument `map=0:kernel+net+io,1:user,2:user` names
 * harts by core index; without it one hart is mixed, and of several the first serves and the others
 * run users. Runs once, on the boot core.
 */
#include <string.h>

#include "cores/balance.h"

#include "base/cmdline.h"
#include "base/print.h"
#include "mm/frames.h"
#include "uapi/errno.h"

#define SPIN_US_DEFAULT 50
#define SPIN_US_MAX 10000000

static bool spin_fixed; /* set once at boot */

static const struct {
	const char *name;
	uint32_t role;
} role_names[] = {
	{ "user", ROLE_USER },	 { "kernel", ROLE_KERNEL }, { "io", ROLE_IO | ROLE_KERNEL },
	{ "net", ROLE_NET | ROLE_KERNEL }, { "mixed", ROLE_MIXED },
	{ "elastic", ROLE_ELASTIC | ROLE_USER }, /* begins with programs */
};

void core_roles_text(const struct core *c, char *text)
{
	static const struct {
		uint32_t role;
		const char *name;
	} words[] = {{ROLE_KERNEL, "kernel"}, {ROLE_NET, "net"}, {ROLE_IO, "io"},
		     {ROLE_USER, "user"},   {ROLE_ELASTIC, "elastic"}};
	size_t at = 0;

	for (unsigned i = 0; i < array_count(words); i++) {
		if (!core_has_role(c, words[i].role))
			continue;
		if (at)
			text[at++] = '+';
		for (const char *p = words[i].name; *p; p++)
			text[at++] = *p;
	}
	text[at] = '\0';
}

static bool word_is(const char *at, size_t len, const char *word)
{
	size_t i = 0;

	while (i < len && word[i] && at[i] == word[i])
		i++;
	return i == len && !word[i];
}

static int map_refuse(const char *map, const char *at, const char *why)
{
	kprint("core map \"%s\": at character %u: %s\n", map, (unsigned)(at - map) + 1, why);
	return -EINVAL;
}

/* One role word; 0 when it is none. rt is a word of the design that nobody serves yet: refused by
 * name. */
static uint32_t role_parse(const char *at, size_t len)
{
	for (unsigned i = 0; i < array_count(role_names); i++)
		if (word_is(at, len, role_names[i].name))
			return role_names[i].role;
	return 0;
}

static int map_parse(const char *map, uint32_t roles[CORES_MAX])
{
	const char *p = map;

	while (*p) {
		const char *entry = p;
		unsigned index = 0, digits = 0;

		for (; *p >= '0' && *p <= '9' && digits < 4; p++, digits++)
			index = index * 10 + (unsigned)(*p - '0');
		if (!digits || *p != ':')
			return map_refuse(map, p, "a hart index and a colon are wanted here");
		if (index >= arch_boot.cores)
			return map_refuse(map, entry, "this machine has no such hart");
		if (roles[index])
			return map_refuse(map, entry, "this hart has a role already");
		do {
			const char *word = ++p;
			uint32_t role;

			while (*p && *p != '+' && *p != ',')
				p++;
			if (word_is(word, (size_t)(p - word), "rt"))
				return map_refuse(map, word,
						  "the role rt is not served by this version");
			role = role_parse(word, (size_t)(p - word));
			if (!role)
				return map_refuse(
					map, word,
					"no such role (user, kernel, io, net, mixed; joined by +; "
					"elastic, by itself)");
			if (((roles[index] | role) & ROLE_ELASTIC) && roles[index])
				return map_refuse(map, word, "elastic stands by itself");
			roles[index] |= role;
		} while (*p == '+');
		if (*p == ',' && !*++p)
			return map_refuse(map, p, "another hart is wanted behind the comma");
	}
	return 0;
}

static void map_default(uint32_t roles[CORES_MAX])
{
	roles[0] = arch_boot.cores == 1 ? ROLE_MIXED : ROLE_KERNEL | ROLE_IO | ROLE_NET;
	for (unsigned i = 1; i < arch_boot.cores; i++)
		roles[i] = ROLE_USER;
}

/* Every map needs somebody who serves and somebody who runs programs; disks and NICs fall to the
 * first serving core when the map names no owner. */
static int map_complete(const char *map, uint32_t roles[CORES_MAX])
{
	uint32_t all = 0;
	int serves = -1;

	for (int i = CORES_MAX - 1; i >= 0; i--) {
		all |= roles[i];
		if ((roles[i] & ROLE_SERVES) && !(roles[i] & ROLE_ELASTIC))
			serves = i;
	}
	if (serves < 0)
		return map_refuse(map, map,
				  "no hart serves rings for good (kernel, io, net or mixed)");
	if (!(all & ROLE_USER))
		return map_refuse(map, map, "no hart runs programs (user, mixed or elastic)");
	if (!roles[0])
		return map_refuse(map, map, "hart 0 boots the system and needs a role");
	if (!(all & ROLE_IO))
		roles[serves] |= ROLE_IO;
	if (!(all & ROLE_NET))
		roles[serves] |= ROLE_NET;
	return 0;
}

static struct core *core_create(unsigned index, uint32_t roles, nsec_t spin_ns)
{
	struct core *c = frames_boot_alloc(sizeof(*c));

	c->index = index;
	c->roles = roles;
	spin_init(&c->spin, spin_ns, spin_fixed);
	c->count = frames_boot_alloc(sizeof(*c->count));
	if (arch_can_watch())
		c->watch = frames_boot_alloc(PAGE_SIZE);
	counters_of_core[index] = c->count;
	return c;
}

static unsigned mailbox_part_run(struct core *c)
{
	return mailbox_deliver(c);
}

static const struct core_part_ops mailbox_part = { .name = "mailbox", .run = mailbox_part_run };

int cores_init(void)
{
	const char *map = cmdline_find("map");
	uint64_t spin_us = cmdline_find_u64("spin_us", SPIN_US_DEFAULT);
	const char *spin = cmdline_find("spin");
	uint32_t roles[CORES_MAX] = { 0 };
	int err = 0;

	if (map)
		err = map_parse(map, roles);
	else
		map_default(roles);
	if (err == 0)
		err = map_complete(map ? map : "(default)", roles);
	if (err)
		return err;
	if (spin_us > SPIN_US_MAX) {
		kprint("spin_us=%llu: at most %u microseconds make sense\n",
		       (unsigned long long)spin_us, (unsigned)SPIN_US_MAX);
		return -EINVAL;
	}
	spin_fixed = spin && word_is(spin, strlen(spin), "fixed");
	if (spin && !spin_fixed && !word_is(spin, strlen(spin), "adapt")) {
		kprint("spin=%s: it is fixed or adapt\n", spin);
		return -EINVAL;
	}
	for (unsigned i = 0; i < arch_boot.cores && i < CORES_MAX; i++) {
		if (!roles[i])
			continue;
		cores[i] = core_create(i, roles[i], spin_us * 1000);
		core_part_set(cores[i], PART_MAILBOX, &mailbox_part);
		cores_count = i + 1;
	}
	arch_core_set(cores[0]);
	return balance_init();
}
