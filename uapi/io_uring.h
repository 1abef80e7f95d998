/*
 * io_uring: the shapes and numbers of the submission and completion rings, as Linux defines them.
 *
 * Owns nothing at run time: it is the contract between a program and the kernel, included by both.
 * Programs built against liburing or against Linux' own header use the same names and see the same
 * bytes. Only stdint and stddef are needed.
 *
 * Source of the facts: the io_uring manual pages of liburing 2.15 and observation of Linux 6.18
 * (setup, enter, register; sizes and offsets checked by compiling). What is our own addition lives
 * in uapi/sluice.h.
 *
 * Invariants: every layout is fixed for ever; a reserved field must be zero when a program passes
 * it in, and a bit that is not named here is answered with -EINVAL.
 */
#ifndef UAPI_IO_URING_H
#define UAPI_IO_URING_H

#include <stddef.h>
#include <stdint.h>

#include "uapi/time.h"

/* ---- The submission queue entry: 64 bytes, 128 with IORING_SETUP_SQE128 ---- */

struct io_uring_sqe {
	uint8_t opcode;  /* 0: IORING_OP_* */
	uint8_t flags;   /* 1: IOSQE_* */
	uint16_t ioprio; /* 2: bits of accept, send, recv; priority elsewhere (sluice.h) */
	int32_t fd;      /* 4: descriptor, or a count, a domain, flags: see the operation */
	union {          /* 8 */
		uint64_t off; /* file offset, ~0 = the file's own position */
		uint64_t addr2;
		struct {
			uint32_t cmd_op; /* URING_CMD: the sub-command */
			uint32_t __pad1;
		};
	};
	union { /* 16 */
		uint64_t addr; /* user address: buffer, iovec array, msghdr, path, timespec */
		uint64_t splice_off_in;
		struct {
			uint32_t level; /* URING_CMD on sockets: option level and name */
			uint32_t optname;
		};
	};
	uint32_t len; /* 24: bytes, or number of iovecs, or a mode */
	union {       /* 28 */
		uint32_t rw_flags;
		uint32_t fsync_flags;
		uint16_t poll_events;
		uint32_t poll32_events;
		uint32_t sync_range_flags;
		uint32_t msg_flags;
		uint32_t timeout_flags;
		uint32_t accept_flags;
		uint32_t cancel_flags;
		uint32_t open_flags;
		uint32_t statx_flags;
		uint32_t fadvise_advice;
		uint32_t splice_flags;
		uint32_t rename_flags;
		uint32_t unlink_flags;
		uint32_t hardlink_flags;
		uint32_t xattr_flags;
		uint32_t msg_ring_flags;
		uint32_t uring_cmd_flags;
		uint32_t waitid_flags;
		uint32_t futex_flags;
		uint32_t install_fd_flags;
		uint32_t nop_flags;
		uint32_t pipe_flags;
	};
	uint64_t user_data; /* 32: handed back untouched in the CQE */
	union {             /* 40 */
		uint16_t buf_index; /* registered buffer */
		uint16_t buf_group; /* with IOSQE_BUFFER_SELECT */
	};
	uint16_t personality; /* 42 */
	union {               /* 44 */
		int32_t splice_fd_in;
		uint32_t file_index; /* direct descriptor: 0 none, n = slot n - 1, ~0 allocate */
		uint32_t zcrx_ifq_idx;
		uint32_t optlen;
		struct {
			uint16_t addr_len;
			uint16_t __pad3[1];
		};
	};
	union { /* 48 */
		struct {
			uint64_t addr3;
			uint64_t __pad2[1];
		};
		struct {
			uint64_t attr_ptr;
			uint64_t attr_type_mask;
		};
		uint64_t optval;
		uint8_t cmd[16]; /* goes on for 80 bytes in a 128-byte entry */
	};
};

