/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mem's queue: the specified answers, batches that are merged, hosts that fail, hostile
 * drivers. */
/* fakes: mem_machine fake_arch fake_kvm fake_reclaim_host fake_virtio_driver hostile_chains */
/* fakes: test_driver fake_vm */
/* wraps: vcpu_current gmem_plug gmem_unplug gmem_plug_again gmem_trim reclaim_release */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/virtio_config.h>

#include "mem_machine.h"

#define PLUG       VIRTIO_MEM_REQ_PLUG
#define UNPLUG     VIRTIO_MEM_REQ_UNPLUG
#define UNPLUG_ALL VIRTIO_MEM_REQ_UNPLUG_ALL
#define STATE      VIRTIO_MEM_REQ_STATE
#define ACK        VIRTIO_MEM_RESP_ACK
#define NACK       VIRTIO_MEM_RESP_NACK
#define BUSY       VIRTIO_MEM_RESP_BUSY
#define ERROR      VIRTIO_MEM_RESP_ERROR

static void forget_calls(void)
{
	memset(&mem_calls, 0, sizeof(mem_calls));
	fake_transport.used_notifications[0] = 0;
}

static void check_answers(const uint16_t *answers, const uint16_t *expected, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_int_equal(answers[i], expected[i]);
}

/* --- answers --- */

static void test_answers(void **state)
{
	struct fixture *f = *state;

	start(f);
	request_size(f, 32 * MIB);
	assert_int_equal(plug(f, 4, 8), ACK);
	assert_int_equal(read_config(f, CONFIG(plugged_size)), 16 * MIB);
	assert_int_equal(plug(f, 4, 8), ERROR);   /* twice */
	assert_int_equal(plug(f, 3, 2), ERROR);   /* a part */
	assert_int_equal(plug(f, 11, 2), ERROR);  /* another */
	assert_int_equal(plug(f, 20, 9), NACK);   /* more than requested */
	assert_int_equal(plug(f, 20, 0), ERROR);  /* nothing */
	assert_int_equal(plug(f, 144, 1), ERROR); /* behind what is usable */
	assert_int_equal(plug(f, 143, 2), ERROR);
	assert_int_equal(plug(f, 0, UINT16_MAX), ERROR);
	assert_int_equal(plug(f, REGION_BYTES / BLOCK, 1), ERROR);
	assert_int_equal(plug(f, 143, 1), ACK);
	assert_int_equal(unplug(f, 143, 1), ACK);
	assert_int_equal(unplug(f, 143, 1), ERROR);
	assert_int_equal(unplug(f, 3, 2), ERROR);
	assert_int_equal(unplug(f, 4, 1), ACK); /* though more is requested */
	assert_int_equal(ask(f, 4, 0, 1), ERROR);
	assert_int_equal(ask(f, 0xffff, 0, 1), ERROR);
	assert_int_equal(status(f).plugged_bytes, 14 * MIB);
	assert_int_equal(ask(f, UNPLUG_ALL, 77, 99), ACK);
	assert_int_equal(ask(f, UNPLUG_ALL, 0, 0), ACK);
	assert_int_equal(read_config(f, CONFIG(plugged_size)), 0);
}

static void test_addresses(void **state)
{
	static const gpa_t gpas[] = {
		0,          REGION_GPA - BLOCK, REGION_GPA + 1,     REGION_GPA + BLOCK / 2,
		RAM_BYTES,  UINT64_MAX,         UINT64_MAX - BLOCK + 1, 0x8000000000000000,
		REQUEST_GPA,
	};
	struct fixture *f = *state;

	start(f);
	request_size(f, REGION_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(gpas); i++) {
		for (uint16_t type = PLUG; type <= STATE; type++) {
			uint16_t answers[2];

			if (type == UNPLUG_ALL)
				continue;
			add_at(f, type, gpas[i], 1);
			add_at(f, type, gpas[i], UINT16_MAX);
			kick(f, answers);
			assert_int_equal(answers[0], ERROR);
			assert_int_equal(answers[1], ERROR);
		}
	}
	assert_int_equal(mem_calls.total, 0);
}

