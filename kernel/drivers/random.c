/*
 * random: unpredictable bytes: ChaCha20 (RFC 8439, section 2.3) with a key that is replaced at
 * every use, so that what was given out cannot be computed from what is kept.
 *
 *   arch_entropy, devices --> root generator (one, under a spinlock) --new key whenever the
 *   root was fed--> one generator per core
 *
 * Any core, never parks. A core's generator is touched by that core only.
 */
#include "drivers/random.h"

#include <stdatomic.h>
#include <string.h>

#include "drivers/drivers.h"

#define KEY_WORDS 8
#define BLOCK_BYTES 64
#define HUNGRY_BYTES (1u << 20)

struct generator {
	uint32_t key[KEY_WORDS];
	uint32_t epoch; /* of the root when the key was taken; 0: never */
} __attribute__((aligned(CACHE_LINE)));

/* owner core only; index = core index */
static struct generator generator_of_core[CORES_MAX];

/* under root_locked */
static struct generator root;

/* any core, atomic */
static _Atomic uint32_t root_locked;
/* grows when the root is fed; pairs with generator_refresh */
static _Atomic uint32_t root_epoch = 1;
static _Atomic uint32_t given_bytes;	/* since the last feeding, roughly */

static inline uint32_t rotl(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

/* RFC 8439, section 2.1 */
#define QUARTER(a, b, c, d)                                                                        \
	do {                                                                                       \
		x[a] += x[b], x[d] = rotl(x[d] ^ x[a], 16);                                        \
		x[c] += x[d], x[b] = rotl(x[b] ^ x[c], 12);                                        \
		x[a] += x[b], x[d] = rotl(x[d] ^ x[a], 8);                                         \
		x[c] += x[d], x[b] = rotl(x[b] ^ x[c], 7);                                         \
	} while (0)

/* RFC 8439, section 2.3, with a nonce of zero: a key is used for one request only. */
static void chacha_block(const uint32_t key[KEY_WORDS], uint32_t counter, uint32_t out[16])
{
	uint32_t in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, x[16];

	memcpy(in + 4, key, KEY_WORDS * sizeof(uint32_t));
	in[12] = counter;
	memcpy(x, in, sizeof(x));
	for (int i = 0; i < 10; i++) {
		QUARTER(0, 4, 8, 12);
		QUARTER(1, 5, 9, 13);
		QUARTER(2, 6, 10, 14);
		QUARTER(3, 7, 11, 15);
		QUARTER(0, 5, 10, 15);
		QUARTER(1, 6, 11, 12);
		QUARTER(2, 7, 8, 13);
		QUARTER(3, 4, 9, 14);
	}
	for (int i = 0; i < 16; i++)
		out[i] = x[i] + in[i];
}

/* Block 0 becomes the next key, blocks 1, 2, ... the output. */
static void generator_take(struct generator *g, void *dst, size_t len)
{
	uint32_t next[16], block[16];
	char *to = dst;

	chacha_block(g->key, 0, next);
	for (uint32_t i = 1; len; i++) {
		size_t piece = min_of(len, (size_t)BLOCK_BYTES);

		chacha_block(g->key, i, block);
		memcpy(to, block, piece);
		to += piece;
		len -= piece;
	}
	memcpy(g->key, next, sizeof(g->key));
}

static void generator_mix(struct generator *g, const void *bytes, size_t len)
{
	const unsigned char *from = bytes;
	unsigned char key[sizeof(g->key)];

	while (len) {
		size_t piece = min_of(len, sizeof(key));

		memcpy(key, g->key, sizeof(key));
		for (size_t i = 0; i < piece; i++)
			key[i] ^= from[i];
		memcpy(g->key, key, sizeof(key));
		generator_take(g, NULL, 0);
		from += piece;
		len -= piece;
	}
}

static void root_lock(void)
{
	while (atomic_exchange_explicit(&root_locked, 1, memory_order_acquire))
		arch_relax();
	if (root.epoch)
		return;
	for (int i = 0; i < 8; i++) {
		uint64_t seed = arch_entropy();

		generator_mix(&root, &seed, sizeof(seed));
	}
	root.epoch = 1;
}

static void root_unlock(void)
{
	atomic_store_explicit(&root_locked, 0, memory_order_release);
}

/* Pairs with random_add: whoever sees its epoch takes a key from a root that has absorbed its
 * bytes. */
static void generator_refresh(struct generator *g, uint32_t epoch)
{
	uint32_t key[KEY_WORDS];

	root_lock();
	generator_take(&root, key, sizeof(key));
	root_unlock();
	generator_mix(g, key, sizeof(key));
	g->epoch = epoch;
}

void random_bytes(void *dst, size_t len)
{
	struct generator *g = &generator_of_core[this_core()->index];
	uint32_t epoch = atomic_load_explicit(&root_epoch, memory_order_acquire);

	if (unlikely(g->epoch != epoch))
		generator_refresh(g, epoch);
	generator_take(g, dst, len);
	if (atomic_load_explicit(&given_bytes, memory_order_relaxed) < HUNGRY_BYTES)
		atomic_fetch_add_explicit(&given_bytes, (uint32_t)min_of(len, (size_t)HUNGRY_BYTES),
					  memory_order_relaxed);
}

void random_expand(const uint32_t key[RANDOM_KEY_WORDS], void *dst, size_t len)
{
	struct generator g;

	_Static_assert(RANDOM_KEY_WORDS == KEY_WORDS, "a key is a key");
	memcpy(g.key, key, sizeof(g.key));
	generator_take(&g, dst, len);
	memset(&g, 0, sizeof(g));
	__asm__ volatile("" : : "r"(&g) : "memory"); /* really */
}

void random_add(const void *bytes, size_t len)
{
	root_lock();
	generator_mix(&root, bytes, len);
	root_unlock();
	atomic_store_explicit(&given_bytes, 0, memory_order_relaxed);
	atomic_fetch_add_explicit(&root_epoch, 1, memory_order_release);
}

bool random_is_hungry(void)
{
	return atomic_load_explicit(&given_bytes, memory_order_relaxed) >= HUNGRY_BYTES;
}