_Static_assert(sizeof(struct io_uring_sqe) == 64, "SQE is 64 bytes");
_Static_assert(offsetof(struct io_uring_sqe, fd) == 4, "SQE layout");
_Static_assert(offsetof(struct io_uring_sqe, off) == 8, "SQE layout");
_Static_assert(offsetof(struct io_uring_sqe, addr) == 16, "SQE layout");
_Static_assert(offsetof(struct io_uring_sqe, len) == 24, "SQE layout");
_Static_assert(offsetof(struct io_uring_sqe, rw_flags) == 28, "SQE layout");
_Static_assert(offsetof(struct io_uring_sqe, user_data) == 32, "SQE layout");
_Static_assert(offsetof(struct io_uring_sqe, buf_index) == 40, "SQE layout");
_Static_assert(offsetof(struct io_uring_sqe, personality) == 42, "SQE layout");
_Static_assert(offsetof(struct io_uring_sqe, file_index) == 44, "SQE layout");
_Static_assert(offsetof(struct io_uring_sqe, addr3) == 48, "SQE layout");
_Static_assert(offsetof(struct io_uring_sqe, attr_type_mask) == 56, "SQE layout");

/* IOSQE_*: bits of sqe.flags; bit 7 is free and refused */
#define IOSQE_FIXED_FILE (1u << 0)
#define IOSQE_IO_DRAIN (1u << 1)
#define IOSQE_IO_LINK (1u << 2)
#define IOSQE_IO_HARDLINK (1u << 3)
#define IOSQE_ASYNC (1u << 4)
#define IOSQE_BUFFER_SELECT (1u << 5)
#define IOSQE_CQE_SKIP_SUCCESS (1u << 6)

#define IORING_FILE_INDEX_ALLOC (~0u)

/* ---- Operations ---- */

enum io_uring_op {
	IORING_OP_NOP = 0,
	IORING_OP_READV = 1,
	IORING_OP_WRITEV = 2,
	IORING_OP_FSYNC = 3,
	IORING_OP_READ_FIXED = 4,
	IORING_OP_WRITE_FIXED = 5,
	IORING_OP_POLL_ADD = 6,
	IORING_OP_POLL_REMOVE = 7,
	IORING_OP_SYNC_FILE_RANGE = 8,
	IORING_OP_SENDMSG = 9,
	IORING_OP_RECVMSG = 10,
	IORING_OP_TIMEOUT = 11,
	IORING_OP_TIMEOUT_REMOVE = 12,
	IORING_OP_ACCEPT = 13,
	IORING_OP_ASYNC_CANCEL = 14,
	IORING_OP_LINK_TIMEOUT = 15,
	IORING_OP_CONNECT = 16,
	IORING_OP_FALLOCATE = 17,
	IORING_OP_OPENAT = 18,
	IORING_OP_CLOSE = 19,
	IORING_OP_FILES_UPDATE = 20,
	IORING_OP_STATX = 21,
	IORING_OP_READ = 22,
	IORING_OP_WRITE = 23,
	IORING_OP_FADVISE = 24,
	IORING_OP_MADVISE = 25,
	IORING_OP_SEND = 26,
	IORING_OP_RECV = 27,
	IORING_OP_OPENAT2 = 28,
	IORING_OP_EPOLL_CTL = 29,
	IORING_OP_SPLICE = 30,
	IORING_OP_PROVIDE_BUFFERS = 31,
	IORING_OP_REMOVE_BUFFERS = 32,
	IORING_OP_TEE = 33,
	IORING_OP_SHUTDOWN = 34,
	IORING_OP_RENAMEAT = 35,
	IORING_OP_UNLINKAT = 36,
	IORING_OP_MKDIRAT = 37,
	IORING_OP_SYMLINKAT = 38,
	IORING_OP_LINKAT = 39,
	IORING_OP_MSG_RING = 40,
	IORING_OP_FSETXATTR = 41,
	IORING_OP_SETXATTR = 42,
	IORING_OP_FGETXATTR = 43,
	IORING_OP_GETXATTR = 44,
	IORING_OP_SOCKET = 45,
	IORING_OP_URING_CMD = 46,
	IORING_OP_SEND_ZC = 47,
	IORING_OP_SENDMSG_ZC = 48,
	IORING_OP_READ_MULTISHOT = 49,
	IORING_OP_WAITID = 50,
	IORING_OP_FUTEX_WAIT = 51,
	IORING_OP_FUTEX_WAKE = 52,
	IORING_OP_FUTEX_WAITV = 53,
	IORING_OP_FIXED_FD_INSTALL = 54,
	IORING_OP_FTRUNCATE = 55,
	IORING_OP_BIND = 56,
	IORING_OP_LISTEN = 57,
	IORING_OP_RECV_ZC = 58,
	IORING_OP_EPOLL_WAIT = 59,
	IORING_OP_READV_FIXED = 60,
	IORING_OP_WRITEV_FIXED = 61,
	IORING_OP_PIPE = 62,
	IORING_OP_NOP128 = 63,
	IORING_OP_URING_CMD128 = 64,
	IORING_OP_LAST = 65, /* one past the last standard operation */
};

