/*
 * What if more programs receive notices on a hart than it has mailboxes? Each still gets its own
 * and no other's: what comes while a program's mailbox is put away waits for it, and masks and
 * doorbells move along.
 *
 * env: SLUICE_UINTR=1
 * also: SLUICE_UINTR=1 2
 * also: SLUICE_UINTR=1 3
 * also: SLUICE_UINTR=1 4
 * also: SLUICE_UINTR=1 5
 * also: SLUICE_UINTR=1 6
 * also: SLUICE_UINTR=1 7
 * also: SLUICE_UINTR=1 8
 * also: SLUICE_UINTR=1 9
 * also: SLUICE_UINTR=1 10
 * also: SLUICE_UINTR=1 11
 * also: SLUICE_UINTR=1 12
 * also: SLUICE_UINTR=1 13
 * also: SLUICE_UINTR=1 14
 * also: SLUICE_UINTR=1 15
 * also: SLUICE_UINTR=1 16
 * also: SLUICE_UINTR=1 17
 * also: SLUICE_UINTR=1 18
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 */
#include "libasync/notice.h"
#include "tests/abi/lib/say.h"

#define ROUNDS 60u

static void note(uint32_t id)
{
	(void)id;
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	uint32_t own = 1, masked = 60;
	struct notice_sender self;
	struct { int64_t sec, nsec; } pause = { 0, 300000 };
	int fd, wrong = 0;

	if (argc > 1)
		for (own = 0; *argv[1]; argv[1]++)
			own = own * 10 + (uint32_t)(*argv[1] - '0');
	if (notice_start(ring) < 0)
		ring_die(ring, "notice_many: not registered\n");
	for (uint32_t id = 1; id < SLUICE_NOTICE_IDS; id++)
		if (id != masked)
			notice_handle(ring, id, note);
	fd = notice_endpoint(ring, own);
	if (fd < 0 || notice_connect(ring, fd, &self))
		ring_die(ring, "notice_many: not connected\n");
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		/* by the kernel, which finds us running, waiting or put away; or by a store */
		if (i % 3)
			wrong |= notice_call(ring, SLUICE_NOTICE_POST, fd, 0, NULL);
		else
			notice_send(ring, &self);
		/* others take the mailbox: what is pending goes away with it, and comes back */
		ring_syscall(ring, SYS_nanosleep, (uint64_t)(uintptr_t)&pause, 0, 0, 0, 0, 0);
		while (notice_counts[own] < i)
			notice_wait(ring);
		wrong |= notice_counts[own] != i;
	}
	if (self.page) {
		notice_store(self.page, masked);
		ring_syscall(ring, SYS_nanosleep, (uint64_t)(uintptr_t)&pause, 0, 0, 0, 0, 0);
		wrong |= notice_claim() != 0;
		notice_handle(ring, masked, note);
		notice_wait(ring);
		wrong |= notice_counts[masked] != 1;
	}
	for (uint32_t id = 1; id < SLUICE_NOTICE_IDS; id++)
		wrong |= id != own && id != masked && notice_counts[id] != 0;
	say_true("each gets its own", !wrong);
	return say_verdict();
}
