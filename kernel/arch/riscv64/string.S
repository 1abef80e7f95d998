/*
 * string: memcpy, memmove and memset in words, in front of the C library's, which go byte by byte.
 * Any core. Addresses of different alignment are joined from two aligned words, never loaded
 * misaligned: a hart may trap on that.
 */
	.section .text.string, "ax"

/* void *memcpy(void *a0, const void *a1, size_t a2); a0 is kept, t6 walks */
	.globl	memcpy
	.balign	4
memcpy:
	mv	t6, a0
	li	t0, 16
	bltu	a2, t0, copy_bytes
	/* up to an aligned destination */
	andi	t0, t6, 7
	beqz	t0, 2f
	li	t1, 8
	sub	t0, t1, t0
	sub	a2, a2, t0
1:	lbu	t1, 0(a1)
	sb	t1, 0(t6)
	addi	a1, a1, 1
	addi	t6, t6, 1
	addi	t0, t0, -1
	bnez	t0, 1b
2:	andi	t0, a1, 7
	bnez	t0, copy_shifted
	li	t0, 64
	bltu	a2, t0, 4f
3:	ld	t1, 0(a1)
	ld	t2, 8(a1)
	ld	t3, 16(a1)
	ld	t4, 24(a1)
	ld	t5, 32(a1)
	ld	a3, 40(a1)
	ld	a4, 48(a1)
	ld	a5, 56(a1)
	sd	t1, 0(t6)
	sd	t2, 8(t6)
	sd	t3, 16(t6)
	sd	t4, 24(t6)
	sd	t5, 32(t6)
	sd	a3, 40(t6)
	sd	a4, 48(t6)
	sd	a5, 56(t6)
	addi	a1, a1, 64
	addi	t6, t6, 64
	addi	a2, a2, -64
	bgeu	a2, t0, 3b
4:	li	t0, 8
	bltu	a2, t0, copy_bytes
5:	ld	t1, 0(a1)
	sd	t1, 0(t6)
	addi	a1, a1, 8
	addi	t6, t6, 8
	addi	a2, a2, -8
	bgeu	a2, t0, 5b
copy_bytes:
	beqz	a2, 7f
6:	lbu	t1, 0(a1)
	sb	t1, 0(t6)
	addi	a1, a1, 1
	addi	t6, t6, 1
	addi	a2, a2, -1
	bnez	a2, 6b
7:	ret

/* source off by t0 bytes (1..7): the word at a1 rounded down holds the first 8 - t0 of them.
 * Two words a round; the word read last holds at least one byte of the source, so no page is
 * touched in vain. */
copy_shifted:
	slli	a3, t0, 3	/* right shift, bits */
	neg	a4, a3		/* left shift; the hart takes it modulo 64 */
	sub	a1, a1, t0
	ld	t1, 0(a1)
	li	a5, 24
	bltu	a2, a5, 2f
1:	ld	t2, 8(a1)
	srl	t3, t1, a3
	ld	t1, 16(a1)
	sll	t4, t2, a4
	srl	t5, t2, a3
	or	t3, t3, t4
	sll	t4, t1, a4
	sd	t3, 0(t6)
	or	t5, t5, t4
	sd	t5, 8(t6)
	addi	a1, a1, 16
	addi	t6, t6, 16
	addi	a2, a2, -16
	bgeu	a2, a5, 1b
2:	li	a5, 8
	bltu	a2, a5, 4f
3:	srl	t3, t1, a3
	ld	t1, 8(a1)
	sll	t4, t1, a4
	or	t3, t3, t4
	sd	t3, 0(t6)
	addi	a1, a1, 8
	addi	t6, t6, 8
	addi	a2, a2, -8
	bgeu	a2, a5, 3b
4:	add	a1, a1, t0
	j	copy_bytes

/* void *memmove(void *a0, const void *a1, size_t a2) */
	.globl	memmove
	.balign	4
memmove:
	/* forwards is right unless the destination begins inside the source */
	sub	t0, a0, a1
	bgeu	t0, a2, memcpy
	add	t6, a0, a2
	add	a1, a1, a2
	or	t1, t6, a1
	andi	t1, t1, 7
	bnez	t1, 2f
	li	t0, 8
	bltu	a2, t0, 2f
1:	ld	t1, -8(a1)
	sd	t1, -8(t6)
	addi	a1, a1, -8
	addi	t6, t6, -8
	addi	a2, a2, -8
	bgeu	a2, t0, 1b
2:	beqz	a2, 4f
3:	lbu	t1, -1(a1)
	sb	t1, -1(t6)
	addi	a1, a1, -1
	addi	t6, t6, -1
	addi	a2, a2, -1
	bnez	a2, 3b
4:	ret

/* void *memset(void *a0, int a1, size_t a2) */
	.globl	memset
	.balign	4
memset:
	mv	t6, a0
	li	t0, 16
	bltu	a2, t0, set_bytes
	andi	a1, a1, 255
	slli	t1, a1, 8
	or	a1, a1, t1
	slli	t1, a1, 16
	or	a1, a1, t1
	slli	t1, a1, 32
	or	a1, a1, t1
	andi	t0, t6, 7
	beqz	t0, 2f
	li	t1, 8
	sub	t0, t1, t0
	sub	a2, a2, t0
1:	sb	a1, 0(t6)
	addi	t6, t6, 1
	addi	t0, t0, -1
	bnez	t0, 1b
2:	li	t0, 64
	bltu	a2, t0, 4f
3:	sd	a1, 0(t6)
	sd	a1, 8(t6)
	sd	a1, 16(t6)
	sd	a1, 24(t6)
	sd	a1, 32(t6)
	sd	a1, 40(t6)
	sd	a1, 48(t6)
	sd	a1, 56(t6)
	addi	t6, t6, 64
	addi	a2, a2, -64
	bgeu	a2, t0, 3b
4:	li	t0, 8
	bltu	a2, t0, set_bytes
5:	sd	a1, 0(t6)
	addi	t6, t6, 8
	addi	a2, a2, -8
	bgeu	a2, t0, 5b
set_bytes:
	beqz	a2, 7f
6:	sb	a1, 0(t6)
	addi	t6, t6, 1
	addi	a2, a2, -1
	bnez	a2, 6b
7:	ret