/* IORING_OP_NOP, in nop_flags: with INJECT_RESULT the CQE's res is sqe.len */
#define IORING_NOP_INJECT_RESULT (1u << 0)
#define IORING_NOP_FILE (1u << 1)
#define IORING_NOP_FIXED_FILE (1u << 2)
#define IORING_NOP_FIXED_BUFFER (1u << 3)
#define IORING_NOP_TW (1u << 4)
#define IORING_NOP_CQE32 (1u << 5)

/* IORING_OP_FSYNC, in fsync_flags */
#define IORING_FSYNC_DATASYNC (1u << 0)

/* IORING_OP_TIMEOUT, TIMEOUT_REMOVE, LINK_TIMEOUT, in timeout_flags */
#define IORING_TIMEOUT_ABS (1u << 0)
#define IORING_TIMEOUT_UPDATE (1u << 1)
#define IORING_TIMEOUT_BOOTTIME (1u << 2)
#define IORING_TIMEOUT_REALTIME (1u << 3)
#define IORING_LINK_TIMEOUT_UPDATE (1u << 4)
#define IORING_TIMEOUT_ETIME_SUCCESS (1u << 5)
#define IORING_TIMEOUT_MULTISHOT (1u << 6)
#define IORING_TIMEOUT_IMMEDIATE_ARG (1u << 7)
#define IORING_TIMEOUT_CLOCK_MASK (IORING_TIMEOUT_BOOTTIME | IORING_TIMEOUT_REALTIME)
#define IORING_TIMEOUT_UPDATE_MASK (IORING_TIMEOUT_UPDATE | IORING_LINK_TIMEOUT_UPDATE)

/* IORING_OP_POLL_ADD and POLL_REMOVE, in sqe.len */
#define IORING_POLL_ADD_MULTI (1u << 0)
#define IORING_POLL_UPDATE_EVENTS (1u << 1)
#define IORING_POLL_UPDATE_USER_DATA (1u << 2)
#define IORING_POLL_ADD_LEVEL (1u << 3)

/* IORING_OP_ASYNC_CANCEL, in cancel_flags */
#define IORING_ASYNC_CANCEL_ALL (1u << 0)
#define IORING_ASYNC_CANCEL_FD (1u << 1)
#define IORING_ASYNC_CANCEL_ANY (1u << 2)
#define IORING_ASYNC_CANCEL_FD_FIXED (1u << 3)
#define IORING_ASYNC_CANCEL_USERDATA (1u << 4)
#define IORING_ASYNC_CANCEL_OP (1u << 5)

/* Send and recv families, in ioprio */
#define IORING_RECVSEND_POLL_FIRST (1u << 0)
#define IORING_RECV_MULTISHOT (1u << 1)
#define IORING_RECVSEND_FIXED_BUF (1u << 2)
#define IORING_SEND_ZC_REPORT_USAGE (1u << 3)
#define IORING_RECVSEND_BUNDLE (1u << 4)
#define IORING_SEND_VECTORIZED (1u << 5)
#define IORING_NOTIF_USAGE_ZC_COPIED (1u << 31)

