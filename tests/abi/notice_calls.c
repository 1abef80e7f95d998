/*
 * What if a program asks for notices rightly, wrongly, and again? Each wrong question has its
 * error, a masked notice waits, a revoked endpoint and its doorbell lead nowhere, and all of that
 * whether notices come as user interrupts, by upcalls or by kernel wake-up. A store to a mailbox
 * that nobody gave it ends the program.
 *
 * also: SLUICE_UINTR=1
 * ends: exit status 0
 * also: SLUICE_UINTR=0 waiting
 * ends: exit status 0
 * also: SLUICE_UINTR=1 stray
 * ends: killed by signal 11
 * also: stray
 * ends: killed by signal 11
 */
#include "libasync/notice.h"
#include "tests/abi/lib/say.h"
#include "uapi/mman.h"

#define ID 5u
#define RING_ID 7u

static struct ring *ring;
static uint32_t last;
static bool has_page;

static void note(uint32_t id)
{
	last = id;
}

static int call(uint32_t command, int fd, uint64_t off, const void *addr)
{
	return notice_call(ring, command, fd, off, addr);
}

/* A notice that interrupts has come when the store is done, or a moment later. */
static bool came(uint32_t id, uint64_t count)
{
	if (!notice_interrupts) {
		while (notice_counts[id] < count)
			notice_wait(ring);
		return notice_counts[id] == count;
	}
	notice_on();
	for (uint64_t i = 0; i < 100000000 && notice_counts[id] < count; i++)
		async_relax();
	notice_off();
	return notice_counts[id] == count;
}

static void ask_unregistered(void)
{
	static uint64_t data[2];

	say_is("no endpoint before registering", call(SLUICE_NOTICE_CREATE, -1, ID, NULL), -ENXIO);
	say_is("no wait before registering", call(SLUICE_NOTICE_WAIT, -1, ~0ull, data), -ENXIO);
	say_is("a handler in no memory",
	       call(SLUICE_NOTICE_REGISTER, -1, 0, (void *)(uintptr_t)0x3ffffff000), -EFAULT);
	say_is("a handler in data", call(SLUICE_NOTICE_REGISTER, -1, 0, data), -EFAULT);
	say_is("a handler in the kernel's half",
	       call(SLUICE_NOTICE_REGISTER, -1, 0, (void *)(uintptr_t)0xffffffff80200000), -EFAULT);
	say_is("an unknown command", call(99, -1, 0, NULL), -EINVAL);
	say_is("upcalls without a handler",
	       call(SLUICE_NOTICE_REGISTER, -1, (uint64_t)(uintptr_t)&notice_first.area, NULL),
	       -EINVAL);
	if (ring_start_info->flags & SLUICE_START_UINTR)
		return;
	say_is("an area that is not aligned",
	       call(SLUICE_NOTICE_REGISTER, -1, (uint64_t)(uintptr_t)&notice_first.area + 8,
		    (void *)(uintptr_t)upcall_entry),
	       -EINVAL);
	say_is("an area in code",
	       call(SLUICE_NOTICE_REGISTER, -1, (uint64_t)(uintptr_t)upcall_entry & ~63ull,
		    (void *)(uintptr_t)upcall_entry),
	       -EFAULT);
	say_is("an alarm of nobody's", async_door(ring_start_info->enter_fn, SLUICE_CALL_ALARM, 0,
						  0, 0, 0, 0, 0), -ENXIO);
}

static void ask_endpoints(void)
{
	say_is("identity 0", call(SLUICE_NOTICE_CREATE, -1, 0, NULL), -EINVAL);
	say_is("identity 64", call(SLUICE_NOTICE_CREATE, -1, 64, NULL), -EINVAL);
	say_is("to post to the console", call(SLUICE_NOTICE_POST, 1, 0, NULL), -EINVAL);
	say_is("to post to nothing", call(SLUICE_NOTICE_POST, 77, 0, NULL), -EBADF);
	say_is("to connect the console", call(SLUICE_NOTICE_CONNECT, 1, 0, &last), -EINVAL);
	say_is("a ring that is none", call(SLUICE_NOTICE_RING, 1, RING_ID, NULL), -EINVAL);
	if (notice_direct)
		say_is("to wait by the kernel", call(SLUICE_NOTICE_WAIT, -1, ~0ull, &last),
		       -EOPNOTSUPP);
}

static void ask_offers(int fd)
{
	say_is("to offer to oneself", call(SLUICE_NOTICE_OFFER, fd, ID, NULL), -EINVAL);
	say_is("to offer to the console", call(SLUICE_NOTICE_OFFER, 1, ID, NULL), -EINVAL);
	say_is("to take where nothing waits", call(SLUICE_NOTICE_TAKE, fd, 0, NULL), -EAGAIN);
}

