/*
 * sluice: what this kernel adds to io_uring: the system-call opcode, 64-bit results, and the ring
 * a process is born with.
 *
 * Owns nothing at run time: included by kernel and programs. Everything else in uapi/ is Linux'.
 */
#ifndef UAPI_SLUICE_H
#define UAPI_SLUICE_H

#include <stddef.h>
#include <stdint.h>

#include "uapi/io_uring.h"

/*
 * IORING_OP_SYSCALL: any system call of Linux' riscv64 table (uapi/syscall.h) as one SQE.
 *
 *   byte   0       1      2-3     4-7            8-15  16-23  24-31  32-39      40-47  48-55  56-63
 *        +-------+------+-------+--------------+------+------+------+----------+------+------+------+
 *        |opcode |flags |ioprio |nr | pers<<16 |  a0  |  a1  |  a2  |user_data |  a3  |  a4  |  a5  |
 *        +-------+------+-------+--------------+------+------+------+----------+------+------+------+
 *
 * BUFFER_SELECT and FIXED_FILE are refused with -EINVAL; ioprio (Priorities, below), links, drain,
 * async and skip-success work as for any operation (a result in -4095..-1 breaks a chain; there is
 * no short result). ASYNC_CANCEL finds it by user_data and by opcode, never by descriptor. -EINVAL
 * answers numbers that act on "the calling thread" when the ring has no single owner; -ENOSYS
 * answers unknown numbers. Memory an argument points to must stay valid until the CQE arrives.
 */
#define IORING_OP_SYSCALL 0xE0

struct sluice_syscall_sqe {
	uint8_t opcode; /* IORING_OP_SYSCALL */
	uint8_t flags;
	uint16_t ioprio;
	uint16_t nr;
	uint16_t personality;
	uint64_t a0;
	uint64_t a1;
	uint64_t a2;
	uint64_t user_data;
	uint64_t a3;
	uint64_t a4;
	uint64_t a5;
};

_Static_assert(sizeof(struct sluice_syscall_sqe) == sizeof(struct io_uring_sqe), "same 64 bytes");
_Static_assert(offsetof(struct sluice_syscall_sqe, nr) == offsetof(struct io_uring_sqe, fd),
	       "the number is in the low half of fd");
_Static_assert(offsetof(struct sluice_syscall_sqe, a0) == offsetof(struct io_uring_sqe, off), "a0");
_Static_assert(offsetof(struct sluice_syscall_sqe, a1) == offsetof(struct io_uring_sqe, addr),
	       "a1");
_Static_assert(offsetof(struct sluice_syscall_sqe, a2) == offsetof(struct io_uring_sqe, len), "a2");
_Static_assert(offsetof(struct sluice_syscall_sqe, user_data) ==
		       offsetof(struct io_uring_sqe, user_data),
	       "user_data");
_Static_assert(offsetof(struct sluice_syscall_sqe, a3) == offsetof(struct io_uring_sqe, buf_index),
	       "a3");
_Static_assert(offsetof(struct sluice_syscall_sqe, a4) == offsetof(struct io_uring_sqe, addr3),
	       "a4");
_Static_assert(offsetof(struct sluice_syscall_sqe, a5) ==
		       offsetof(struct io_uring_sqe, attr_type_mask),
	       "a5");

/*
 * IORING_OP_SPAWN: starts a program of the initrd as a child of this process. addr names a struct
 * sluice_spawn, len is its size, every other field 0. Result: the child's pid, for WAITID. The
 * child's descriptor i is the parent's fds[i] (-1: closed); without any, 0 to 2 are the console.
 * -ENOENT, -ENOEXEC, -E2BIG (64 strings of each kind, about 12 KiB), -EBADF, -EINVAL (a core that
 * is none, a ring's descriptor), -EAGAIN (no process or thread is free), -ENOMEM.
 */
#define IORING_OP_SPAWN 0xE1
#define SLUICE_SPAWN_FDS_MAX 64u
#define SLUICE_ANY_CORE UINT32_MAX