static void test_state(void **state)
{
	struct fixture *f = *state;

	start(f);
	request_size(f, 32 * MIB);
	assert_int_equal(plug(f, 4, 4), ACK);
	assert_int_equal(ask(f, STATE, 4, 4), ACK);
	assert_int_equal(answer_state(f, 0), VIRTIO_MEM_STATE_PLUGGED);
	assert_int_equal(ask(f, STATE, 0, 4), ACK);
	assert_int_equal(answer_state(f, 0), VIRTIO_MEM_STATE_UNPLUGGED);
	assert_int_equal(ask(f, STATE, 0, 5), ACK);
	assert_int_equal(answer_state(f, 0), VIRTIO_MEM_STATE_MIXED);
	assert_int_equal(ask(f, STATE, 4, 5), ACK);
	assert_int_equal(answer_state(f, 0), VIRTIO_MEM_STATE_MIXED);
	assert_int_equal(ask(f, STATE, 0, 0), ERROR);
	assert_int_equal(ask(f, STATE, 143, 2), ERROR);
}

static void test_memory(void **state)
{
	struct fixture *f = *state;

	start(f);
	request_size(f, 32 * MIB);
	assert_false(is_plugged(f, 0));
	assert_int_equal(plug(f, 0, 4), ACK);
	touch(f, 0, 4);
	assert_int_equal(unplug(f, 1, 2), ACK);
	assert_true(is_plugged(f, 0) && !is_plugged(f, 1) && !is_plugged(f, 2) && is_plugged(f, 3));
	assert_int_equal(plug(f, 1, 2), ACK);
	for (gpa_t gpa = REGION_GPA; gpa < REGION_GPA + 4 * BLOCK; gpa += PAGE_4K_BYTES) {
		bool was_new = gpa >= REGION_GPA + BLOCK && gpa < REGION_GPA + 3 * BLOCK;

		assert_int_equal(*(uint8_t *)gmem_span(f->vm.memory, gpa, 1), was_new ? 0 : 0x5a);
	}
}

/* --- batches --- */

static void test_neighbours_are_one(void **state)
{
	struct fixture *f = *state;
	struct reclaim_stats stats;
	uint16_t answers[128];

	start(f);
	request_size(f, GIB);
	forget_calls();
	for (unsigned int i = 128; i-- > 0;)
		add(f, PLUG, i * 4, 4);
	kick(f, answers);
	for (unsigned int i = 0; i < 128; i++)
		assert_int_equal(answers[i], ACK);
	assert_int_equal(mem_calls.plug, 1);
	assert_int_equal(fake_transport.used_notifications[0], 1);
	assert_int_equal(status(f).plugged_bytes, GIB);
	touch(f, 0, 512);
	forget_calls();
	/* In an order that has no neighbours next to each other. */
	for (unsigned int i = 0; i < 128; i++)
		add(f, UNPLUG, i * 65 % 128 * 4, 4);
	kick(f, answers);
	for (unsigned int i = 0; i < 128; i++)
		assert_int_equal(answers[i], ACK);
	assert_int_equal(mem_calls.unplug, 1);
	assert_int_equal(mem_calls.release, 1);
	assert_int_equal(mem_calls.trim, 1);
	assert_int_equal(fake_transport.used_notifications[0], 1);
	reclaim_query(f->vm.reclaim, &stats);
	assert_int_equal(stats.sources[RECLAIM_UNPLUG].requests, 1);
	assert_int_equal(stats.sources[RECLAIM_UNPLUG].bytes_released, GIB);
	assert_int_equal(stats.sources[RECLAIM_UNPLUG].bytes_in, GIB);
	assert_int_equal(status(f).slots, 0);
}

static void test_apart_is_one_release(void **state)
{
	struct fixture *f = *state;
	uint16_t answers[4];

	start(f);
	request_size(f, 64 * MIB);
	assert_int_equal(plug(f, 0, 16), ACK);
	touch(f, 0, 16);
	forget_calls();
	add(f, UNPLUG, 0, 2);
	add(f, UNPLUG, 8, 1);
	add(f, UNPLUG, 2, 2);
	add(f, UNPLUG, 12, 4);
	kick(f, answers);
	check_answers(answers, (uint16_t[]){ ACK, ACK, ACK, ACK }, 4);
	assert_int_equal(mem_calls.unplug, 3);
	assert_int_equal(mem_calls.release, 1);
}

