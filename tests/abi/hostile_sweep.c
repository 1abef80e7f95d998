/*
 * What if a program executes everything that is none of its business: a read and a write of every
 * privileged CSR, and every privileged instruction? Each is refused with signal 4; what a program
 * with user interrupts may do to the registers of its own mode harms it alone: children do that, on
 * the hart of their parent, who goes on and knows the time. Asked of both kinds of program.
 *
 * boot: policy=static
 */
#include "tests/abi/lib/text.h"
#include "uapi/mman.h"
#include "uapi/sigframe.h"
#include "uapi/wait.h"

#define SELF "/bin/t_hostile_sweep"

static uint64_t at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* Ends of a child: its status, or its signal + 1000. */
static int32_t child_end(const char *how, uint64_t what, const char *kind)
{
	static struct wait_info info;
	int32_t fds[] = { 0, 1, 2 };
	uint32_t core = 0, node;
	const char *words[] = { SELF, how, text_digits(what), kind, NULL };
	const char *environment[] = { kind, NULL };
	struct sluice_spawn ask = {
		.size = sizeof(ask),
		.fd_count = 3,
		.path = at(SELF),
		.argv = at(words),
		.envp = at(environment),
		.fds = at(fds),
		.home = SLUICE_ANY_CORE,
	};
	struct io_uring_sqe *sqe;
	int64_t pid;

	ring_syscall(&ring_native, SYS_getcpu, at(&core), at(&node), 0, 0, 0, 0);
	ask.user_core = core;
	ring_fill(ring_sqe(&ring_native), IORING_OP_SPAWN, 0, 0, at(&ask), sizeof(ask), 0, 0);
	pid = say_wait();
	if (pid < 0)
		return (int32_t)pid;
	sqe = ring_sqe(&ring_native);
	ring_fill(sqe, IORING_OP_WAITID, (int32_t)pid, at(&info), 0, P_PID, 0, 0);
	sqe->file_index = WEXITED;
	if (say_wait())
		return -1;
	return info.si_code == CLD_EXITED ? info.si_status : 1000 + info.si_status;
}

static bool answers(void)
{
	uint64_t from = ring_start_info->time_hz ? async_ticks_read() : 0;

	ring_fill(ring_sqe(&ring_native), IORING_OP_NOP, -1, 0, 0, 0, 0, 0);
	return !say_wait() && (!ring_start_info->time_hz || async_ticks_read() > from);
}

#ifdef __riscv

#define CSRS 4096u
#define CSRR(csr) ((csr) << 20 | 0x2573u)  /* csrr a0, csr */
#define CSRW(csr) ((csr) << 20 | 0x51073u) /* csrw csr, a0 */
#define RET 0x8067u
#define CODE_BYTES (2ull * CSRS * 8)
#define BYTES_OF(n) (((n) * 8 + 4095) / 4096 * 4096)

/* R-type of the SYSTEM opcode, rs1 a0, rd or rs2 as said. */
#define SYSTEM(funct7, rs2, funct3, rd)                                                            \
	((funct7) << 25 | (rs2) << 20 | 10u << 15 | (funct3) << 12 | (rd) << 7 | 0x73u)
#define HLV(n, kind) SYSTEM(0x30u + (n), kind, 4u, 11u)
#define HSV(n) SYSTEM(0x31u + (n), 11u, 4u, 0u)

/* Refused in either mode. Hypervisor extension 1.0, chapter 8.3; Privileged Architecture, 3.3. */
static const uint32_t refused[] = {
	HLV(0, 0u), HLV(0, 1u), HLV(2, 0u), HLV(2, 1u), HLV(2, 3u), HLV(4, 0u), HLV(4, 1u),
	HLV(4, 3u), HLV(6, 0u), HSV(0), HSV(2), HSV(4), HSV(6),
	SYSTEM(0x11u, 0u, 0u, 0u), /* hfence.vvma */
	SYSTEM(0x31u, 0u, 0u, 0u), /* hfence.gvma */
	SYSTEM(0x09u, 0u, 0u, 0u), /* sfence.vma: hstatus.VTVM */
	0x12000073,		   /* sfence.vma, all of it */
	0x30200073,		   /* mret */
	0x7b200073,		   /* dret */
};
/* Children's: sret, wfi. */
static const uint32_t own[] = { 0x10200073, 0x10500073 };

static volatile uint32_t refusals;

/* Goes on behind the instruction. Integer code. */
static void refuse(int signo, void *info, void *context)
{
	struct sigframe *f = (struct sigframe *)info;

	(void)signo, (void)context;
	refusals++;
	f->regs[0] += 4;
}

static uint32_t *code;

/* `n` instructions, a return behind each, in pages that then may be executed. */
static void code_make(const uint32_t *insns, uint32_t n)
{
	int64_t page = ring_syscall(&ring_native, SYS_mmap, 0, BYTES_OF(n),
				    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				    (uint64_t)-1, 0);

	if (page <= 0)
		ring_die(&ring_native, "hostile_sweep: no memory\n");
	code = (uint32_t *)(uintptr_t)page;
	for (uint32_t i = 0; i < n; i++) {
		code[2 * i] = insns[i];
		code[2 * i + 1] = RET;
	}
	if (ring_syscall(&ring_native, SYS_mprotect, (uint64_t)page, BYTES_OF(n),
			 PROT_READ | PROT_EXEC, 0, 0, 0))
		ring_die(&ring_native, "hostile_sweep: not executable\n");
	__asm__ volatile(".4byte 0x100f" ::: "memory"); /* fence.i */
}

