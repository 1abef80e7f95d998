/*
 * print: text to descriptor 1. The formatting is the C library's; the write is a ring entry.
 */
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

#define PRINT_MAX 1000

int async_printf(const char *format, ...)
{
	char text[PRINT_MAX];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len < 0)
		return -EINVAL;
	if (len >= PRINT_MAX)
		len = PRINT_MAX - 1;
	return (int)async_write_all(1, text, (size_t)len);
}