struct sluice_spawn {
	uint32_t size;	    /* sizeof(struct sluice_spawn) */
	uint32_t fd_count;  /* at most SLUICE_SPAWN_FDS_MAX */
	uint64_t path;	    /* string */
	uint64_t argv;	    /* NULL-terminated array of strings; 0: the path alone */
	uint64_t envp;	    /* the same; 0: empty */
	uint64_t fds;	    /* int32_t[fd_count] */
	/* index of the core that runs it; ANY: the one with the fewest threads */
	uint32_t user_core;
	uint32_t home;	    /* index of the core that serves it; ANY: the parent's */
};
_Static_assert(sizeof(struct sluice_spawn) == 48, "sluice_spawn is 48 bytes");

/*
 * Priorities: eight, 0 the most urgent, 4 what nobody asked for. An entry asks by its ioprio, in
 * Linux' encoding class << 13 | level (level 0 to 7; anything else in it is -EINVAL):
 *
 *   class             level 0-1   2-3   4-5   6-7
 *   1 real time             0     0     1     1
 *   2 best effort           2     3     4     5
 *   3 idle                  6     6     7     7
 *
 * ioprio 0 asks for the ring's. Every opcode takes it, SYSCALL too. ACCEPT, SEND, RECV, SENDMSG and
 * RECVMSG have flags in the lower bits, which keep their meaning: there the level is in bits 10 to
 * 12, class << 13 | level << 10 | flags. Everybody may ask for anything.
 *
 * io_uring_register(fd, SLUICE_REGISTER_PRIORITY, NULL, ioprio): of the ring, for entries that do
 * not ask; 0: back to normal. On a polled ring also its place among its core's rings.
 */
#define IOPRIO_CLASS_SHIFT 13
#define IOPRIO_CLASS_RT 1u
#define IOPRIO_CLASS_BE 2u
#define IOPRIO_CLASS_IDLE 3u
#define SLUICE_IOPRIO_HIGH_SHIFT 10
#define SLUICE_REGISTER_PRIORITY 0x51CE0001u
#define SLUICE_PRIORITIES 8u
#define SLUICE_PRIORITY_NORMAL 4u

/* The ioprio that asks for `priority` (0 to 7); `flags_below`: for ACCEPT, SEND, ... */
static inline uint16_t sluice_ioprio(unsigned priority, int flags_below)
{
	unsigned class = priority < 2 ? IOPRIO_CLASS_RT :
			 priority < 6 ? IOPRIO_CLASS_BE :
					IOPRIO_CLASS_IDLE;
	unsigned level = class == IOPRIO_CLASS_BE ? (priority - 2) * 2 : (priority & 1) * 4;

	return (uint16_t)(class << IOPRIO_CLASS_SHIFT |
			  level << (flags_below ? SLUICE_IOPRIO_HIGH_SHIFT : 0));
}

/*
 * IORING_OP_THREAD: one more thread of this process. addr names a struct sluice_thread, len is its
 * size, every other field 0. Result: its number (gettid). It begins at `entry` with `arg` as the
 * first argument, `sp` and `tp` in their registers (hosted machine: tp is the base of %gs), zero in
 * the others, and no return address. Nothing but the descriptors, memory and fate of the process is
 * shared with the caller: a fault of any thread ends the process.
 *
 * `start`, if it is not 0, is where the kernel writes a struct sluice_start: the thread has a ring
 * of its own then, as a process has by birth (a descriptor, three mappings, TAG | WIDE | NATIVE),
 * and is the one whom exit and gettid mean on that ring. The ring outlives the thread, until
 * its descriptor is closed. A thread without one may use the ecall door.
 *
 * `tid`, if it is not 0, is an aligned 32-bit word that holds the number before the thread's first
 * instruction, and 0 when it has ended for good (its stack may be unmapped); then FUTEX_WAKE wakes
 * everybody who waits on that word. So FUTEX_WAIT on it joins.
 *
 * SYS_exit (93) ends the thread that calls it, or that owns the ring (-EINVAL on a ring that nobody
 * owns); with the last thread, or SYS_exit_group (94), the process ends. Its status is then what
 * its first thread gave.
 *
 * -EINVAL (size, flags, reserved, alignment, a core that runs no programs), -EFAULT, -EAGAIN (64
 * threads of this process, or the machine has no more), -ENOMEM, -EMFILE.
 */
#define IORING_OP_THREAD 0xE3

