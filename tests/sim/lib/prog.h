/*
 * prog: what a simulated program can do: touch its memory, call the kernel, use its ring. Every
 * access may fault, be interrupted, or let another core run first, as on a real core.
 */
#ifndef TESTS_SIM_PROG_H
#define TESTS_SIM_PROG_H

#include "lib/sim.h"
#include "uapi/io_uring.h"
#include "uapi/sluice.h"

struct sim_prog {
	void *arg;
	struct sluice_start start;
	uaddr_t stack; /* stack pointer at entry */
	struct process *proc;
	struct sim_thread *thread;
	/* the ring it was born with; see prog_sqe */
	uint32_t sq_tail, cq_head;
};

/* The program's memory. A page that cannot be had kills the program, as it should. */
void prog_read(struct sim_prog *p, uaddr_t from, void *dst, size_t n);
void prog_write(struct sim_prog *p, uaddr_t to, const void *src, size_t n);
uint32_t prog_load(struct sim_prog *p, uaddr_t from);		    /* acquire */
void prog_store(struct sim_prog *p, uaddr_t to, uint32_t value);    /* release */

/* The door. */
int64_t prog_enter(struct sim_prog *p, int64_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
		   uint64_t a3, uint64_t a4, uint64_t a5);
/* Computes for a while. */
void prog_pause(struct sim_prog *p);
noreturn_fn void prog_exit(struct sim_prog *p, int status);
/* One more thread, through the ring of `p`: main(its own p, with a ring and `arg`); it ends when
 * main returns. `at`: PROG_THREAD_BYTES of the program's memory that are the thread's until the
 * word at prog_thread_word(at) is 0. Its number, or -errno. */
int32_t prog_thread(struct sim_prog *p, void (*main)(struct sim_prog *p), void *arg, uaddr_t at,
		    uint32_t core);
#define PROG_THREAD_BYTES 512u
#define prog_thread_word(at) ((at) + 64)
/* Ends the thread, through the door. */
noreturn_fn void prog_thread_exit(struct sim_prog *p, int status);
/* Anonymous memory through the door. */
uaddr_t prog_map(struct sim_prog *p, uint64_t len);

/* Puts one SQE in the next slot; false when the SQ is full. Not seen by the kernel before
 * prog_submit. */
bool prog_sqe(struct sim_prog *p, const struct io_uring_sqe *sqe);
/* Publishes, and rings the doorbell if the poller sleeps (or submits, on a ring without poller). */
void prog_submit(struct sim_prog *p);
/* Takes one CQE if there is one. */
bool prog_cqe(struct sim_prog *p, struct io_uring_cqe *cqe);
/* Waits by parking in the kernel until at least `n` CQEs are there. */
void prog_wait(struct sim_prog *p, uint32_t n);
/* Waits for one CQE in any of the ways there are (spinning, parking), chosen at random, and takes
 * it. */
void prog_wait_cqe(struct sim_prog *p, struct io_uring_cqe *cqe);

/* One SQE from submission to completion; no other may be in flight. Its CQE's res; *flags gets the
 * CQE's flags unless NULL. */
int32_t prog_do(struct sim_prog *p, const struct io_uring_sqe *sqe, uint32_t *flags);
/* A system call as an SQE (0xE0), likewise. */
int64_t prog_call(struct sim_prog *p, uint16_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
		  uint64_t a3, uint64_t a4, uint64_t a5);

#endif
