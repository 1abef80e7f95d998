/*
 * devices: what the device-tree scan tells console.c. Boot hart, once.
 */
#ifndef ARCH_RISCV64_DEVICES_H
#define ARCH_RISCV64_DEVICES_H

#include "base/types.h"

void console_set_uart(paddr_t base);	 /* 16550 */
void console_set_finisher(paddr_t base); /* "sifive,test0": ends the machine with a status */
void console_set_rtc(paddr_t base);	 /* "google,goldfish-rtc": wall clock, ns since 1970 */
void console_set_seed(const void *bytes, size_t len);

#endif
