/*
 * user: what trap.S calls in user.c, and what user.c needs of aspace.c. Runs on the core
 * concerned.
 */
#ifndef ARCH_RISCV64_USER_H
#define ARCH_RISCV64_USER_H

#include "arch/riscv64/hart.h"

/* Makes `user` the loaded thread of this hart. */
void hart_load_user(struct arch_user *user, struct aspace *as);
/* What a trap other than an environment call was: an arch_exit_kind, or negative: go on. */
int hart_user_trapped(struct arch_user *user, uint64_t cause, struct arch_exit *exit);
/* A trap taken in the kernel. On the emergency stack. */
noreturn_fn void trap_panic(struct arch_hart *h);

/* Makes satp, or hgatp, name `as`: true if it is hgatp. Back to the kernel's own root. */
bool satp_load(struct arch_hart *h, struct aspace *as);
void satp_unload(struct arch_hart *h);
/* This hart keeps no translation of `as`, and shootdowns need not ask it, until it loads it
 * again. */
void satp_forget(struct arch_hart *h, struct aspace *as);
/* Finds out how many ASIDs there are. Boot hart. */
void satp_probe(void);

#endif
