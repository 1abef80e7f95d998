/*
 * device: a 16550 serial port driven by this program (registers as in the National Semiconductor
 * PC16550D data sheet, section 8): /dev/uart0 is the claim, its mapping the registers.
 */
#include "port.h"

#include "uapi/mman.h"
#include "uapi/syscall.h"

#define REG_DATA 0
#define REG_IER	 1
#define REG_IIR	 2 /* read */
#define REG_FCR	 2 /* written */
#define REG_LCR	 3
#define REG_MCR	 4
#define REG_LSR	 5

#define IIR_NOTHING	 1u
#define FCR_ENABLE_CLEAR 7u
#define FCR_TRIGGER_HALF 128u /* 8 bytes of 16 */
#define LCR_EIGHT_BITS	 3u
#define MCR_READY	 11u /* DTR, RTS, OUT2: the latter lets the interrupt out */
#define LSR_INPUT	 1u
#define LSR_OVERRUN	 2u
#define LSR_OUTPUT_EMPTY 32u
#define FIFO_BYTES	 16u

#define DEVICE_PAGE 4096u

int device_fd = -1;
uint64_t device_lost;
static volatile uint8_t *device_regs;

int device_open(void)
{
	int64_t at;

	device_fd = async_open("/dev/uart0", O_RDWR);
	if (device_fd < 0) {
		async_printf("uartd: /dev/uart0 does not open: error %d%s\n", device_fd,
			     device_fd == -EBUSY ? " (somebody has it)" : "");
		return device_fd;
	}
	at = async_syscall(SYS_mmap, 0, DEVICE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			   (uint64_t)device_fd, 0);
	if ((uint64_t)at >= -(uint64_t)ERRNO_MAX) {
		async_printf("uartd: its registers cannot be mapped: error %lld\n", (long long)at);
		async_close(device_fd);
		return (int)at;
	}
	device_regs = (volatile uint8_t *)(uintptr_t)at;
	device_regs[REG_IER] = 0;
	device_regs[REG_LCR] = LCR_EIGHT_BITS;
	device_regs[REG_FCR] = FCR_ENABLE_CLEAR | FCR_TRIGGER_HALF;
	device_regs[REG_MCR] = MCR_READY;
	return 0;
}

void device_close(void)
{
	device_regs[REG_IER] = 0;
	async_close(device_fd);
}

unsigned device_take(uint8_t *buf, unsigned max)
{
	unsigned n = 0;
	uint8_t lsr;

	while (n < max && ((lsr = device_regs[REG_LSR]) & LSR_INPUT)) {
		device_lost += (lsr & LSR_OVERRUN) != 0;
		buf[n++] = device_regs[REG_DATA];
	}
	return n;
}

unsigned device_give(const uint8_t *buf, size_t len)
{
	unsigned n = 0;

	if (!(device_regs[REG_LSR] & LSR_OUTPUT_EMPTY))
		return 0;
	while (n < len && n < FIFO_BYTES)
		device_regs[REG_DATA] = buf[n++];
	return n;
}

void device_interrupts(uint8_t wanted)
{
	device_regs[REG_IER] = wanted;
}

bool device_asks(void)
{
	return !(device_regs[REG_IIR] & IIR_NOTHING);
}