/* IORING_OP_ACCEPT, in ioprio */
#define IORING_ACCEPT_MULTISHOT (1u << 0)
#define IORING_ACCEPT_DONTWAIT (1u << 1)
#define IORING_ACCEPT_POLL_FIRST (1u << 2)

/* IORING_OP_SPLICE */
#define SPLICE_F_FD_IN_FIXED (1u << 31)

/* IORING_OP_MSG_RING: sqe.addr names the command */
enum io_uring_msg_ring_flags {
	IORING_MSG_DATA = 0,
	IORING_MSG_SEND_FD = 1,
};
#define IORING_MSG_RING_CQE_SKIP (1u << 0)
#define IORING_MSG_RING_FLAGS_PASS (1u << 1)

/* IORING_OP_FIXED_FD_INSTALL, in install_fd_flags */
#define IORING_FIXED_FD_NO_CLOEXEC (1u << 0)

/* IORING_OP_URING_CMD: flags, and sub-commands that sockets answer */
#define IORING_URING_CMD_FIXED (1u << 0)
#define IORING_URING_CMD_MULTISHOT (1u << 1)
enum io_uring_socket_op {
	SOCKET_URING_OP_SIOCINQ = 0,
	SOCKET_URING_OP_SIOCOUTQ = 1,
	SOCKET_URING_OP_GETSOCKOPT = 2,
	SOCKET_URING_OP_SETSOCKOPT = 3,
	SOCKET_URING_OP_TX_TIMESTAMP = 4,
	SOCKET_URING_OP_GETSOCKNAME = 5,
};

/* ---- The completion queue entry: 16 bytes, 32 with CQE32 or, on a mixed ring, with F_32 ---- */

struct io_uring_cqe {
	uint64_t user_data;
	int32_t res; /* result, or -errno */
	uint32_t flags;
	uint64_t big_cqe[]; /* two more words on 32-byte entries */
};

_Static_assert(sizeof(struct io_uring_cqe) == 16, "CQE is 16 bytes");

#define IORING_CQE_F_BUFFER (1u << 0)
#define IORING_CQE_F_MORE (1u << 1)
#define IORING_CQE_F_SOCK_NONEMPTY (1u << 2)
#define IORING_CQE_F_NOTIF (1u << 3)
#define IORING_CQE_F_BUF_MORE (1u << 4)
#define IORING_CQE_F_SKIP (1u << 5)
#define IORING_CQE_F_32 (1u << 15)
#define IORING_CQE_BUFFER_SHIFT 16

/* ---- Setup ---- */

struct io_sqring_offsets {
	uint32_t head;
	uint32_t tail;
	uint32_t ring_mask;
	uint32_t ring_entries;
	uint32_t flags;
	uint32_t dropped;
	uint32_t array;
	uint32_t resv1;
	uint64_t user_addr;
};

struct io_cqring_offsets {
	uint32_t head;
	uint32_t tail;
	uint32_t ring_mask;
	uint32_t ring_entries;
	uint32_t overflow;
	uint32_t cqes;
	uint32_t flags;
	uint32_t resv1;
	uint64_t user_addr;
};

struct io_uring_params {
	uint32_t sq_entries;
	uint32_t cq_entries;
	uint32_t flags; /* IORING_SETUP_* */
	uint32_t sq_thread_cpu;
	uint32_t sq_thread_idle; /* milliseconds */
	uint32_t features;       /* IORING_FEAT_*, written by the kernel */
	uint32_t wq_fd;
	uint32_t resv[3];
	struct io_sqring_offsets sq_off;
	struct io_cqring_offsets cq_off;
};

