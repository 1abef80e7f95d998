/*
 * meter: for how long a core was held at most, without a chance to turn to anything else, by each
 * operation, mail and timer; while it is on (boot argument `trace=steps`), and read from
 * /dev/steps.
 *
 * A stretch begins with a step, a mail's delivery or a timer's firing, and ends with it. A window
 * (sched/preempt.h) ends one and begins the next. What begins inside another (an op that a mail
 * starts) is a stretch of its own, and the outer one goes on anew behind it. Steps of one op
 * without a pause between them (STEP_AGAIN) are one stretch.
 *
 * Under -icount shift=0 on one hart a nanosecond is an instruction. The clock's steps (100 ns) and
 * about 100 instructions of recording are part of every figure. Each core writes its own table;
 * whoever reads sees each figure as of some moment.
 */
#ifndef BASE_METER_H
#define BASE_METER_H

#include "base/types.h"

enum meter_kind { METER_OP, METER_MAIL, METER_TIMER };

/* What a stretch is counted for: a name, or, of mails and timers, the address of the code. */
struct meter_key {
	enum meter_kind kind;
	const void *what;
};

extern bool meter_on; /* set once at boot */

/* Gives core `index` its table, in memory of METER_BYTES that lives for ever. Boot. */
#define METER_BYTES 16384u
void meter_init_core(unsigned index, void *memory);
/* A row for something that may never happen, so that this is seen. Boot core, before it runs. */
void meter_expect(struct meter_key key);

/* On the calling core, and only while meter_on. `who` tells stretches of one key apart. A begin
 * inside another stretch stands until its own end. */
void meter_begin(struct meter_key key, const void *who);
void meter_end(void);
/* The stretch that stands is that of `who`. */
bool meter_is(const void *who);

/* `kind name count longest_ns` lines of all cores together, NUL-terminated, cut at `size`. Returns
 * the length written. */
size_t meter_print(char *buf, size_t size);

#endif
