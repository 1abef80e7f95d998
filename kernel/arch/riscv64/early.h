/*
 * early: the kernel's own page tables. early_map runs before translation is on; the other two on
 * the boot hart, before another hart is started.
 */
#ifndef ARCH_RISCV64_EARLY_H
#define ARCH_RISCV64_EARLY_H

#include "base/types.h"

/* The kernel's root table; its upper half is copied into every user root. Set once at boot. */
extern uint64_t kernel_root[512];
/* The satp value that names it. */
extern uint64_t early_satp;

/* Builds the tables (first 4 GiB, the device tree's GiB, the image, the first stack); returns
 * early_satp. */
uint64_t early_map(paddr_t fdt);
/* Adds the GiB that holds `pa` to the direct map. */
void early_map_direct(paddr_t pa);
/* Maps the stacks of one more core. */
void early_map_slot(unsigned slot);

#endif
