/*
 * cmdline: splits the boot arguments in place, in a private copy. Boot core writes, once; any core
 * reads. When a key is given twice the last one counts, so that a user can append to a default.
 */
#include "base/cmdline.h"

#include <string.h>

#include "base/print.h"
#include "uapi/errno.h"

#define ARGS_MAX 64

struct arg {
	const char *key, *value;
};

/* set once at boot */
static char cmdline_text[CMDLINE_MAX];
static struct arg cmdline_args[ARGS_MAX];
static unsigned cmdline_count;

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int cmdline_refuse(const char *why, const char *at)
{
	kprint("boot arguments: %s at byte %u: \"%.40s\"\n", why, (unsigned)(at - cmdline_text),
	       at);
	cmdline_count = 0;
	return -EINVAL;
}

/* Splits one `key=value` that starts at `p`; returns what is behind it, NULL after a refusal. */
static char *cmdline_split(char *p)
{
	struct arg *arg = &cmdline_args[cmdline_count];
	char *start = p, *end;
	bool quoted;

	while (*p && *p != '=' && !is_blank(*p))
		p++;
	if (*p != '=' || p == start)
		return cmdline_refuse("expected key=value", start), NULL;
	*p++ = '\0';
	quoted = *p == '"';
	p += quoted;
	for (end = p; *end && (quoted ? *end != '"' : !is_blank(*end)); end++)
		;
	if (quoted && (!*end || (end[1] && !is_blank(end[1])))) {
		p[-2] = '=';
		return cmdline_refuse(*end ? "text behind a closing quote"
					   : "a quote is not closed",
				      start),
		       NULL;
	}
	arg->key = start;
	arg->value = p;
	cmdline_count++;
	if (*end)
		*end++ = '\0';
	return end;
}

int cmdline_init(const char *text)
{
	size_t len = text ? strlen(text) : 0;
	char *p = cmdline_text;

	cmdline_count = 0;
	if (len >= sizeof(cmdline_text)) {
		kprint("boot arguments: %u bytes, more than the %u that fit\n", (unsigned)len,
		       CMDLINE_MAX - 1);
		return -EINVAL;
	}
	memcpy(cmdline_text, text ? text : "", len + 1);
	for (;;) {
		while (is_blank(*p))
			p++;
		if (!*p)
			return 0;
		if (cmdline_count == ARGS_MAX)
			return cmdline_refuse("too many arguments", p);
		p = cmdline_split(p);
		if (!p)
			return -EINVAL;
	}
}

const char *cmdline_find(const char *key)
{
	for (unsigned i = cmdline_count; i-- > 0;)
		if (!strcmp(cmdline_args[i].key, key))
			return cmdline_args[i].value;
	return NULL;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

uint64_t cmdline_find_u64(const char *key, uint64_t absent)
{
	const char *value = cmdline_find(key), *p = value;
	uint64_t n = 0;
	int base = 10;

	if (!value)
		return absent;
	if (p[0] == '0' && (p[1] | 0x20) == 'x') {
		base = 16;
		p += 2;
	}
	for (bool any = false;; any = true, p++) {
		int digit = *p ? digit_of(*p) : 16;

		if (!*p && any)
			return n;
		if (digit >= base || __builtin_mul_overflow(n, (uint64_t)base, &n) ||
		    __builtin_add_overflow(n, (uint64_t)digit, &n)) {
			kprint("boot arguments: %s=%s is not a number, ignored\n", key, value);
			return absent;
		}
	}
}