/* Each is answered as if those before it were carried out. */
static void test_order(void **state)
{
	struct fixture *f = *state;
	uint16_t answers[16];

	start(f);
	request_size(f, 8 * MIB);
	forget_calls();
	add(f, PLUG, 0, 2);    /* ACK */
	add(f, PLUG, 1, 1);    /* ERROR: it is */
	add(f, PLUG, 2, 2);    /* ACK */
	add(f, PLUG, 8, 1);    /* NACK: that is all */
	add(f, STATE, 0, 4);   /* plugged */
	add(f, UNPLUG, 3, 1);  /* ACK */
	add(f, UNPLUG, 3, 1);  /* ERROR */
	add(f, PLUG, 8, 1);    /* ACK: there is room */
	add(f, UNPLUG, 8, 1);  /* ACK */
	add(f, STATE, 0, 9);   /* mixed */
	add(f, UNPLUG_ALL, 0, 0);
	add(f, STATE, 0, 9);   /* unplugged */
	add(f, UNPLUG, 0, 1);  /* ERROR */
	add(f, PLUG, 0, 4);    /* ACK */
	add(f, PLUG, 4, 1);    /* NACK */
	add(f, 9, 0, 0);       /* ERROR */
	kick(f, answers);
	check_answers(answers,
	              (uint16_t[]){ ACK, ERROR, ACK, NACK, ACK, ACK, ERROR, ACK, ACK, ACK, ACK, ACK,
	                            ERROR, ACK, NACK, ERROR },
	              16);
	assert_int_equal(answer_state(f, 4), VIRTIO_MEM_STATE_PLUGGED);
	assert_int_equal(answer_state(f, 9), VIRTIO_MEM_STATE_MIXED);
	assert_int_equal(answer_state(f, 11), VIRTIO_MEM_STATE_UNPLUGGED);
	assert_int_equal(fake_transport.used_notifications[0], 1);
	assert_int_equal(status(f).plugged_bytes, 8 * MIB);
	assert_int_equal(status(f).answers[MEMORY_DEVICE_PLUG][MEMORY_DEVICE_NACK], 2);
	assert_int_equal(status(f).answers[MEMORY_DEVICE_INVALID][MEMORY_DEVICE_ERROR], 1);
}

/* Requests that undo each other cannot be merged: others get their turn in between. */
static void test_turns_are_bounded(void **state)
{
	struct fixture *f = *state;
	uint16_t answers[128];

	start(f);
	request_size(f, 8 * MIB);
	forget_calls();
	for (unsigned int i = 0; i < 128; i++)
		add(f, i & 1 ? UNPLUG : PLUG, 0, 1);
	kick(f, answers);
	for (unsigned int i = 0; i < 128; i++)
		assert_int_equal(answers[i], ACK);
	assert_in_range(fake_transport.used_notifications[0], 2, 64);
	assert_int_equal(status(f).plugged_bytes, 0);
}

/* --- drivers that do not keep to the layout --- */

static uint32_t offer(struct fixture *f, const struct fake_driver_buffer *buffers,
                      unsigned int count)
{
	uint32_t head, size_bytes;

	fake_driver_add(&f->driver, 0, buffers, count);
	fake_driver_kick(&f->driver, 0);
	assert_true(fake_driver_take_used(&f->driver, 0, &head, &size_bytes));
	return size_bytes;
}

/* PLUG of the region's first block, at REQUEST_GPA. */
static void store_plug(struct fixture *f)
{
	uint8_t bytes[24] = { 0 };

	store_le64(bytes + 8, REGION_GPA);
	store_le16(bytes + 16, 1);
	assert_int_equal(gmem_write(f->vm.memory, REQUEST_GPA, bytes, sizeof(bytes)), 0);
}

static uint16_t answer_at(struct fixture *f, gpa_t gpa)
{
	uint8_t bytes[2];

	assert_int_equal(gmem_read(f->vm.memory, gpa, bytes, 2), 0);
	return load_le16(bytes);
}

