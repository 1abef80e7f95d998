/*
 * uart16550: the serial port of the machine, as a console.
 */
#ifndef DRIVERS_VIRTIO_UART16550_H
#define DRIVERS_VIRTIO_UART16550_H

#include "base/types.h"

/* Takes the port at `base` (registers 2^shift bytes apart), interrupt source `irq` (0: none), for
 * `core`, and attaches it as the console. Boot core. */
void uart_probe(paddr_t base, unsigned shift, uint32_t irq, uint32_t core);

#endif
