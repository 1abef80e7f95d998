/*
 * uart16550: a 16550 serial port (register names as in the National Semiconductor PC16550D data
 * sheet, section 8): the console until another device takes that over, and from then on a port for
 * programs (drivers/serial.h).
 *
 * Console: output is polled, a FIFO's worth at a time, by whoever holds the console's lock. Input
 * belongs to the owner core: its interrupt is on for ever and wakes the core; while awake the core
 * looks at the port every LOOK_TURNS turns only, since a device register costs far more than
 * memory. A core that also runs user threads looks in every turn: it may not have many.
 *
 * Port: bytes move in blocks, up to a FIFO's worth at a time in each direction, by the owner core
 * alone. Its interrupts are on for sleep: input at half a FIFO (or when the line falls silent),
 * output when the FIFO is empty and there is more.
 */
#include "drivers/virtio/uart16550.h"

#include "base/print.h"
#include "drivers/console.h"
#include "drivers/serial.h"

#define REG_DATA 0
#define REG_IER 1
#define IER_INPUT 1u
#define IER_OUTPUT_EMPTY 2u
#define REG_FCR 2
#define FCR_ENABLE_CLEAR 7u
#define FCR_TRIGGER_HALF 128u /* 8 bytes of 16 */
#define REG_LCR 3
#define LCR_EIGHT_BITS 3u
#define REG_MCR 4
#define MCR_READY 11u /* DTR, RTS, OUT2: the latter lets the interrupt out */
#define REG_LSR 5
#define LSR_INPUT 1u
#define LSR_OVERRUN 2u
#define LSR_OUTPUT_EMPTY 32u

#define FIFO_BYTES 16u
#define LOOK_TURNS 256u
#define LOOK_TURNS_PORT 16u /* while a program reads or writes it */
#define INPUT_MAX 256u /* bytes per poll */

struct uart {
	struct console_dev console;
	struct serial_port port;
	struct device_poller poller;
	volatile uint8_t *regs;
	unsigned shift;
	uint32_t look_mask;
	/* owner core only */
	bool woken;	/* look now */
	bool listening; /* as a port: input is wanted */
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

static bool uart_is_console(const struct uart *u)
{
	return console_device() == &u->console;
}

/* ---- as a port ------------------------------------------------------------------------------- */

static bool port_is_console(struct serial_port *p)
{
	return uart_is_console(container_of(p, struct uart, port));
}

static void port_put(struct serial_port *p, uint8_t byte)
{
	if (!serial_room(&p->in)) {
		p->lost++;
		return;
	}
	p->in.bytes[p->in.tail++ & (SERIAL_RING_BYTES - 1)] = (char)byte;
}

/* What the device has, and as much as it takes. Returns bytes moved. */
static unsigned port_move(struct uart *u)
{
	struct serial_port *p = &u->port;
	unsigned in = 0, out = 0;
	uint8_t lsr = uart_read(u, REG_LSR);

	while (u->listening && in < INPUT_MAX && (lsr & LSR_INPUT)) {
		p->lost += (lsr & LSR_OVERRUN) != 0;
		port_put(p, uart_read(u, REG_DATA));
		in++;
		lsr = uart_read(u, REG_LSR);
	}
	if (lsr & LSR_OUTPUT_EMPTY)
		while (out < FIFO_BYTES && serial_count(&p->out)) {
			uart_write(u, REG_DATA,
				   (uint8_t)p->out.bytes[p->out.head++ & (SERIAL_RING_BYTES - 1)]);
			out++;
		}
	if (in + out)
		serial_changed(p);
	return in + out;
}

static unsigned port_poll(struct uart *u)
{
	if (!u->listening && !serial_count(&u->port.out))
		return 0;
	if ((this_core()->turn & u->look_mask & (LOOK_TURNS_PORT - 1)) && !u->woken)
		return 0;
	u->woken = false;
	return port_move(u);
}

/* The interrupts that sleep needs; true if what they would tell has happened already. */
static bool port_arm(struct uart *u)
{
	bool more = serial_count(&u->port.out);
	uint8_t lsr;

	if (!u->listening && !more)
		return false;
	u->woken = true;
	uart_write(u, REG_IER, (uint8_t)((u->listening ? IER_INPUT : 0) |
					 (more ? IER_OUTPUT_EMPTY : 0)));
	lsr = uart_read(u, REG_LSR);
	return (u->listening && (lsr & LSR_INPUT)) || (more && (lsr & LSR_OUTPUT_EMPTY));
}

static void port_listen(struct serial_port *p, bool on)
{
	struct uart *u = container_of(p, struct uart, port);

	u->listening = on;
	uart_write(u, REG_IER, 0);
	if (on)
		uart_write(u, REG_FCR, FCR_ENABLE_CLEAR | FCR_TRIGGER_HALF);
	else
		p->in.head = p->in.tail;
}

static void port_reclaim(struct serial_port *p)
{
	struct uart *u = container_of(p, struct uart, port);

	uart_write(u, REG_IER, 0);
	uart_write(u, REG_LCR, LCR_EIGHT_BITS); /* also ends access to the divisor */
	uart_write(u, REG_FCR, FCR_ENABLE_CLEAR);
	uart_write(u, REG_MCR, MCR_READY);
	if (p->irq && arch_irq_route(p->irq, p->core))
		kprint("uart: its interrupt did not come back\n");
}

/* ---- as whatever it is ----------------------------------------------------------------------- */

static noinline_fn unsigned uart_poll_else(struct uart *u)
{
	return uart_is_console(u) ? console_drain() : port_poll(u);
}

static unsigned uart_poll(struct device_poller *p)
{
	struct uart *u = container_of(p, struct uart, poller);

	if (unlikely(console_has_output() || !uart_is_console(u)))
		return uart_poll_else(u);
	if (likely((this_core()->turn & u->look_mask) && !u->woken))
		return 0;
	u->woken = false;
	return unlikely(uart_read(u, REG_LSR) & LSR_INPUT) ? uart_input(u) : 0;
}

static bool uart_arm(struct device_poller *p)
{
	struct uart *u = container_of(p, struct uart, poller);

	if (!uart_is_console(u))
		return port_arm(u);
	u->woken = true;
	return (uart_read(u, REG_LSR) & LSR_INPUT) || console_has_output();
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
	u->port = (struct serial_port){ .name = "ttyS0",
					.device = "uart0",
					.core = core,
					.base = base,
					.irq = irq,
					.listen = port_listen,
					.reclaim = port_reclaim,
					.is_console = port_is_console };
	device_poller_add(core, &u->poller);
	serial_attach(&u->port);
	console_attach(&u->console);
	if (irq && arch_irq_route(irq, core) == 0)
		uart_write(u, REG_IER, IER_INPUT);
	else
		kprint("uart: no interrupt: input is seen while the core is awake only\n");
	kprint("console: uart16550 at %#llx, core %u\n", (unsigned long long)base, core);
}
