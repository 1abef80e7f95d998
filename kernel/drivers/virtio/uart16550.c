/*
 * uart16550: a 16550 serial port (register names as in the National Semiconductor PC16550D data
 * sheet, section 8).
 *
 * Output is polled, a FIFO's worth at a time, by whoever holds the console's lock. Input belongs to
 * the owner core: its interrupt is on for ever and wakes the core; while awake the core looks at
 * the port every LOOK_TURNS turns only, since a device register costs far more than memory. A core
 * that also runs user threads looks in every turn: it may not have many.
 */
#include "drivers/virtio/uart16550.h"

#include "base/print.h"
#include "drivers/console.h"

#define REG_DATA 0
#define REG_IER 1
#define IER_INPUT 1u
#define REG_FCR 2
#define FCR_ENABLE_CLEAR 7u
#define REG_MCR 4
#define MCR_READY 11u /* DTR, RTS, OUT2: the latter lets the interrupt out */
#define REG_LSR 5
#define LSR_INPUT 1u
#define LSR_OUTPUT_EMPTY 32u

#define FIFO_BYTES 16u
#define LOOK_TURNS 256u
#define INPUT_MAX 256u /* bytes per poll */

struct uart {
	struct console_dev console;
	struct device_poller poller;
	volatile uint8_t *regs;
	unsigned shift;
	uint32_t look_mask;
	bool woken; /* owner core only: look now */
};

static struct uart uart; /* a machine's one console port */

static uint8_t uart_read(struct uart *u, unsigned reg)
{
	return u->regs[reg << u->shift];
}

static void uart_write(struct uart *u, unsigned reg, uint8_t value)
{
	u->regs[reg << u->shift] = value;
}

static size_t uart_output(struct console_dev *d, const char *text, size_t len)
{
	struct uart *u = container_of(d, struct uart, console);
	size_t i;

	if (!(uart_read(u, REG_LSR) & LSR_OUTPUT_EMPTY))
		return 0;
	for (i = 0; i < len && i < FIFO_BYTES; i++)
		uart_write(u, REG_DATA, (uint8_t)text[i]);
	return i;
}

static noinline_fn unsigned uart_input(struct uart *u)
{
	char bytes[INPUT_MAX];
	unsigned n = 0;

	while (n < INPUT_MAX && (uart_read(u, REG_LSR) & LSR_INPUT))
		bytes[n++] = (char)uart_read(u, REG_DATA);
	if (n)
		console_take(bytes, n);
	return n;
}

static noinline_fn unsigned uart_drain(struct uart *u)
{
	return console_device() == &u->console ? console_drain() : 0;
}

static unsigned uart_poll(struct device_poller *p)
{
	struct uart *u = container_of(p, struct uart, poller);

	if (unlikely(console_has_output()))
		return uart_drain(u);
	if (likely((this_core()->turn & u->look_mask) && !u->woken))
		return 0;
	u->woken = false;
	return unlikely(uart_read(u, REG_LSR) & LSR_INPUT) ? uart_input(u) : 0;
}

static bool uart_arm(struct device_poller *p)
{
	struct uart *u = container_of(p, struct uart, poller);

	u->woken = true;
	return (uart_read(u, REG_LSR) & LSR_INPUT) ||
	       (console_device() == &u->console && console_has_output());
}

void uart_probe(paddr_t base, unsigned shift, uint32_t irq, uint32_t core)
{
	struct uart *u = &uart;

	if (u->regs) {
		kprint("uart at %#llx left alone: there is a console already\n",
		       (unsigned long long)base);
		return;
	}
	u->regs = arch_direct(base);
	u->shift = shift;
	u->look_mask = (cores[core]->roles & ROLE_USER) ? 0 : LOOK_TURNS - 1;
	uart_write(u, REG_IER, 0);
	uart_write(u, REG_FCR, FCR_ENABLE_CLEAR);
	uart_write(u, REG_MCR, MCR_READY);
	u->poller = (struct device_poller){.poll = uart_poll, .arm = uart_arm};
	u->console = (struct console_dev){.name = "uart16550", .core = core, .write = uart_output};
	device_poller_add(core, &u->poller);
	console_attach(&u->console);
	if (irq && arch_irq_route(irq, core) == 0)
		uart_write(u, REG_IER, IER_INPUT);
	else
		kprint("uart: no interrupt: input is seen while the core is awake only\n");
	kprint("console: uart16550 at %#llx, core %u\n", (unsigned long long)base, core);
}
