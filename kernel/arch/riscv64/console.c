/*
 * console: the last resort for words, the way out of the machine, the wall clock and boot-time
 * entropy.
 *
 * The 16550 named by the device tree, polled, one byte at a time; before it is known, or where
 * there is none, the firmware's console. Any core. A short lock keeps lines apart; a core that
 * waits too long for it (its holder died) goes on without.
 */
#include "arch/riscv64/devices.h"

#include <stdatomic.h>

#include "arch/riscv64/hart.h"
#include "base/panic.h"

#define UART_DATA 0
#define UART_LINE_STATUS 5
#define UART_HAS_DATA 0x01
#define UART_CAN_SEND 0x20

#define LOCK_SPINS 1000000u

/* SiFive test device: status << 16 | 0x3333 fails, 0x5555 passes */
#define FINISH_FAIL 0x3333u
#define FINISH_PASS 0x5555u
#define FINISH_WAIT_NS 5000000000ull

#define RTC_LOW 0 /* reading it holds the high half */
#define RTC_HIGH 1

/* set once at boot */
static volatile uint8_t *uart;
static volatile uint32_t *finisher, *rtc;
static uint64_t seed[4];

/* any core, atomic */
static atomic_flag console_lock = ATOMIC_FLAG_INIT;
static _Atomic uint64_t entropy_taken;

void console_set_uart(paddr_t base)
{
	uart = arch_direct(base);
}

void console_set_finisher(paddr_t base)
{
	finisher = arch_direct(base);
}

void console_set_rtc(paddr_t base)
{
	rtc = arch_direct(base);
}

static void console_put(char c)
{
	if (!uart) {
		sbi_call(SBI_PUTCHAR, 0, (uint8_t)c, 0, 0, 0, 0);
		return;
	}
	while (!(uart[UART_LINE_STATUS] & UART_CAN_SEND))
		arch_relax();
	uart[UART_DATA] = (uint8_t)c;
}

void arch_console_write(const char *text, size_t len)
{
	unsigned spins = 0;

	while (atomic_flag_test_and_set_explicit(&console_lock, memory_order_acquire) &&
	       spins++ < LOCK_SPINS)
		arch_relax();
	for (size_t i = 0; i < len; i++)
		console_put(text[i]);
	atomic_flag_clear_explicit(&console_lock, memory_order_release);
}

int arch_console_read(void)
{
	if (!uart) {
		int64_t c = sbi_call(SBI_GETCHAR, 0, 0, 0, 0, 0, 0).error;

		return c >= 0 ? (int)c : -1;
	}
	return uart[UART_LINE_STATUS] & UART_HAS_DATA ? uart[UART_DATA] : -1;
}

noreturn_fn void arch_poweroff(int status)
{
	/* The test device alone can hand a status to whoever started the machine. QEMU from 9 on
	 * ends later, in a thread of its own, with what it was told last: the firmware, which would
	 * tell it that all went well, is asked only where the device does nothing. */
	if (finisher) {
		nsec_t asked = arch_time_ns();

		*finisher = status ? (uint32_t)status << 16 | FINISH_FAIL : FINISH_PASS;
		while (arch_time_ns() - asked < FINISH_WAIT_NS)
			arch_relax();
	}
	sbi_call(SBI_SRST, 0, 0, status != 0, 0, 0, 0);
	hart_halt();
}

uint64_t arch_wall_boot_ns(void)
{
	uint64_t low;

	if (!rtc)
		return 0;
	low = rtc[RTC_LOW];
	return ((uint64_t)rtc[RTC_HIGH] << 32 | low) - arch_time_ns();
}

void console_set_seed(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++)
		seed[i / 8 % 4] = (seed[i / 8 % 4] << 8 | seed[i / 8 % 4] >> 56) ^ p[i];
}

/* Finalizer of a 64-bit mixing generator (Steele, Lea, Flood 2014): every input bit reaches every
 * output bit. The strength is the seed's; this only spreads it. */
static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t arch_entropy(void)
{
	uint64_t n = atomic_fetch_add_explicit(&entropy_taken, 1, memory_order_relaxed);

	return mix(seed[n % 4] + mix(n ^ arch_ticks()));
}
