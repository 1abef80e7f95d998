/*
 * What does the virtio disk driver do with a device that works, and with one that lies?
 *
 * The driver and its queue are the kernel's own sources; the transport below them is lib/vblk.h.
 */
#include "lib/vblk.h"

/* ---- tests ----------------------------------------------------------------------------------- */

/* Do the bytes of odd, scattered memory arrive, in both directions, with either kind of
 * descriptor? */
static void round_trip(void)
{
	paddr_t out_block[9], in_block[9];

	for (unsigned i = 0; i < 200; i++) {
		uint32_t sectors = 1 + (uint32_t)(unit_random() % 127),
			 first = (uint32_t)(unit_random() % 4096);
		uint64_t sector = unit_random() % (DISK_BYTES / 512 - sectors);
		struct request *out, *in;

		if (first + sectors * 512 > PIN_BYTES_MAX)
			first = 0;
		out = request_make(0, BLK_WRITE, sector, first, sectors * 512);
		in = request_make(1, BLK_READ, sector, 0, sectors * 512);
		if (out->pin.pages > disk->segments_max)
			continue;
		frames_give(out, out_block);
		frames_give(in, in_block);
		for (uint32_t at = 0; at < out->pin.len; at++) {
			uint8_t byte = (uint8_t)(at * 7 + i);

			pin_copy_out(&out->pin, at, &byte, 1);
		}
		assert_int_equal(request_submit(out), 0);
		turn();
		assert_int_equal(out->done, 1);
		assert_int_equal(out->r.status, 0);
		assert_int_equal(request_submit(in), 0);
		turn();
		assert_int_equal(in->r.status, 0);
		for (uint32_t at = 0; at < in->pin.len; at++) {
			uint8_t byte;

			pin_copy_in(&in->pin, at, &byte, 1);
			assert_int_equal(byte, (uint8_t)(at * 7 + i));
		}
		frames_take(out, out_block);
		frames_take(in, in_block);
	}
}

static void bytes_arrive_indirect(void **state)
{
	probe_usual(state);
	round_trip();
}

static void bytes_arrive_direct(void **state)
{
	(void)state;
	probe(VIRTIO_F_EVENT_IDX, 256, 254);
	assert_int_equal(queue->slot_count, 8);
	assert_int_equal(disk->segments_max, 17);
	round_trip();
	probe(0, 16, 254);
	assert_int_equal(disk->segments_max, 2);
	round_trip();
}

/* Do 32 requests cost one doorbell, and does a full queue say so and then have room again? */
static void queue_fills_and_empties(void **state)
{
	(void)state;
	done_count = 0;
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(request_submit(small(i, BLK_READ, i * 8)), 0);
	turn();
	assert_int_equal(done_count, 32);
	assert_int_equal(dev.doorbells, 1);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(request_submit(small(i, BLK_READ, 0)), 0);
	assert_int_equal(request_submit(small(256, BLK_READ, 0)), -EAGAIN);
	assert_int_equal(requests[256].done, 0);
	turn();
	assert_int_equal(done_count, 32 + 256);
	assert_int_equal(request_submit(small(256, BLK_READ, 0)), 0);
	turn();
	assert_int_equal(requests[256].done, 1);
}

/* Do the 16-bit indices wrap? */
static void indices_wrap(void **state)
{
	(void)state;
	done_count = 0;
	for (unsigned round = 0; round < 1200; round++) {
		for (unsigned i = 0; i < 61; i++)
			assert_int_equal(request_submit(small(i, BLK_READ, 0)), 0);
		turn();
	}
	assert_int_equal(done_count, 1200 * 61);
	assert_int_equal(dev.starts, 1);
}

/* Does a device error reach the caller, and does the device go on? */
static void errors_are_answers(void **state)
{
	(void)state;
	dev.answer = S_IOERR;
	assert_int_equal(request_submit(small(0, BLK_READ, 0)), 0);
	assert_int_equal(request_submit(small(1, BLK_WRITE, 0)), 0);
	turn();
	assert_int_equal(requests[0].r.status, -EIO);
	assert_int_equal(requests[1].r.status, -EIO);
	dev.answer = S_UNSUPP;
	assert_int_equal(request_submit(request_make(2, BLK_DISCARD, 0, 0, 4096)), 0);
	turn();
	assert_int_equal(requests[2].r.status, -EOPNOTSUPP);
	dev.answer = -1;
	assert_int_equal(request_submit(small(3, BLK_READ, 0)), 0);
	turn();
	assert_int_equal(requests[3].r.status, 0);
	assert_int_equal(dev.starts, 1);
}

/* Is a FUA write a write and then a flush, answered once, and are requests after it whole again? */
static void fua_is_write_then_flush(void **state)
{
	(void)state;
	done_count = 0;
	small(0, BLK_WRITE, 0)->r.fua = 1;
	assert_int_equal(request_submit(&requests[0]), 0);
	turn();
	assert_int_equal(done_count, 0);
	turn();
	assert_int_equal(requests[0].done, 1);
	assert_int_equal(dev.order, T_OUT << 4 | T_FLUSH);
	assert_int_equal(request_submit(request_make(1, BLK_FLUSH, 0, 0, 0)), 0);
	turn();
	assert_int_equal(requests[1].r.status, 0);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(request_submit(small(i, BLK_READ, 8)), 0);
	turn();
	assert_int_equal(done_count, 2 + 256);
}