static void ask_doorbell(int fd, const struct notice_sender *s)
{
	uint64_t page = (uint64_t)(uintptr_t)s->page;

	if (!s->page) {
		say_true("no page for one who waits, or where stores are not decoded",
			 !notice_direct && (!notice_interrupts || ring_start_info->enter_fn));
		return;
	}
	ring_fill(ring_sqe(ring), IORING_OP_WRITE, 1, ~0ull, page, 8, 0, 0);
	say_is("the kernel reads no doorbell", say_wait(), -EFAULT);
	say_is("nor changes its rights",
	       ring_syscall(ring, SYS_mprotect, page, 4096, PROT_READ, 0, 0, 0), -EACCES);
	say_is("an address that is not ours",
	       call(SLUICE_NOTICE_CONNECT, fd, 0, (void *)(uintptr_t)0x3ffffff000), -EFAULT);
}

static void ask_limit(int fd)
{
	struct notice_sender s;
	unsigned n = 0;
	int res;

	if (!has_page)
		return;
	while ((res = notice_connect(ring, fd, &s)) == 0 && n < 100)
		n++;
	say_is("doorbells have a limit", res, -ENOSPC);
	say_true("of some", n >= 8 && n < 16);
}

static void ask_posts(int fd, const struct notice_sender *s)
{
	notice_send(ring, s);
	say_true("a store comes", came(ID, 1));
	say_is("as its identity", last, ID);
	say_is("a post by the ring", call(SLUICE_NOTICE_POST, fd, 0, NULL), 0);
	say_true("comes", came(ID, 2));
	notice_handle(ring, ID, NULL);
	for (unsigned i = 0; i < 10; i++)
		notice_send(ring, s);
	if (notice_interrupts) {
		notice_on();
		for (unsigned i = 0; i < 1000; i++)
			async_relax();
		notice_off();
	}
	say_is("masked, it does not come", (int64_t)notice_counts[ID], 2);
	notice_handle(ring, ID, note);
	say_true("unmasked, all ten come as one", came(ID, 3));
}

static void ask_ring(void)
{
	uint32_t *word = ring->notify;

	notice_handle(ring, RING_ID, note);
	say_is("notices for the ring", call(SLUICE_NOTICE_RING, ring->fd, RING_ID, NULL), 0);
	say_is("not armed, none came", (int64_t)notice_counts[RING_ID], 0);
	__atomic_store_n(word, SLUICE_NOTIFY_ARMED, __ATOMIC_SEQ_CST);
	ring_fill(ring_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, 0);
	say_is("armed, a NOP", say_wait(), 0);
	say_true("tells", came(RING_ID, 1));
	say_is("and takes the word", __atomic_load_n(word, __ATOMIC_SEQ_CST), 0);
	ring_fill(ring_sqe(ring), IORING_OP_NOP, -1, 0, 0, 0, 0, 0);
	say_is("the next NOP", say_wait(), 0);
	say_is("tells nobody", (int64_t)notice_counts[RING_ID], 1);
	say_is("no more for the ring", call(SLUICE_NOTICE_RING, ring->fd, 0, NULL), 0);
	__atomic_store_n(word, 0, __ATOMIC_SEQ_CST);
}

static void ask_revoked(int fd, const struct notice_sender *s)
{
	struct notice_sender again;

	say_is("revoke", notice_revoke(ring, fd), 0);
	say_is("then no post", call(SLUICE_NOTICE_POST, fd, 0, NULL), -EPIPE);
	say_is("and no doorbell", notice_connect(ring, fd, &again), -EPIPE);
	if (s->page) {
		notice_store(s->page, ID);
		notice_store(s->page, RING_ID);
		notice_on();
		for (unsigned i = 0; i < 1000; i++)
			async_relax();
		notice_off();
	}
	say_true("the old one leads nowhere", notice_counts[ID] == 3);
}

int ring_main(struct ring *native, int argc, char **argv)
{
	struct notice_sender s;
	int fd;

	ring = native;
	if (argc > 1 && argv[1][0] == 's') {
		*(volatile uint32_t *)(uintptr_t)0x28001000 = 1;
		return 3;
	}
	ask_unregistered();
	if (argc > 1)
		say_is("registering to wait", notice_start_waiting(ring), 0);
	else
		say_is("registering", notice_start(ring),
		       ring_start_info->flags & SLUICE_START_UINTR ? SLUICE_NOTICE_DIRECT
								   : SLUICE_NOTICE_UPCALLS);
	ask_endpoints();
	notice_handle(ring, ID, note);
	fd = notice_endpoint(ring, ID);
	say_true("an endpoint", fd > 3);
	say_is("connected", notice_connect(ring, fd, &s), 0);
	has_page = s.page != NULL;
	ask_offers(fd);
	ask_doorbell(fd, &s);
	ask_posts(fd, &s);
	ask_ring();
	ask_limit(fd);
	ask_revoked(fd, &s);
	return say_verdict();
}