struct sluice_thread {
	uint32_t size;	/* sizeof(struct sluice_thread) */
	uint32_t flags; /* 0 */
	uint64_t entry, sp, arg, tp;
	uint64_t tid;	/* address of a word, or 0 */
	uint64_t start; /* address of a struct sluice_start, or 0 */
	/* index of the core that runs it; SLUICE_ANY_CORE: that with the fewest threads */
	uint32_t core;
	uint32_t reserved; /* 0 */
};
_Static_assert(sizeof(struct sluice_thread) == 64, "sluice_thread is 64 bytes");

/*
 * Where the 64-bit result of IORING_OP_SYSCALL is found:
 *
 * - 32-byte CQEs (CQE32; on a CQE_MIXED ring entries with IORING_CQE_F_32, which this opcode
 *   always sets there): big_cqe[0] holds the result, res its low half.
 * - 16-byte CQEs of a wide ring (SLUICE_SETUP_WIDE): res holds the low half and flags the high
 *   half, for every CQE of this opcode, errors included (high half all ones). No bit of such a
 *   flags word has its usual meaning.
 * - 16-byte CQEs elsewhere: res holds the result when it fits 31 bits and a sign, else -EOVERFLOW.
 */
static inline int64_t sluice_wide_result(const struct io_uring_cqe *cqe)
{
	return (int64_t)((uint64_t)cqe->flags << 32 | (uint32_t)cqe->res);
}

/*
 * Private setup word, params.resv[2]. Linux wants 0 there and answers anything else with -EINVAL.
 * 0 means a plain ring; otherwise the upper half is the tag and the lower half the bits below.
 * The ring a process is born with reports TAG | WIDE | NATIVE.
 */
#define SLUICE_SETUP_TAG 0x51CE0000u
#define SLUICE_SETUP_TAG_MASK 0xffff0000u
#define SLUICE_SETUP_WIDE (1u << 0)   /* 64-bit results in res and flags */
#define SLUICE_SETUP_NATIVE (1u << 1) /* last close of a file cancels its operations */

/*
 * The ring a process is born with: IORING_SETUP_SQPOLL | NO_SQARRAY | SINGLE_ISSUER, index = slot
 * (no index array), 64-byte SQEs, 16-byte CQEs, wide. On a machine or core map where one hart is
 * both user and kernel core, SQPOLL is missing from params.flags: then enter() must be given the
 * number of entries to submit, as on any ring without a poller.
 */
#define SLUICE_RING_SQ_ENTRIES 512u
#define SLUICE_RING_CQ_ENTRIES 1024u

/*
 * What AT_SLUICE points at. Read-only for the kernel after start; a program may read it at any
 * time. `size` tells how many bytes the kernel filled in: a program checks it before it reads a
 * field that a later version added.
 */
struct sluice_start {
	uint32_t size;    /* sizeof(struct sluice_start) */
	uint32_t version; /* SLUICE_START_VERSION */
	int32_t ring_fd;  /* names the ring in enter and io_uring_register */
	uint32_t flags;   /* SLUICE_START_* */
	uint64_t sq_ring; /* user address of the SQ ring mapping: params.sq_off is relative to it */
	uint64_t cq_ring; /* of the CQ ring mapping (may equal sq_ring): base of params.cq_off */
	uint64_t sqes;    /* of the SQE array */
	struct io_uring_params params;
	uint64_t enter_fn; /* hosted machine: call this instead of ecall; 0 on riscv64 */
	uint64_t time_hz;  /* ticks per second of the user-readable clock, below */
	uint32_t core;     /* index of the core this thread started on */
	uint32_t kernel_core; /* index of the core that polls this ring at first */
	/* suggested bound of the user spin before parking, 0 = park at once */
	uint32_t spin_us;
	uint32_t user_cores;  /* cores that run programs */
	uint64_t watch; /* address of the doorbell word, 0: there is none; SLUICE_SQ_WATCHED */
	uint32_t reserved[2];
};

/*
 * A bit of *sq.flags that Linux does not have: the ring's poller waits, while it is idle and awake,
 * until somebody stores near the word at sluice_start.watch. A program that has published adds 1 to
 * it (atomically; the value means nothing; many programs share it) where it looks at NEED_WAKEUP.
 * One that does not is served a little later. Comes and goes: the ring may move to another core.
 */
