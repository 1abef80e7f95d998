/*
 * signal: a thread's registers in a signal frame, and out of it (uapi/sigframe.h). The thread is
 * parked and settled, so that all of this is memory; on the core that serves it, any.
 *
 * A frame is its program's memory: what comes from it are the program's own registers, pc, x1 to
 * x31, f0 to f31 and fcsr. sstatus and hstatus are not in it, and a pc where the program may not be
 * is met by the same fault as a jump there.
 */
#include <string.h>

#include "arch/riscv64/arch_machine.h"
#include "uapi/sigframe.h"

#define FCSR_BITS 0xffu /* the rest must be kept 0 (Unprivileged ISA 20191213, section 11.2) */

void arch_signal_save(const struct arch_user *user, struct sigframe *frame)
{
	memcpy(frame->regs, user->x, sizeof(frame->regs));
	memcpy(frame->f, user->f, sizeof(frame->f));
	frame->fcsr = (uint32_t)user->fcsr;
}

void arch_signal_restore(struct arch_user *user, const struct sigframe *frame)
{
	memcpy(user->x, frame->regs, sizeof(user->x));
	memcpy(user->f, frame->f, sizeof(user->f));
	user->fcsr = frame->fcsr & FCSR_BITS;
}

void arch_signal_enter(struct arch_user *user, uaddr_t handler, uaddr_t at, uint64_t signo,
		       uaddr_t context, uaddr_t ret)
{
	user->x[0] = handler;
	user->x[1] = ret;
	user->x[2] = at;
	user->x[10] = signo;
	user->x[11] = at;
	user->x[12] = context;
}