_Static_assert(sizeof(struct io_sqring_offsets) == 40, "SQ offsets are 40 bytes");
_Static_assert(sizeof(struct io_cqring_offsets) == 40, "CQ offsets are 40 bytes");
_Static_assert(sizeof(struct io_uring_params) == 120, "params are 120 bytes");
_Static_assert(offsetof(struct io_uring_params, features) == 20, "params layout");
_Static_assert(offsetof(struct io_uring_params, resv) == 28, "params layout");
_Static_assert(offsetof(struct io_uring_params, sq_off) == 40, "params layout");
_Static_assert(offsetof(struct io_uring_params, cq_off) == 80, "params layout");

#define IORING_SETUP_IOPOLL (1u << 0)
#define IORING_SETUP_SQPOLL (1u << 1)
#define IORING_SETUP_SQ_AFF (1u << 2)
#define IORING_SETUP_CQSIZE (1u << 3)
#define IORING_SETUP_CLAMP (1u << 4)
#define IORING_SETUP_ATTACH_WQ (1u << 5)
#define IORING_SETUP_R_DISABLED (1u << 6)
#define IORING_SETUP_SUBMIT_ALL (1u << 7)
#define IORING_SETUP_COOP_TASKRUN (1u << 8)
#define IORING_SETUP_TASKRUN_FLAG (1u << 9)
#define IORING_SETUP_SQE128 (1u << 10)
#define IORING_SETUP_CQE32 (1u << 11)
#define IORING_SETUP_SINGLE_ISSUER (1u << 12)
#define IORING_SETUP_DEFER_TASKRUN (1u << 13)
#define IORING_SETUP_NO_MMAP (1u << 14)
#define IORING_SETUP_REGISTERED_FD_ONLY (1u << 15)
#define IORING_SETUP_NO_SQARRAY (1u << 16)
#define IORING_SETUP_HYBRID_IOPOLL (1u << 17)
#define IORING_SETUP_CQE_MIXED (1u << 18)
#define IORING_SETUP_SQE_MIXED (1u << 19)
#define IORING_SETUP_SQ_REWIND (1u << 20)

#define IORING_FEAT_SINGLE_MMAP (1u << 0)
#define IORING_FEAT_NODROP (1u << 1)
#define IORING_FEAT_SUBMIT_STABLE (1u << 2)
#define IORING_FEAT_RW_CUR_POS (1u << 3)
#define IORING_FEAT_CUR_PERSONALITY (1u << 4)
#define IORING_FEAT_FAST_POLL (1u << 5)
#define IORING_FEAT_POLL_32BITS (1u << 6)
#define IORING_FEAT_SQPOLL_NONFIXED (1u << 7)
#define IORING_FEAT_EXT_ARG (1u << 8)
#define IORING_FEAT_NATIVE_WORKERS (1u << 9)
#define IORING_FEAT_RSRC_TAGS (1u << 10)
#define IORING_FEAT_CQE_SKIP (1u << 11)
#define IORING_FEAT_LINKED_FILE (1u << 12)
#define IORING_FEAT_REG_REG_RING (1u << 13)
#define IORING_FEAT_RECVSEND_BUNDLE (1u << 14)
#define IORING_FEAT_MIN_TIMEOUT (1u << 15)
#define IORING_FEAT_RW_ATTR (1u << 16)
#define IORING_FEAT_NO_IOWAIT (1u << 17)

/* Limits and defaults of setup */
#define IORING_MAX_ENTRIES 32768u
#define IORING_MAX_CQ_ENTRIES (2u * IORING_MAX_ENTRIES)

/* mmap offsets of a ring descriptor; group g's buffer ring is at OFF_PBUF_RING | g << 16 */
#define IORING_OFF_SQ_RING 0ull
#define IORING_OFF_CQ_RING 0x8000000ull
#define IORING_OFF_SQES 0x10000000ull
#define IORING_OFF_PBUF_RING 0x80000000ull
#define IORING_OFF_PBUF_SHIFT 16
#define IORING_OFF_MMAP_MASK 0xf8000000ull

