/*
 * kernel: the serial port by the kernel's own driver: /dev/ttyS0, a block per read and per write.
 */
#include "port.h"

static int kernel_fd = -1;

static int kernel_open(void)
{
	kernel_fd = async_open("/dev/ttyS0", O_RDWR);
	if (kernel_fd < 0)
		async_printf("uartd: /dev/ttyS0 does not open: error %d%s\n", kernel_fd,
			     kernel_fd == -EBUSY ? " (it is the console)" : "");
	return kernel_fd < 0 ? kernel_fd : 0;
}

static int64_t kernel_read(uint8_t *buf)
{
	return async_read(kernel_fd, buf, PORT_READ_MAX);
}

static int64_t kernel_write(const uint8_t *buf, size_t len)
{
	return async_write_all(kernel_fd, buf, len);
}

/* The kernel counts them; a program sees them as a gap. */
static uint64_t kernel_lost(void)
{
	return 0;
}

static void kernel_close(void)
{
	async_close(kernel_fd);
}

const struct port port_kernel = { .name = "kernel",
				  .open = kernel_open,
				  .read = kernel_read,
				  .write = kernel_write,
				  .lost = kernel_lost,
				  .close = kernel_close };