#define SLUICE_SQ_WATCHED (1u << 31)
/*
 * Another: the ring is polled by another core than the one its program was born on. The doorbell
 * (enter with SQ_WAKEUP) finds it; SLUICE_NOTICE_WAKER does not. It is set before that core can set
 * NEED_WAKEUP.
 */
#define SLUICE_SQ_AWAY (1u << 30)

_Static_assert(offsetof(struct sluice_start, watch) == 192, "sluice_start layout");
_Static_assert(sizeof(struct sluice_start) == 208, "sluice_start is 208 bytes");
_Static_assert(offsetof(struct sluice_start, sq_ring) == 16, "sluice_start layout");
_Static_assert(offsetof(struct sluice_start, params) == 40, "sluice_start layout");
_Static_assert(offsetof(struct sluice_start, enter_fn) == 160, "sluice_start layout");
_Static_assert(offsetof(struct sluice_start, core) == 176, "sluice_start layout");

#define SLUICE_START_VERSION 1u
#define SLUICE_START_HOSTED (1u << 0)    /* the kernel is a Linux process; enter_fn is set */
#define SLUICE_START_MIXED (1u << 1)     /* one hart plays both roles; params.flags lacks SQPOLL */
#define SLUICE_START_SPIN_GIVEN (1u << 2) /* spin_us is meant, even when it is 0 */
#define SLUICE_START_UINTR (1u << 3)      /* user interrupts without the kernel: docs/uintr.md */
#define SLUICE_START_UPCALLS (1u << 4)    /* it asked for them and the machine has none: upcalls */
#define SLUICE_START_SPIN_FIXED (1u << 5) /* spin_us does not adapt to the waits (spin.h) */

/*
 * What a program's file asks for: a note (System V ABI, chapter 5) of this name and type in a
 * PT_NOTE segment. At file scope of one C file: SLUICE_NOTE(SLUICE_NOTE_UINTR);
 */
#define SLUICE_NOTE_NAME "Sluice"
#define SLUICE_NOTE_TYPE 1u
#define SLUICE_NOTE_UINTR (1u << 0) /* user interrupts; SLUICE_UINTR=0 or 1 overrides it */
struct sluice_note {
	uint32_t name_size, desc_size, type; /* 7, 4, SLUICE_NOTE_TYPE */
	char name[8];
	uint32_t flags; /* SLUICE_NOTE_*; other bits are refused */
};
#define SLUICE_NOTE(wanted)                                                                      \
	__attribute__((section(".note.sluice"), used, aligned(4))) static const struct sluice_note \
		sluice_note = { sizeof(SLUICE_NOTE_NAME), sizeof(uint32_t), SLUICE_NOTE_TYPE,     \
				SLUICE_NOTE_NAME, (wanted) }

/*
 * The doorbell, the one call that is not an SQE.
 *
 * riscv64: ecall with a7 = SYS_io_uring_enter, a0 = ring_fd, a1 = to_submit, a2 = min_complete,
 * a3 = IORING_ENTER_* flags, a4 = arg, a5 = argsz. Result in a0; every other register is kept.
 * hosted: enter_fn(SYS_io_uring_enter, the same six values), C calling convention.
 *
 * Wake-up protocol of a polled ring (SQPOLL). Program: store SQ tail (release), full fence, load
 * *sq.flags; if IORING_SQ_NEED_WAKEUP is set, enter(IORING_ENTER_SQ_WAKEUP). Poller: set
 * NEED_WAKEUP, full fence, load SQ tail again, and only then sleep.
 *
 * Clock: riscv64 reads `time` (rdtime), x86-64 hosted reads the time-stamp counter; both count
 * time_hz ticks per second. time_hz == 0 (hosted only: the seeded machine, whose time is its own)
 * says that there is no such counter: enter_fn then also answers SYS_clock_gettime(clock id, user
 * address of a struct __kernel_timespec) for CLOCK_MONOTONIC.
 */
typedef int64_t (*sluice_enter_fn)(int64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
				   uint64_t a4, uint64_t a5);

#endif /* UAPI_SLUICE_H */
