/*
 * request: one HTTP/1.1 request head, from bytes to decisions. Nothing here waits or allocates.
 *
 * Source: RFC 9112 (message syntax) and RFC 9110 (meaning). Strict where leniency lets two readers
 * of one connection disagree about where a request ends: lines end with CR LF, no line is folded,
 * no blank before a colon, and a request that announces a body is the last one of its connection.
 */
#ifndef HTTPD_REQUEST_H
#define HTTPD_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#define REQUEST_BYTES_MAX 8192u /* a whole head */
#define REQUEST_LINE_MAX 4096u	/* its first line */
#define REQUEST_PATH_MAX 1024u	/* the decoded path with its NUL */

struct request {
	uint16_t status; /* 200, or what must be answered instead */
	bool head;	 /* HEAD: the answer has no body */
	bool close;	 /* the connection ends after the answer */
	bool keep_said;	 /* an HTTP/1.0 client asked to go on and must hear that we do */
	char path[REQUEST_PATH_MAX]; /* begins with '/', decoded, without query, without ".." */
};

/* How far a search for the end of a head has come; zero-initialised for each new head. */
struct request_scan {
	uint32_t next;	     /* bytes looked at */
	uint32_t line_start; /* of the line that is not complete */
	uint32_t lines;	     /* complete ones, without empty lines before the first */
	uint32_t begin;	     /* where the first line begins */
};

/* Looks at bytes[0..len), which begin with a head; called again with more of them. The length of
 * the head with its empty line; 0: more bytes are wanted; or minus the status to answer. */
int32_t request_find_end(struct request_scan *scan, const char *bytes, uint32_t len);

/* Takes a whole head apart: bytes[begin..len), as request_find_end found it. The verdict is
 * req->status. */
void request_parse(struct request *req, const char *bytes, uint32_t begin, uint32_t len);

#endif