/* Words in shared memory: *sq.flags, written by the kernel; *cq.flags, written by the program */
#define IORING_SQ_NEED_WAKEUP (1u << 0)
#define IORING_SQ_CQ_OVERFLOW (1u << 1)
#define IORING_SQ_TASKRUN (1u << 2)
#define IORING_CQ_EVENTFD_DISABLED (1u << 0)

/* ---- Enter ---- */

#define IORING_ENTER_GETEVENTS (1u << 0)
#define IORING_ENTER_SQ_WAKEUP (1u << 1)
#define IORING_ENTER_SQ_WAIT (1u << 2)
#define IORING_ENTER_EXT_ARG (1u << 3)
#define IORING_ENTER_REGISTERED_RING (1u << 4)
#define IORING_ENTER_ABS_TIMER (1u << 5)
#define IORING_ENTER_EXT_ARG_REG (1u << 6)
#define IORING_ENTER_NO_IOWAIT (1u << 7)

/* arg of enter with EXT_ARG */
struct io_uring_getevents_arg {
	uint64_t sigmask;
	uint32_t sigmask_sz;
	uint32_t min_wait_usec;
	uint64_t ts; /* user address of a struct __kernel_timespec, 0 = wait for ever */
};

/* one slot of a registered wait region (EXT_ARG_REG) */
#define IORING_REG_WAIT_TS (1u << 0)
struct io_uring_reg_wait {
	struct __kernel_timespec ts;
	uint32_t min_wait_usec;
	uint32_t flags;
	uint64_t sigmask;
	uint32_t sigmask_sz;
	uint32_t pad[3];
	uint64_t pad2[2];
};

_Static_assert(sizeof(struct io_uring_getevents_arg) == 24, "getevents_arg is 24 bytes");
_Static_assert(sizeof(struct io_uring_reg_wait) == 64, "reg_wait is 64 bytes");

/* ---- Register ---- */

enum io_uring_register_op {
	IORING_REGISTER_BUFFERS = 0,
	IORING_UNREGISTER_BUFFERS = 1,
	IORING_REGISTER_FILES = 2,
	IORING_UNREGISTER_FILES = 3,
	IORING_REGISTER_EVENTFD = 4,
	IORING_UNREGISTER_EVENTFD = 5,
	IORING_REGISTER_FILES_UPDATE = 6,
	IORING_REGISTER_EVENTFD_ASYNC = 7,
	IORING_REGISTER_PROBE = 8,
	IORING_REGISTER_PERSONALITY = 9,
	IORING_UNREGISTER_PERSONALITY = 10,
	IORING_REGISTER_RESTRICTIONS = 11,
	IORING_REGISTER_ENABLE_RINGS = 12,
	IORING_REGISTER_FILES2 = 13,
	IORING_REGISTER_FILES_UPDATE2 = 14,
	IORING_REGISTER_BUFFERS2 = 15,
	IORING_REGISTER_BUFFERS_UPDATE = 16,
	IORING_REGISTER_IOWQ_AFF = 17,
	IORING_UNREGISTER_IOWQ_AFF = 18,
	IORING_REGISTER_IOWQ_MAX_WORKERS = 19,
	IORING_REGISTER_RING_FDS = 20,
	IORING_UNREGISTER_RING_FDS = 21,
	IORING_REGISTER_PBUF_RING = 22,
	IORING_UNREGISTER_PBUF_RING = 23,
	IORING_REGISTER_SYNC_CANCEL = 24,
	IORING_REGISTER_FILE_ALLOC_RANGE = 25,
	IORING_REGISTER_PBUF_STATUS = 26,
	IORING_REGISTER_NAPI = 27,
	IORING_UNREGISTER_NAPI = 28,
	IORING_REGISTER_CLOCK = 29,
	IORING_REGISTER_CLONE_BUFFERS = 30,
	IORING_REGISTER_SEND_MSG_RING = 31,
	IORING_REGISTER_ZCRX_IFQ = 32,
	IORING_REGISTER_RESIZE_RINGS = 33,
	IORING_REGISTER_MEM_REGION = 34,
	IORING_REGISTER_QUERY = 35,
	IORING_REGISTER_ZCRX_CTRL = 36,
	IORING_REGISTER_BPF_FILTER = 37,
	IORING_REGISTER_LAST = 38,
};
/* in the code: the ring is named by its registered index */
#define IORING_REGISTER_USE_REGISTERED_RING (1u << 31)

