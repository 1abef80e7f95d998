/*
 * What does the virtio disk driver do with several queues, one for each core with the role io (here
 * cores 0 and 1)? Each core has its own, and a lie in one stops all.
 */
#include "lib/vblk.h"

static struct vblk_queue *queue_at(unsigned lane)
{
	arch_core_set(cores[lane]);
	at = &dev_queues[lane];
	return driver->queue[lane];
}

static int probe_two(void **state)
{
	(void)state;
	probe_queues(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX, 256, 254, 3);
	done_count = 0;
	return 0;
}

static int back_to_one(void **state)
{
	(void)state;
	arch_core_set(cores[0]);
	at = dev_queues;
	return 0;
}

static struct request *on_lane(unsigned i, unsigned lane)
{
	struct request *r = small(i, BLK_READ, i);

	r->r.lane = (uint8_t)lane;
	return r;
}

/* Mails between the two cores, until there are none. */
static void deliver_all(void)
{
	unsigned n;

	do {
		n = 0;
		for (unsigned i = 0; i < 2; i++) {
			(void)queue_at(i);
			n += mailbox_deliver(cores[i]);
		}
	} while (n);
}

static void lane_turn(unsigned lane)
{
	struct vblk_queue *q = queue_at(lane);

	q->poller.flush(&q->poller);
	dev_answer_all();
	q->poller.poll(&q->poller);
}

/* Has every io core its queue, and do requests and answers of one never touch the other's? */
static void lanes_are_apart(void **state)
{
	(void)state;
	assert_int_equal(disk->lanes, 2); /* the third queue has no core */
	assert_int_equal(disk->lane_of[1], 1);
	assert_int_equal(disk->lane_of[2], BLK_NO_LANE);
	for (unsigned i = 0; i < 40; i++) {
		(void)queue_at(i % 2);
		assert_int_equal(request_submit(on_lane(i, i % 2)), 0);
	}
	assert_int_equal(vq_outstanding(&driver->queue[0]->q), 20);
	lane_turn(1);
	assert_int_equal(done_count, 20);
	assert_int_equal(vq_outstanding(&driver->queue[0]->q), 20);
	assert_int_equal(disk->load(disk, 0), 20);
	assert_int_equal(disk->load(disk, 1), 0);
	assert_int_equal(blk_place(disk, 2), 1); /* it has less to do */
	lane_turn(0);
	assert_int_equal(done_count, 40);
	assert_int_equal(blk_place(disk, 1), 1);
	assert_int_equal(blk_place(disk, 0), 0);
	assert_int_not_equal(blk_place(disk, 2), blk_place(disk, 2)); /* in turn among equals */
}

/* Does one queue's lie end what the others have in flight, each once and on its own core, and is
 * the whole disk usable afterwards? */
static void lie_stops_all_lanes(void **state)
{
	for (unsigned liar = 0; liar < 2; liar++) {
		struct vblk_queue *q;

		probe_two(state);
		for (unsigned i = 0; i < 20; i++) {
			(void)queue_at(i % 2);
			assert_int_equal(request_submit(on_lane(i, i % 2)), 0);
		}
		for (unsigned lane = 0; lane < 2; lane++) {
			q = queue_at(lane);
			q->poller.flush(&q->poller);
			dev_take();
		}
		q = queue_at(liar);
		dev.lie = LIE_ID_FAR;
		dev_answer(3);
		q->poller.poll(&q->poller);
		/* until the other core has stopped, nothing is taken and nothing reset */
		assert_int_equal(request_submit(on_lane(30, liar)), -EAGAIN);
		assert_int_equal(dev.starts, 1);
		assert_int_equal(done_count, 0);
		(void)queue_at(!liar);
		assert_int_equal(request_submit(on_lane(31, !liar)), 0);
		deliver_all();
		assert_int_equal(dev.starts, 2);
		assert_int_equal(done_count, 21);
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(requests[i].r.status, -EIO);
		assert_int_equal(requests[31].r.status, -EIO);
		for (unsigned lane = 0; lane < 2; lane++) {
			(void)queue_at(lane);
			assert_int_equal(driver->queue[lane]->free_count, 256);
			assert_int_equal(request_submit(on_lane(lane, lane)), 0);
			lane_turn(lane);
			assert_int_equal(requests[lane].r.status, 0);
		}
		assert_int_equal(dev.starts, 2);
	}
}

/* Both lie at once, again and again, until the device is given up: does every lane say so? */
static void liars_are_given_up(void **state)
{
	(void)state;
	for (unsigned tries = 0; !driver->dead && tries < 100; tries++) {
		for (unsigned lane = 0; lane < 2; lane++) {
			struct vblk_queue *q = queue_at(lane);

			assert_int_equal(request_submit(on_lane(lane, lane)), 0);
			q->poller.flush(&q->poller);
			dev_take();
			dev.lie = LIE_ID_FAR;
			dev_answer(0);
			q->poller.poll(&q->poller);
		}
		deliver_all();
	}
	assert_true(driver->dead && dev.failed);
	assert_int_equal(dev.starts, LIES_MAX);
	for (unsigned lane = 0; lane < 2; lane++) {
		struct vblk_queue *q = queue_at(lane);

		assert_int_equal(request_submit(on_lane(lane, lane)), -EIO);
		assert_false(q->poller.arm(&q->poller));
	}
}

/* The line leads to core 0: is core 1 woken although only core 0 hears of it, and although somebody
 * else has lowered the line? */
static void sleepers_are_woken(void **state)
{
	struct vblk_queue *q;
	uint64_t rung;

	(void)state;
	q = queue_at(1);
	assert_int_equal(request_submit(on_lane(1, 1)), 0);
	q->poller.flush(&q->poller);
	assert_false(q->poller.arm(&q->poller));
	assert_int_equal(driver->armed, 2);
	q = queue_at(0);
	rung = this_core()->count->doorbells;
	driver->watcher.poll(&driver->watcher);
	assert_int_equal(this_core()->count->doorbells, rung); /* nothing has come */
	at = &dev_queues[1];
	dev_answer_all();
	assert_true(dev.line);
	driver->watcher.poll(&driver->watcher);
	assert_int_equal(this_core()->count->doorbells, rung + 1);
	driver->watcher.poll(&driver->watcher);
	assert_int_equal(this_core()->count->doorbells, rung + 1); /* once */
	lane_turn(1);
	assert_int_equal(requests[1].done, 1);

	/* core 0 is about to sleep, and its lowering of the line hides what came for core 1 */
	q = queue_at(1);
	assert_int_equal(request_submit(on_lane(1, 1)), 0);
	q->poller.flush(&q->poller);
	assert_false(q->poller.arm(&q->poller));
	dev_answer_all();
	q = queue_at(0);
	rung = this_core()->count->doorbells;
	assert_false(q->poller.arm(&q->poller));
	assert_false(dev.line);
	assert_int_equal(this_core()->count->doorbells, rung + 1);
	q->poller.disarm(&q->poller);
	q = queue_at(1);
	q->poller.disarm(&q->poller);
	assert_int_equal(driver->armed, 0);
	q->poller.poll(&q->poller);
	assert_int_equal(requests[1].done, 1);
}

#define lane_test(f) cmocka_unit_test_setup_teardown(f, probe_two, back_to_one)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lane_test(lanes_are_apart),
		lane_test(lie_stops_all_lanes),
		lane_test(liars_are_given_up),
		lane_test(sleepers_are_woken),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
