/*
 * reply: answers, gathered in a connection's output buffer until they are sent together.
 */
#ifndef HTTPD_REPLY_H
#define HTTPD_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "request.h"

#define OUT_BYTES 12288u
#define REPLY_HEAD_MAX 512u /* more than any head of ours, with an error's body */

struct out {
	int fd;
	uint32_t len; /* bytes of `bytes` that are to be sent */
	char bytes[OUT_BYTES];
};

/* The folder that is served: an absolute path, kept. 0 or -errno. May wait. */
int reply_init(const char *root);

/* Adds the answer to `req`; sends what is in the way, and the pieces of a body that does not fit.
 * Nothing is sent when it fits. 0, or -errno: the connection is over. May wait. */
int reply_add(struct out *out, const struct request *req);

/* Sends what is there. 0 or -errno. May wait, at most so long: a client that takes nothing. */
#define SEND_NS (30 * ASYNC_S)
int reply_flush(struct out *out);

#endif