static void test_cut_short(void **state)
{
	const gpa_t answer = REQUEST_GPA + 4096;
	const struct fake_driver_buffer short_request[] = { { REQUEST_GPA, 23, false },
		                                            { answer, 10, true } };
	const struct fake_driver_buffer short_answer[] = { { REQUEST_GPA, 24, false },
		                                           { answer, 9, true } };
	const struct fake_driver_buffer only_request = { REQUEST_GPA, 24, false };
	const struct fake_driver_buffer only_answer = { answer, 10, true };
	const struct fake_driver_buffer nothing = { answer, 0, true };
	struct fixture *f = *state;

	start(f);
	request_size(f, 32 * MIB);
	store_plug(f);
	assert_int_equal(offer(f, short_request, 2), 10);
	assert_int_equal(answer_at(f, answer), ERROR);
	assert_int_equal(offer(f, &only_answer, 1), 10);
	/* What cannot be answered is not done. */
	assert_int_equal(offer(f, short_answer, 2), 0);
	assert_int_equal(offer(f, &only_request, 1), 0);
	assert_int_equal(offer(f, &nothing, 1), 0);
	assert_int_equal(mem_calls.total, 0);
	assert_int_equal(status(f).answers[MEMORY_DEVICE_INVALID][MEMORY_DEVICE_ERROR], 5);
	assert_true(status(f).driver_ready);
}

static void test_in_pieces(void **state)
{
	struct fake_driver_buffer buffers[24 + 12];
	const gpa_t answer = REQUEST_GPA + 4096;
	struct fixture *f = *state;

	start(f);
	request_size(f, 32 * MIB);
	store_plug(f);
	for (unsigned int i = 0; i < 24; i++)
		buffers[i] = (struct fake_driver_buffer){ REQUEST_GPA + i, 1, false };
	for (unsigned int i = 0; i < 12; i++)
		buffers[24 + i] = (struct fake_driver_buffer){ answer + i * 16, 1, true };
	assert_int_equal(gmem_write(f->vm.memory, answer, "\xee", 1), 0);
	assert_int_equal(offer(f, buffers, ARRAY_SIZE(buffers)), 10);
	assert_int_equal(answer_at(f, answer) & 0xff, ACK);
	assert_true(is_plugged(f, 0));
	/* More than there has to be. */
	buffers[0] = (struct fake_driver_buffer){ REQUEST_GPA, 4096, false };
	buffers[1] = (struct fake_driver_buffer){ answer, 4096, true };
	assert_int_equal(offer(f, buffers, 2), 10);
	assert_int_equal(answer_at(f, answer), ERROR);
}