/* Executes one, a0 being `value`. True: refused. */
static bool run(uint32_t index, uint64_t value)
{
	register uint64_t a0 __asm__("a0") = value;
	register uint32_t *to __asm__("a2") = code + 2 * index;
	uint32_t was = refusals;

	__asm__ volatile("jalr ra, 0(%1)"
			 : "+r"(a0), "+r"(to)::"ra", "a1", "memory");
	return refusals != was;
}

static void handle(void)
{
	struct sigaction_in act = { .handler = at((const void *)(uintptr_t)refuse), .flags = 4 };

	if (ring_syscall(&ring_native, SYS_rt_sigaction, SIGNAL_ILL, at(&act), 0, 8, 0, 0))
		ring_die(&ring_native, "hostile_sweep: no handler\n");
}

static uint32_t insns[2 * CSRS], names[2 * CSRS];

/* Sweeps in this process; the registers that it may read are its own, and those it leaves alone.
 * How many of the others were not refused. */
static int sweep(bool vs)
{
	uint32_t n = 0, reads, wrong = 0, opens = 0;
	static bool open[CSRS];

	for (uint32_t csr = 0; csr < CSRS; csr++)
		if (csr >> 8 & 3) {
			names[n] = csr;
			insns[n++] = CSRR(csr);
		}
	reads = n;
	for (uint32_t i = 0; i < reads; i++)
		insns[n++] = CSRW(names[i]);
	for (uint32_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		insns[n++] = refused[i];
	code_make(insns, n);
	handle();
	for (uint32_t i = 0; i < n; i++) {
		uint32_t csr = i < 2 * reads ? names[i % reads] : 0;

		if (i >= reads && i < 2 * reads && open[csr])
			continue; /* a child's: below */
		if (run(i, at(&n)))
			continue;
		if (i < reads && vs && (csr >> 8 & 3) == 1) {
			open[csr] = true;
			opens++;
			continue;
		}
		wrong++;
		say("not refused: ");
		say_number((int64_t)insns[i]);
		say("\n");
	}
	if (wrong)
		return 1;
	if (!vs)
		return 0;
	/* to whom they belong, and nobody else, it may do anything */
	for (uint32_t csr = 0; csr < CSRS; csr++)
		for (uint64_t way = 0; open[csr] && way < 2; way++) {
			int32_t end = child_end("write", way << 12 | csr, "SLUICE_UINTR=1");

			if ((end && end != 1004 && end != 1005 && end != 1007 && end != 1011) ||
			    !answers()) {
				say("a write's end: ");
				say_number(csr);
				say(" ");
				say_number(end);
				say("\n");
				wrong++;
			}
		}
	say("registers of its own: ");
	say_number(opens);
	say("\n");
	return wrong || !opens;
}

/* A child that writes a register of its own, or executes what may be its own. */
static int misbehave(uint32_t insn, uint64_t value)
{
	code_make(&insn, 1);
	run(0, value);
	return !answers();
}

static int child(const char *how, uint64_t what)
{
	if (how[0] == 's')
		return sweep(ring_start_info->flags & SLUICE_START_UINTR);
	if (how[0] == 'w')
		return misbehave(CSRW((uint32_t)(what & (CSRS - 1))), what >> 12 ? ~0ull : 0);
	if (how[0] == 'r')
		return misbehave(refused[what], at(&how));
	if (ring_start_info->flags & SLUICE_START_UINTR) /* a wfi has what to wake up for */
		__asm__ volatile("csrs sie, %0\n\tcsrw 0x14d, zero" ::"r"(1ul << 5));
	return misbehave(own[what], 0);
}

static void ask(const char *kind, bool vs)
{
	bool good = true;
	int32_t end;

	say(kind);
	say("\n");
	say_is("every CSR and instruction", child_end("sweep", 0, kind), 0);
	for (uint32_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		good &= child_end("refused", i, kind) == 1004 && answers();
	say_true("each instruction kills who has no handler, and nobody else", good);
	for (uint32_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		end = child_end("own", i, kind);
		if (!vs)
			say_is(i ? "wfi" : "sret", end, 1004);
		else
			say_true(i ? "wfi" : "sret", end == 0 || end >= 1004);
	}
	say_true("the parent lives and knows the time", answers());
}

#else

static int child(const char *how, uint64_t what)
{
	(void)how;
	switch (what) {
	case 0: __asm__ volatile("hlt"); break;
	case 1: __asm__ volatile("cli"); break;
	case 2: __asm__ volatile("in $0x80, %%al" ::: "eax"); break;
	case 3: __asm__ volatile("wrmsr" ::"a"(0), "d"(0), "c"(0x10)); break;
	case 4: __asm__ volatile("mov %0, %%cr3" ::"r"(0ull)); break;
	}
	return 3;
}

static void ask(const char *kind, bool vs)
{
	(void)vs;
	for (uint64_t i = 0; i < 5; i++)
		say_is("a privileged instruction", child_end("x", i, kind), 1011);
	say_true("the parent lives and knows the time", answers());
}

#endif

int ring_main(struct ring *ring, int argc, char **argv)
{
	(void)ring;
	if (argc > 2)
		return child(argv[1], text_number(argv[2]));
	ask("SLUICE_UINTR=1", true);
	ask("SLUICE_UINTR=0", false);
	return say_verdict();
}