/* FILES_UPDATE: leave the slot as it is */
#define IORING_REGISTER_FILES_SKIP (-2)

struct io_uring_files_update {
	uint32_t offset;
	uint32_t resv;
	uint64_t fds; /* user address of an int32_t array */
};

struct io_uring_rsrc_register {
	uint32_t nr;
	uint32_t flags;
	uint64_t resv2;
	uint64_t data;
	uint64_t tags;
};
#define IORING_RSRC_REGISTER_SPARSE (1u << 0)

struct io_uring_rsrc_update {
	uint32_t offset;
	uint32_t resv;
	uint64_t data;
};

struct io_uring_rsrc_update2 {
	uint32_t offset;
	uint32_t resv;
	uint64_t data;
	uint64_t tags;
	uint32_t nr;
	uint32_t resv2;
};

struct io_uring_probe_op {
	uint8_t op;
	uint8_t resv;
	uint16_t flags; /* IO_URING_OP_SUPPORTED */
	uint32_t resv2;
};
#define IO_URING_OP_SUPPORTED (1u << 0)

struct io_uring_probe {
	uint8_t last_op;
	uint8_t ops_len;
	uint16_t resv;
	uint32_t resv2[3];
	struct io_uring_probe_op ops[];
};

enum io_uring_register_restriction_op {
	IORING_RESTRICTION_REGISTER_OP = 0,
	IORING_RESTRICTION_SQE_OP = 1,
	IORING_RESTRICTION_SQE_FLAGS_ALLOWED = 2,
	IORING_RESTRICTION_SQE_FLAGS_REQUIRED = 3,
	IORING_RESTRICTION_LAST = 4,
};

struct io_uring_restriction {
	uint16_t opcode; /* IORING_RESTRICTION_* */
	union {
		uint8_t register_op;
		uint8_t sqe_op;
		uint8_t sqe_flags;
	};
	uint8_t resv;
	uint32_t resv2[3];
};

/* One provided buffer; the ring's tail overlays the last field of entry 0 */
struct io_uring_buf {
	uint64_t addr;
	uint32_t len;
	uint16_t bid;
	uint16_t resv;
};

struct io_uring_buf_ring {
	union {
		struct {
			uint64_t resv1;
			uint32_t resv2;
			uint16_t resv3;
			uint16_t tail; /* stored with release by the program */
		};
		struct io_uring_buf bufs[1]; /* as many as the ring has; entry 0 is here */
	};
};

#define IOU_PBUF_RING_MMAP 1u
#define IOU_PBUF_RING_INC 2u

struct io_uring_buf_reg {
	uint64_t ring_addr;
	uint32_t ring_entries;
	uint16_t bgid;
	uint16_t flags; /* IOU_PBUF_RING_* */
	uint64_t resv[3];
};

struct io_uring_buf_status {
	uint32_t buf_group; /* in */
	uint32_t head;      /* out */
	uint32_t resv[8];
};

struct io_uring_sync_cancel_reg {
	uint64_t addr;
	int32_t fd;
	uint32_t flags; /* IORING_ASYNC_CANCEL_* */
	struct __kernel_timespec timeout;
	uint8_t opcode;
	uint8_t pad[7];
	uint64_t pad2[3];
};

struct io_uring_file_index_range {
	uint32_t off;
	uint32_t len;
	uint64_t resv;
};