/* The answer's place goes with the request: nothing is written where it was. */
static void test_answer_in_what_is_unplugged(void **state)
{
	const struct fake_driver_buffer buffers[] = { { REQUEST_GPA, 24, false },
		                                      { REGION_GPA + 64, 10, true } };
	struct fixture *f = *state;

	start(f);
	request_size(f, 32 * MIB);
	assert_int_equal(plug(f, 0, 1), ACK);
	store_plug(f);
	assert_int_equal(gmem_write(f->vm.memory, REQUEST_GPA, "\x01", 1), 0);
	assert_int_equal(offer(f, buffers, 2), 0);
	assert_int_equal(status(f).plugged_bytes, 0);
	assert_int_equal(status(f).answers[MEMORY_DEVICE_UNPLUG][MEMORY_DEVICE_ACK], 1);
	/* It is no memory now: a buffer there breaks the driver, not us. */
	fake_driver_add(&f->driver, 0, buffers, 2);
	fake_driver_kick(&f->driver, 0);
	assert_true(virtio_status(f->driver.vdev) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* So does the queue itself. */
static void test_rings_in_what_is_unplugged(void **state)
{
	uint32_t head, size_bytes;
	struct fixture *f = *state;

	start(f);
	request_size(f, 32 * MIB);
	assert_int_equal(plug(f, 0, 4), ACK);
	f->driver.rings_gpa = REGION_GPA + BLOCK;
	fake_driver_reset(&f->driver);
	start(f);
	assert_int_equal(ask(f, STATE, 0, 4), ACK);
	add(f, UNPLUG_ALL, 0, 0);
	fake_driver_kick(&f->driver, 0);
	assert_int_equal(status(f).plugged_bytes, 0);
	fake_driver_reset(&f->driver);
	f->driver.rings_gpa = RINGS_GPA;
	start(f);
	assert_false(fake_driver_take_used(&f->driver, 0, &head, &size_bytes));
	assert_int_equal(plug(f, 0, 4), ACK);
}

static void test_hostile_chains(void **state)
{
	struct fixture *f = *state;

	create(f);
	assert_int_equal(fake_driver_run_hostile_chains(&f->driver, FEATURES, 0, REQUEST_GPA,
	                                                RAM_BYTES),
	                 0);
}

/* --- a host that fails --- */

static void test_plug_fails(void **state)
{
	struct fixture *f = *state;
	uint16_t answers[4];

	start(f);
	request_size(f, 64 * MIB);
	mem_calls.fail_gpa = REGION_GPA + 2 * BLOCK;
	for (unsigned int i = 0; i < 4; i++)
		add(f, PLUG, i, 1);
	kick(f, answers);
	check_answers(answers, (uint16_t[]){ ACK, ACK, BUSY, ACK }, 4);
	assert_int_equal(status(f).plugged_bytes, 6 * MIB);
	assert_false(is_plugged(f, 2));
	mem_calls.fail_gpa = 0;
	assert_int_equal(plug(f, 2, 1), ACK);
}

static void test_unplug_fails(void **state)
{
	struct fixture *f = *state;
	uint16_t answers[4];

	start(f);
	request_size(f, 64 * MIB);
	assert_int_equal(plug(f, 0, 8), ACK);
	touch(f, 0, 8);
	mem_calls.fail_gpa = REGION_GPA + 2 * BLOCK;
	for (unsigned int i = 0; i < 4; i++)
		add(f, UNPLUG, i, 1);
	kick(f, answers);
	check_answers(answers, (uint16_t[]){ ACK, ACK, BUSY, ACK }, 4);
	assert_true(is_plugged(f, 2) && !is_plugged(f, 3));
	assert_int_equal(*(uint8_t *)gmem_span(f->vm.memory, REGION_GPA + 2 * BLOCK, 1), 0x5a);
	assert_int_equal(status(f).plugged_bytes, 10 * MIB);
	mem_calls.fail_gpa = 0;
	assert_int_equal(unplug(f, 2, 1), ACK);
}

/* Memory that the host does not take back stays the guest's, as it was. */
static void test_release_fails(void **state)
{
	struct fixture *f = *state;
	uint16_t answers[2];

	start(f);
	request_size(f, 64 * MIB);
	assert_int_equal(plug(f, 0, 8), ACK);
	touch(f, 0, 8);
	mem_calls.fail_release = true;
	add(f, UNPLUG, 0, 1);
	add(f, UNPLUG, 4, 1);
	kick(f, answers);
	check_answers(answers, (uint16_t[]){ BUSY, BUSY }, 2);
	assert_int_equal(status(f).plugged_bytes, 16 * MIB);
	assert_int_equal(*(uint8_t *)gmem_span(f->vm.memory, REGION_GPA, 1), 0x5a);
	assert_int_equal(unplug(f, 2, 1), BUSY);
	assert_int_equal(ask(f, UNPLUG_ALL, 0, 0), BUSY);
	assert_int_equal(status(f).plugged_bytes, 16 * MIB);
	/* Not even that: then they are unplugged, which the answer says. */
	mem_calls.fail_plug_again = true;
	assert_int_equal(unplug(f, 0, 1), ACK);
	assert_false(is_plugged(f, 0));
	assert_int_equal(status(f).plugged_bytes, 14 * MIB);
	mem_calls.fail_release = mem_calls.fail_plug_again = false;
	assert_int_equal(plug(f, 0, 1), ACK);
	assert_int_equal(*(uint8_t *)gmem_span(f->vm.memory, REGION_GPA, 1), 0);
}

/* The first try of many fails, then those of each. */
static void test_release_fails_once(void **state)
{
	struct fixture *f = *state;
	uint16_t answers[3];

	start(f);
	request_size(f, 64 * MIB);
	assert_int_equal(plug(f, 0, 8), ACK);
	forget_calls();
	mem_calls.fail_from = 3; /* after three of gmem_unplug */
	mem_calls.fail_count = 1;
	add(f, UNPLUG, 0, 1);
	add(f, UNPLUG, 2, 1);
	add(f, UNPLUG, 4, 1);
	kick(f, answers);
	check_answers(answers, (uint16_t[]){ ACK, ACK, ACK }, 3);
	assert_int_equal(mem_calls.release, 4);
	assert_int_equal(mem_calls.plug_again, 0);
}

/* The same when all is to go; what alone fails too is kept, and no other run with it. */
static void test_release_of_all_fails_once(void **state)
{
	struct fixture *f = *state;

	start(f);
	request_size(f, 64 * MIB);
	assert_int_equal(plug(f, 0, 2), ACK);
	assert_int_equal(plug(f, 4, 2), ACK);
	touch(f, 0, 2);
	forget_calls();
	mem_calls.fail_from = 2; /* after two of gmem_unplug: together, then the first alone */
	mem_calls.fail_count = 2;
	assert_int_equal(ask(f, UNPLUG_ALL, 0, 0), BUSY);
	assert_int_equal(mem_calls.release, 3);
	assert_int_equal(mem_calls.plug_again, 1);
	assert_int_equal(*(uint8_t *)gmem_span(f->vm.memory, REGION_GPA, 1), 0x5a);
	assert_int_equal(status(f).plugged_bytes, 4 * MIB);
	assert_false(is_plugged(f, 4));
	assert_int_equal(plug(f, 4, 2), ACK);
	forget_calls();
	mem_calls.fail_from = 2;
	mem_calls.fail_count = 1;
	assert_int_equal(ask(f, UNPLUG_ALL, 0, 0), ACK);
	assert_int_equal(mem_calls.release, 3);
	assert_int_equal(mem_calls.plug_again, 0);
	assert_int_equal(status(f).plugged_bytes, 0);
}

static void check_truth(struct fixture *f)
{
	uint64_t plugged_bytes = 0;

	for (unsigned int block = 0; block < REGION_BYTES / BLOCK; block++)
		plugged_bytes += is_plugged(f, block) ? BLOCK : 0;
	assert_int_equal(read_config(f, CONFIG(plugged_size)), plugged_bytes);
	assert_int_equal(plugged_bytes + RAM_BYTES, gmem_total_bytes(f->vm.memory));
}

/* Requests of each kind, in one batch; each answer is true of the memory. */
static void run_batch(struct fixture *f)
{
	uint16_t answers[8];

	add(f, PLUG, 0, 2);
	add(f, PLUG, 2, 2);
	add(f, PLUG, 8, 1);
	kick(f, answers);
	check_truth(f);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(answers[i] == ACK || answers[i] == BUSY);
	assert_int_equal(is_plugged(f, 8), answers[2] == ACK);
	add(f, UNPLUG, 1, 1);
	add(f, UNPLUG, 2, 1);
	add(f, UNPLUG, 8, 1);
	add(f, STATE, 0, 9);
	kick(f, answers);
	check_truth(f);
	assert_int_equal(answers[3], ACK);
	assert_int_not_equal(answers[0], NACK);
	add(f, UNPLUG_ALL, 0, 0);
	kick(f, answers);
	check_truth(f);
	assert_int_equal(status(f).plugged_bytes == 0, answers[0] == ACK);
	mem_calls.fail_count = 0;
	assert_int_equal(ask(f, UNPLUG_ALL, 0, 0), ACK);
	assert_int_equal(status(f).plugged_bytes, 0);
}

/* The Nth call, and one, two or three behind it, fail, for each N. */
static void test_every_call_fails(void **state)
{
	struct fixture *f = *state;

	start(f);
	request_size(f, 64 * MIB);
	for (unsigned int count = 1; count <= 4; count++) {
		for (unsigned int from = 0; from < 24; from++) {
			forget_calls();
			mem_calls.fail_from = from;
			mem_calls.fail_count = count;
			run_batch(f);
			assert_int_equal(plug(f, 3, 1), ACK);
			assert_int_equal(unplug(f, 3, 1), ACK);
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_answers),
		TEST(test_addresses),
		TEST(test_state),
		TEST(test_memory),
		TEST(test_neighbours_are_one),
		TEST(test_apart_is_one_release),
		TEST(test_order),
		TEST(test_turns_are_bounded),
		TEST(test_cut_short),
		TEST(test_in_pieces),
		TEST(test_answer_in_what_is_unplugged),
		TEST(test_rings_in_what_is_unplugged),
		TEST(test_hostile_chains),
		TEST(test_plug_fails),
		TEST(test_unplug_fails),
		TEST(test_release_fails),
		TEST(test_release_fails_once),
		TEST(test_release_of_all_fails_once),
		TEST(test_every_call_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