/* Are ranges zeroed, and senseless ones refused? */
static void ranges(void **state)
{
	(void)state;
	memset(dev.disk, 0xaa, sizeof(dev.disk));
	assert_int_equal(request_submit(request_make(0, BLK_ZEROES, 3, 0, 512 * 5)), 0);
	turn();
	assert_int_equal(requests[0].r.status, 0);
	assert_int_equal((uint8_t)dev.disk[3 * 512 - 1], 0xaa);
	for (unsigned i = 0; i < 5 * 512; i++)
		assert_int_equal(dev.disk[3 * 512 + i], 0);
	assert_int_equal((uint8_t)dev.disk[8 * 512], 0xaa);
	assert_int_equal(request_submit(request_make(1, BLK_ZEROES, 0, 0, 512 * 129)), -EINVAL);
	assert_int_equal(request_submit(request_make(1, BLK_ZEROES, 0, 0, 0)), -EINVAL);
	assert_int_equal(request_submit(request_make(1, 77, 0, 0, 512)), -EINVAL);
	assert_int_equal(request_submit(request_make(1, BLK_READ, 0, 0, 0)), -EINVAL);
	assert_int_equal(queue->free_count, 256);
}

/* Does every lie fail what is in flight exactly once, start the device over, and leave it
 * usable? */
static void lies(void **state)
{
	for (enum lie lie = LIE_ID; lie <= LIE_COUNT; lie++) {
		unsigned failed = 0;

		probe_usual(state);
		done_count = 0;
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(request_submit(small(i, BLK_READ, i)), 0);
		queue->poller.flush(&queue->poller);
		dev_take();
		dev_answer(3);
		dev.lie = lie;
		dev_answer(5);
		queue->poller.poll(&queue->poller);
		for (unsigned i = 0; i < 20; i++) {
			assert_int_equal(requests[i].done, 1);
			failed += requests[i].r.status == -EIO;
		}
		assert_in_range(failed, 18, 20);
		assert_int_equal(dev.starts, 2);
		assert_int_equal(queue->free_count, 256);
		assert_int_equal(request_submit(small(0, BLK_READ, 0)), 0);
		turn();
		assert_int_equal(requests[0].r.status, 0);
		assert_int_equal(dev.starts, 2);
	}
}

/* Is a device that does nothing but lie given up, with an answer for every request? */
static void liar_is_given_up(void **state)
{
	unsigned tries;

	(void)state;
	for (tries = 0; tries < 100; tries++) {
		if (request_submit(small(0, BLK_READ, 0)))
			break;
		queue->poller.flush(&queue->poller);
		dev_take();
		dev.lie = LIE_ID_FAR;
		dev_answer(0);
		queue->poller.poll(&queue->poller);
		assert_int_equal(requests[0].r.status, -EIO);
	}
	assert_int_equal(tries, LIES_MAX);
	assert_true(dev.failed);
	assert_int_equal(request_submit(small(0, BLK_READ, 0)), -EIO);
	assert_false(queue->poller.arm(&queue->poller));
}

/* Does a device that asks for a reset get one before the core sleeps? */
static void reset_on_request(void **state)
{
	(void)state;
	assert_int_equal(request_submit(small(0, BLK_READ, 0)), 0);
	queue->poller.flush(&queue->poller);
	dev.status = VDEV_NEEDS_RESET;
	queue->poller.arm(&queue->poller);
	assert_int_equal(requests[0].r.status, -EIO);
	assert_int_equal(dev.starts, 2);
}

/* Is an answer that came before the interrupt was armed seen by arm itself, and is there no wish
 * for interrupts while awake? */
static void arming_looks_again(void **state)
{
	(void)state;
	assert_int_equal(request_submit(small(0, BLK_READ, 0)), 0);
	queue->poller.flush(&queue->poller);
	assert_false(queue->poller.arm(&queue->poller));
	assert_int_equal(*used_event(&queue->q), queue->q.taken);
	queue->poller.disarm(&queue->poller);
	assert_int_not_equal(*used_event(&queue->q), queue->q.taken);
	dev_answer_all();
	assert_true(queue->poller.arm(&queue->poller));
	queue->poller.disarm(&queue->poller);
	assert_int_equal(queue->poller.poll(&queue->poller), 1);
	assert_false(queue->poller.arm(&queue->poller));
}

/* What if the used ring is filled by a die? Every request is answered exactly once all the same. */
static void random_lies(void **state)
{
	unsigned submitted = 0;

	(void)state;
	done_count = 0;
	for (unsigned round = 0; round < 3000; round++) {
		unsigned n = (unsigned)(unit_random() % 40);

		if (queue->dead) {
			probe_usual(NULL);
			assert_int_equal(done_count, submitted);
		}
		for (unsigned i = 0; i < n && queue->free_count; i++)
			submitted += request_submit(small(i, i % 3 ? BLK_READ : BLK_WRITE, i)) == 0;
		queue->poller.flush(&queue->poller);
		dev_take();
		while (at->held_count) {
			if (unit_random() % 64 == 0)
				dev.lie = (enum lie)(unit_random() % (LIE_COUNT + 1));
			dev_answer((unsigned)(unit_random() % at->held_count));
		}
		if (unit_random() % 32 == 0)
			dev_put_used((uint32_t)unit_random(), (uint32_t)unit_random());
		queue->poller.poll(&queue->poller);
		assert_int_equal(done_count, submitted);
		if (!queue->dead)
			assert_int_equal(queue->free_count, 256);
	}
}

#define blk_test(f) cmocka_unit_test_setup(f, probe_usual)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_arrive_indirect),
		cmocka_unit_test(bytes_arrive_direct),
		blk_test(queue_fills_and_empties),
		blk_test(indices_wrap),
		blk_test(errors_are_answers),
		blk_test(fua_is_write_then_flush),
		blk_test(ranges),
		cmocka_unit_test(lies),
		blk_test(liar_is_given_up),
		blk_test(reset_on_request),
		blk_test(arming_looks_again),
		blk_test(random_lies),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