struct io_uring_recvmsg_out {
	uint32_t namelen;
	uint32_t controllen;
	uint32_t payloadlen;
	uint32_t flags;
};

struct io_uring_region_desc {
	uint64_t user_addr;
	uint64_t size;
	uint32_t flags;
	uint32_t id;
	uint64_t mmap_offset;
	uint64_t __resv[4];
};
#define IORING_MEM_REGION_TYPE_USER 1u

struct io_uring_mem_region_reg {
	uint64_t region_uptr;
	uint64_t flags;
	uint64_t __resv[2];
};
#define IORING_MEM_REGION_REG_WAIT_ARG 1u

struct io_uring_clone_buffers {
	uint32_t src_fd;
	uint32_t flags;
	uint32_t src_off;
	uint32_t dst_off;
	uint32_t nr;
	uint32_t pad[3];
};
#define IORING_REGISTER_SRC_REGISTERED (1u << 0)
#define IORING_REGISTER_DST_REPLACE (1u << 1)

struct io_uring_clock_register {
	uint32_t clockid;
	uint32_t __resv[3];
};

struct io_uring_napi {
	uint32_t busy_poll_to;
	uint8_t prefer_busy_poll;
	uint8_t opcode;
	uint8_t pad[2];
	uint32_t op_param;
	uint32_t resv;
};

struct io_uring_attr_pi {
	uint16_t flags;
	uint16_t app_tag;
	uint32_t len;
	uint64_t addr;
	uint64_t seed;
	uint64_t rsvd;
};
#define IORING_RW_ATTR_FLAG_PI (1u << 0)

_Static_assert(sizeof(struct io_uring_files_update) == 16, "files_update is 16 bytes");
_Static_assert(sizeof(struct io_uring_rsrc_register) == 32, "rsrc_register is 32 bytes");
_Static_assert(sizeof(struct io_uring_rsrc_update) == 16, "rsrc_update is 16 bytes");
_Static_assert(sizeof(struct io_uring_rsrc_update2) == 32, "rsrc_update2 is 32 bytes");
_Static_assert(sizeof(struct io_uring_probe_op) == 8, "probe_op is 8 bytes");
_Static_assert(sizeof(struct io_uring_probe) == 16, "probe is 16 bytes and its slots");
_Static_assert(sizeof(struct io_uring_restriction) == 16, "restriction is 16 bytes");
_Static_assert(sizeof(struct io_uring_buf) == 16, "buf is 16 bytes");
_Static_assert(sizeof(struct io_uring_buf_ring) == 16, "buf_ring head overlays entry 0");
_Static_assert(offsetof(struct io_uring_buf_ring, tail) == 14, "buf_ring tail");
_Static_assert(sizeof(struct io_uring_buf_reg) == 40, "buf_reg is 40 bytes");
_Static_assert(sizeof(struct io_uring_buf_status) == 40, "buf_status is 40 bytes");
_Static_assert(sizeof(struct io_uring_sync_cancel_reg) == 64, "sync_cancel_reg is 64 bytes");
_Static_assert(sizeof(struct io_uring_file_index_range) == 16, "file_index_range is 16 bytes");
_Static_assert(sizeof(struct io_uring_recvmsg_out) == 16, "recvmsg_out is 16 bytes");
_Static_assert(sizeof(struct io_uring_region_desc) == 64, "region_desc is 64 bytes");
_Static_assert(sizeof(struct io_uring_mem_region_reg) == 32, "mem_region_reg is 32 bytes");
_Static_assert(sizeof(struct io_uring_clone_buffers) == 32, "clone_buffers is 32 bytes");
_Static_assert(sizeof(struct io_uring_clock_register) == 16, "clock_register is 16 bytes");
_Static_assert(sizeof(struct io_uring_napi) == 16, "napi is 16 bytes");
_Static_assert(sizeof(struct io_uring_attr_pi) == 32, "attr_pi is 32 bytes");

#endif /* UAPI_IO_URING_H */
