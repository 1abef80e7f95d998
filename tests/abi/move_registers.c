/*
 * Does a thread keep every register when it moves to another core at any moment, those of floating
 * point and their control word included, though a core saves these only when it must? Four programs
 * with different patterns change cores every 100 us; some of them use no floating point for a
 * while, so that a core still holds what they had there before.
 *
 * boot: shuffle_us=100
 * also: 2
 * also: 3
 * also: 4
 * ends: exit status 0
 * ends: exit status 0
 * ends: exit status 0
 */
#include "tests/abi/lib/moves.h"

#define MOVES 2000

#ifdef __riscv
#define REGS 32
#define EACH(op)                                                                                   \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13)    \
	op(14) op(15) op(16) op(17) op(18) op(19) op(20) op(21) op(22) op(23) op(24) op(25) op(26) \
	op(27) op(28) op(29) op(30) op(31)
#define LOAD(n) "fld f" #n ", 8*" #n "(%[in])\n\t"
#define STORE(n) "fsd f" #n ", 8*" #n "(%[out])\n\t"
#define CLOBBER                                                                                    \
	"ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2", \
		"fa3", "fa4", "fa5", "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7",       \
		"fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11"
/* A rounding mode and exception flags (Unprivileged ISA 20191213, section 11.2). */
#define CONTROL(who) ((uint64_t)(who) % 5 << 5 | ((uint64_t)(who) * 5 & 31))

static void keep(const double *in, double *out, uint64_t control, uint64_t *kept, uint64_t spin)
{
	__asm__ volatile("fscsr x0, %[control]\n\t" EACH(LOAD)
			 "1: addi %[spin], %[spin], -1\n\t"
			 "bnez %[spin], 1b\n\t" EACH(STORE) "frcsr %[kept]\n\t"
			 "fscsr x0, x0"
			 : [kept] "=&r"(*kept), [spin] "+&r"(spin)
			 : [in] "r"(in), [out] "r"(out), [control] "r"(control)
			 : "memory", CLOBBER);
}
#else
#define REGS 16
#define EACH(op)                                                                                   \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13)    \
	op(14) op(15)
#define LOAD(n) "movsd 8*" #n "(%[in]), %%xmm" #n "\n\t"
#define STORE(n) "movsd %%xmm" #n ", 8*" #n "(%[out])\n\t"
#define CLOBBER "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
		"xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
/* All exceptions masked, a rounding mode and flags (Intel SDM volume 1, 10.2.3). */
#define CONTROL(who) (0x1f80u | ((uint64_t)(who) & 3) << 13 | ((uint64_t)(who) * 5 & 31))

static void keep(const double *in, double *out, uint64_t control, uint64_t *kept, uint64_t spin)
{
	uint32_t set = (uint32_t)control, got = 0, plain = 0x1f80;

	__asm__ volatile("ldmxcsr %[set]\n\t" EACH(LOAD) "1: dec %[spin]\n\t"
			 "jnz 1b\n\t" EACH(STORE) "stmxcsr %[got]\n\t"
			 "ldmxcsr %[plain]"
			 : [got] "+m"(got), [spin] "+&r"(spin)
			 : [in] "r"(in), [out] "r"(out), [set] "m"(set), [plain] "m"(plain)
			 : "memory", CLOBBER);
	*kept = got;
}
#endif

/* Values in every other register, across a loop that is interrupted. */
static bool keep_integers(uint64_t who, uint64_t spin)
{
	uint64_t a = who * 3, b = who * 5, c = who * 7, d = who * 11, e = who * 13, f = who * 17;
	uint64_t g = who * 19, h = who * 23, i = who * 29, j = who * 31;

	while (spin--)
		__asm__ volatile(""
				 : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(g),
				   "+r"(h), "+r"(i), "+r"(j));
	return a == who * 3 && b == who * 5 && c == who * 7 && d == who * 11 && e == who * 13 &&
	       f == who * 17 && g == who * 19 && h == who * 23 && i == who * 29 && j == who * 31;
}

int ring_main(struct ring *ring, int argc, char **argv)
{
	uint64_t who = argc > 1 ? (uint64_t)(*argv[1] - '0') : 1, wrong = 0, rounds = 0;
	int64_t begun = moves_so_far();
	double in[REGS], out[REGS];

	(void)ring;
	do {
		uint64_t kept = 0;

		for (unsigned i = 0; i < REGS; i++)
			in[i] = (double)(who * 1000000 + rounds * REGS + i);
		keep(in, out, CONTROL(who), &kept, 20000);
		for (unsigned i = 0; i < REGS; i++)
			wrong += in[i] != out[i];
		wrong += kept != CONTROL(who);
		wrong += !keep_integers(who, rounds % 4 ? 100 : 200000);
		rounds++;
	} while (!wrong && (rounds % 16 || moves_so_far() - begun < MOVES));
	say_is("registers kept", (int64_t)wrong, 0);
	return say_verdict();
}
