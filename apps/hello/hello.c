/*
 * hello: the smallest program: one coroutine, one line, status 0.
 */
#include "libasync/async.h"

int main(void)
{
	return async_printf("hello from a ring\n") > 0 ? 0 : 1;
}
