/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-console between a fake driver and a fake host console. */
/* fakes: fake_virtio_driver hostile_chains test_driver fake_vm fake_console */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_console.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../devices/device_table.h"
#include "ebb/bytes.h"
#include "fake_console.h"
#include "fake_virtio_driver.h"

#define RAM_BYTES  (8 * MIB)
#define RINGS_GPA  (7 * MIB)
#define BUFFER_GPA (1 * MIB)
#define SIZE       (UINT64_C(1) << VIRTIO_CONSOLE_F_SIZE)

enum { RECEIVE, TRANSMIT };

struct fixture {
	struct vm_config vm_config;
	struct vm vm;
	struct device_config config;
	struct device *device;
	struct fake_driver driver;
};

static int set_up_kind(void **state, enum console_kind kind)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_console_clear();
	fake_console.columns = 132;
	fake_console.rows = 50;
	f->vm_config.console = kind;
	fake_driver_vm_create(&f->vm, &f->vm_config, RAM_BYTES);
	assert_int_equal(console_create(NULL, NULL, NULL, NULL, &f->vm.console, NULL), 0);
	f->config.class = &virtio_console_class;
	assert_int_equal(virtio_console_class.create(&f->vm, &f->config, &f->device, NULL), 0);
	fake_driver_init(&f->driver, &f->vm, f->device, RINGS_GPA);
	*state = f;
	return 0;
}

static int set_up(void **state)
{
	return set_up_kind(state, CONSOLE_VIRTIO);
}

static int set_up_serial(void **state)
{
	return set_up_kind(state, CONSOLE_SERIAL);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	virtio_console_class.destroy(f->device);
	assert_null(fake_console.ops);
	fake_driver_vm_destroy(&f->vm);
	free(f);
	return 0;
}

static void start(struct fixture *f, uint64_t features)
{
	assert_true(fake_driver_start(&f->driver, features, 2, 128));
}

static void add(struct fixture *f, unsigned int queue, gpa_t gpa, uint32_t size_bytes)
{
	fake_driver_add(&f->driver, queue,
	                &(struct fake_driver_buffer){ gpa, size_bytes, queue == RECEIVE }, 1);
}

static void print(struct fixture *f, const char *text)
{
	memcpy(gmem_span(f->vm.memory, BUFFER_GPA, strlen(text)), text, strlen(text));
	add(f, TRANSMIT, BUFFER_GPA, (uint32_t)strlen(text));
	fake_driver_kick(&f->driver, TRANSMIT);
}

/* What the guest received, appended to text. */
static void receive(struct fixture *f, char *text, gpa_t gpa)
{
	uint32_t head, size_bytes;

	assert_true(fake_driver_take_used(&f->driver, RECEIVE, &head, &size_bytes));
	strncat(text, gmem_span(f->vm.memory, gpa, size_bytes ? size_bytes : 1), size_bytes);
}

static bool take_used(struct fixture *f, unsigned int queue)
{
	uint32_t head, size_bytes;

	return fake_driver_take_used(&f->driver, queue, &head, &size_bytes);
}

static uint64_t metric(struct fixture *f, const char *name)
{
	for (size_t i = 0; i < f->device->metric_count; i++)
		if (!strcmp(f->device->metrics[i].name, name))
			return metric_read(&f->device->metrics[i].counter);
	fail_msg("no metric %s", name);
	return 0;
}

static void test_output(void **state)
{
	struct fixture *f = *state;

	start(f, 0);
	print(f, "hello, ");
	print(f, "world\n");
	assert_int_equal(fake_console.output_bytes, 13);
	assert_memory_equal(fake_console.output, "hello, world\n", 13);
	assert_true(take_used(f, TRANSMIT));
	assert_true(take_used(f, TRANSMIT));
	assert_int_equal(metric(f, "bytes_out"), 13);
}

static void test_output_is_bounded(void **state)
{
	struct fake_driver_buffer buffers[4];
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 4; i++)
		buffers[i] = (struct fake_driver_buffer){ BUFFER_GPA, MIB, false };
	start(f, 0);
	fake_driver_add(&f->driver, TRANSMIT, buffers, 4);
	fake_driver_add(&f->driver, TRANSMIT, buffers, 4);
	fake_driver_kick(&f->driver, TRANSMIT);
	/* In turns, the second without another kick. */
	for (unsigned int taken = 0; taken < 2; taken += take_used(f, TRANSMIT))
		fake_driver_settle(&f->driver);
	assert_int_equal(fake_console.output_bytes, 2 * MIB);
	assert_int_equal(metric(f, "bytes_dropped"), 6 * MIB);
}

/* Many chains are not one turn: whoever resets the device waits for that. */
static void test_output_comes_in_turns(void **state)
{
	struct fixture *f = *state;

	start(f, 0);
	for (unsigned int i = 0; i < 4; i++)
		add(f, TRANSMIT, BUFFER_GPA, 64 * KIB);
	fake_driver_kick(&f->driver, TRANSMIT);
	for (unsigned int i = 0; i < 4; i++) {
		fake_driver_settle(&f->driver);
		assert_true(take_used(f, TRANSMIT));
	}
	assert_int_equal(fake_console.output_bytes, 256 * KIB);
	assert_int_equal(fake_transport.used_notifications[TRANSMIT], 4);
}

/* What else the loop has to do, asked for while the first bytes go out. */
struct other_work {
	struct event_work work;
	size_t seen_bytes; /* the output when its turn came */
	unsigned int wait_us;
};

static void see_output(void *ctx)
{
	((struct other_work *)ctx)->seen_bytes = fake_console.output_bytes;
}

static void ask_for_other_work(void *ctx)
{
	struct other_work *other = ctx;

	if (!other->seen_bytes)
		event_work_post(&other->work);
	usleep(other->wait_us);
}

/* One long chain does not hold the loop up, and a slow reader even less. */
static void test_a_chain_comes_in_turns(void **state)
{
	static const struct {
		unsigned int wait_us;
		size_t turn_bytes, chain_bytes;
	} rows[] = { { 0, 64 * KIB, MIB }, { 60000, 4 * KIB, 12 * KIB } };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct other_work other = { .wait_us = rows[i].wait_us };

		event_work_init(&other.work, f->vm.io_loop, see_output, &other);
		fake_console.output_bytes = 0;
		fake_console.during_write = ask_for_other_work;
		fake_console.during_write_ctx = &other;
		start(f, 0);
		add(f, TRANSMIT, BUFFER_GPA, (uint32_t)rows[i].chain_bytes);
		fake_driver_kick(&f->driver, TRANSMIT);
		while (!take_used(f, TRANSMIT))
			fake_driver_settle(&f->driver);
		assert_in_range(other.seen_bytes, 1, rows[i].turn_bytes);
		assert_int_equal(fake_console.output_bytes, rows[i].chain_bytes);
		fake_console.during_write = NULL;
		fake_driver_reset(&f->driver);
		event_work_cancel(&other.work);
	}
}

/* The console takes nothing for now: the chain stays the device's, and the loop does other things.
 */
static void test_a_slow_reader_holds_the_chain_alone(void **state)
{
	static char text[10 * KIB];
	struct fixture *f = *state;
	char typed[64] = "";

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 23);
	memcpy(gmem_span(f->vm.memory, BUFFER_GPA, sizeof(text)), text, sizeof(text));
	start(f, 0);
	fake_console.is_slow = true;
	fake_console.room_bytes = 100;
	add(f, TRANSMIT, BUFFER_GPA, sizeof(text));
	add(f, RECEIVE, BUFFER_GPA + MIB, 64);
	fake_driver_kick(&f->driver, TRANSMIT);
	fake_driver_kick(&f->driver, RECEIVE);
	fake_console_type("ls\n", 3);
	fake_driver_settle(&f->driver);
	receive(f, typed, BUFFER_GPA + MIB);
	assert_string_equal(typed, "ls\n");
	assert_false(take_used(f, TRANSMIT));
	assert_int_equal(fake_console.output_bytes, 100);
	assert_int_equal(metric(f, "bytes_out"), 100);
	/* A kick finds no room either. */
	fake_driver_kick(&f->driver, TRANSMIT);
	assert_int_equal(fake_console.output_bytes, 100);
	fake_console_make_room(5000);
	fake_driver_settle(&f->driver);
	assert_int_equal(fake_console.output_bytes, 5100);
	assert_false(take_used(f, TRANSMIT));
	fake_console_make_room(sizeof(text));
	fake_driver_settle(&f->driver);
	assert_true(take_used(f, TRANSMIT));
	assert_int_equal(fake_console.output_bytes, sizeof(text));
	assert_memory_equal(fake_console.output, text, sizeof(text));
	assert_int_equal(metric(f, "bytes_dropped"), 0);
}

/* Memory that comes or goes elsewhere, as with virtio-mem, costs none of a chain that waits. */
static void test_memory_changes_under_a_chain(void **state)
{
	static char text[10 * KIB];
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 23);
	assert_int_equal(gmem_add_region(f->vm.memory, 4 * GIB, 2 * MIB, NULL, NULL), 0);
	memcpy(gmem_span(f->vm.memory, 4 * GIB, sizeof(text)), text, sizeof(text));
	start(f, 0);
	fake_console.is_slow = true;
	fake_console.room_bytes = 100;
	add(f, TRANSMIT, 4 * GIB, sizeof(text));
	fake_driver_kick(&f->driver, TRANSMIT);
	assert_int_equal(gmem_add_region(f->vm.memory, 8 * GIB, 2 * MIB, NULL, NULL), 0);
	fake_console_make_room(5000);
	fake_driver_settle(&f->driver);
	assert_int_equal(fake_console.output_bytes, 5100);
	assert_int_equal(metric(f, "bytes_dropped"), 0);
	/* Its own going is another matter: what was read of it is all there is. */
	assert_int_equal(gmem_remove_region(f->vm.memory, 4 * GIB), 0);
	fake_console_make_room(sizeof(text));
	fake_driver_settle(&f->driver);
	assert_true(take_used(f, TRANSMIT));
	assert_int_equal(fake_console.output_bytes, 8 * KIB);
	assert_memory_equal(fake_console.output, text, 8 * KIB);
	assert_int_equal(metric(f, "bytes_dropped"), 2 * KIB);
}

/* What had left the guest when its driver went is not lost. */
static void test_reset_keeps_what_waits_for_the_reader(void **state)
{
	struct fixture *f = *state;

	start(f, 0);
	fake_console.is_slow = true;
	print(f, "last words, ");
	assert_int_equal(fake_console.output_bytes, 0);
	fake_driver_reset(&f->driver);
	fake_console_make_room(3);
	start(f, 0);
	print(f, "first words");
	fake_console_make_room(1000);
	fake_driver_settle(&f->driver);
	assert_string_equal(fake_console.output, "last words, first words");
	/* Nor at the end of all: the last of it is written as the others write. */
	print(f, "x");
	fake_console.room_bytes = 0;
	print(f, "y");
	assert_int_equal(fake_console.output_bytes, 24);
	virtio_console_class.destroy(f->device);
	assert_string_equal(fake_console.output, "last words, first wordsxy");
	assert_int_equal(virtio_console_class.create(&f->vm, &f->config, &f->device, NULL), 0);
}

/* A reset in the middle of a chain: what is left of it is not written any more. */
static void test_reset_forgets_a_chain(void **state)
{
	struct other_work other = { .wait_us = 30000 };
	struct fixture *f = *state;
	size_t written_bytes;

	event_work_init(&other.work, f->vm.io_loop, see_output, &other);
	fake_console.during_write = ask_for_other_work;
	fake_console.during_write_ctx = &other;
	start(f, 0);
	add(f, TRANSMIT, BUFFER_GPA, MIB);
	fake_driver_kick(&f->driver, TRANSMIT);
	fake_driver_reset(&f->driver);
	written_bytes = fake_console.output_bytes;
	assert_in_range(written_bytes, 1, MIB - 1);
	fake_console.during_write = NULL;
	event_work_cancel(&other.work);
	start(f, 0);
	print(f, "new");
	assert_true(take_used(f, TRANSMIT));
	assert_int_equal(fake_console.output_bytes, written_bytes + 3);
}

static void stop_transmit(void *ctx)
{
	struct fixture *f = ctx;

	virtio_queue_set_ready(f->driver.vdev, TRANSMIT, false);
}

/* A driver may take one queue back alone (virtio-mmio's QueueReady): not a byte is read then. */
static void test_a_stopped_queue_forgets_a_chain(void **state)
{
	struct other_work other = { .wait_us = 30000 };
	struct fixture *f = *state;

	event_work_init(&other.work, f->vm.io_loop, stop_transmit, f);
	fake_console.during_write = ask_for_other_work;
	fake_console.during_write_ctx = &other;
	start(f, 0);
	add(f, TRANSMIT, BUFFER_GPA, 64 * KIB);
	fake_driver_kick(&f->driver, TRANSMIT);
	fake_driver_settle(&f->driver);
	assert_int_equal(fake_console.output_bytes, 4 * KIB);
	fake_console.during_write = NULL;
	event_work_cancel(&other.work);
}

static void test_input(void **state)
{
	struct fixture *f = *state;
	char text[64] = "";

	start(f, 0);
	add(f, RECEIVE, BUFFER_GPA, 64);
	fake_driver_kick(&f->driver, RECEIVE);
	assert_false(take_used(f, RECEIVE));
	assert_int_equal(fake_console_type("ls\n", 3), 3);
	fake_driver_settle(&f->driver);
	receive(f, text, BUFFER_GPA);
	assert_string_equal(text, "ls\n");
	assert_int_equal(fake_transport.used_notifications[RECEIVE], 1);
}

/* More than the driver takes at once, in small buffers, some before it has any. */
static void test_input_is_never_lost(void **state)
{
	struct fixture *f = *state;
	char typed[3001] = "", text[3001] = "";
	size_t done = 0;

	for (size_t i = 0; i < 3000; i++)
		typed[i] = (char)('a' + i % 23);
	done += fake_console_type(typed, 10); /* before the driver */
	start(f, 0);
	done += fake_console_type(typed + done, 3000 - done);
	assert_in_range(done, 11, 2999);
	assert_int_equal(fake_console_type(typed + done, 3000 - done), 0);
	while (strlen(text) < 3000) {
		unsigned int ready = fake_console.ready_count;

		add(f, RECEIVE, BUFFER_GPA, 100);
		fake_driver_kick(&f->driver, RECEIVE);
		receive(f, text, BUFFER_GPA);
		if (done < 3000) {
			assert_int_equal(fake_console.ready_count, ready + 1);
			done += fake_console_type(typed + done, 3000 - done);
			/* Full again, which it is asked once more. */
			if (done < 3000)
				assert_int_equal(fake_console_type(typed + done, 1), 0);
		}
		fake_driver_settle(&f->driver);
	}
	assert_string_equal(text, typed);
	assert_int_equal(metric(f, "bytes_in"), 3000);
}

static void test_input_buffers_of_nothing(void **state)
{
	struct fixture *f = *state;
	char text[16] = "";

	start(f, 0);
	add(f, RECEIVE, BUFFER_GPA, 0);
	add(f, RECEIVE, BUFFER_GPA, 2);
	add(f, RECEIVE, BUFFER_GPA + 16, 8);
	fake_console_type("abcd", 4);
	fake_driver_kick(&f->driver, RECEIVE);
	receive(f, text, BUFFER_GPA);
	assert_string_equal(text, "");
	receive(f, text, BUFFER_GPA);
	receive(f, text, BUFFER_GPA + 16);
	assert_string_equal(text, "abcd");
}

/* A driver begins with a reset, and another one may have been there: firmware's, or a kernel that
 * was left by kexec. */
static void test_a_drivers_reset_keeps_input(void **state)
{
	struct fixture *f = *state;
	char text[64] = "";

	fake_console_type("early ", 6);
	fake_driver_reset(&f->driver);
	start(f, 0);
	fake_console_type("bird", 4);
	fake_driver_reset(&f->driver);
	start(f, 0);
	add(f, RECEIVE, BUFFER_GPA, 64);
	fake_driver_kick(&f->driver, RECEIVE);
	receive(f, text, BUFFER_GPA);
	assert_string_equal(text, "early bird");
}

static void test_the_machines_reset_forgets_input(void **state)
{
	struct fixture *f = *state;
	char text[2048] = "", typed[1024];

	memset(typed, 'x', sizeof(typed));
	start(f, 0);
	assert_int_equal(fake_console_type(typed, sizeof(typed)), sizeof(typed));
	assert_int_equal(fake_console_type(typed, 1), 0);
	f->device->reset(f->device);
	/* It was refused, so it is told. */
	assert_int_equal(fake_console.ready_count, 1);
	start(f, 0);
	fake_console_type("new", 3);
	add(f, RECEIVE, BUFFER_GPA, 64);
	fake_driver_kick(&f->driver, RECEIVE);
	receive(f, text, BUFFER_GPA);
	assert_string_equal(text, "new");
}

static void test_size(void **state)
{
	struct fixture *f = *state;
	uint8_t size[4];

	assert_int_equal(virtio_offered_features(f->driver.vdev, 0) & 0xffffff, SIZE);
	start(f, SIZE);
	virtio_config_read(f->driver.vdev, 0, size, 4);
	assert_int_equal(load_le16(size), 132);
	assert_int_equal(load_le16(size + 2), 50);
	fake_console.columns = 80;
	fake_console.rows = 25;
	console_resized(f->vm.console);
	assert_int_equal(fake_transport.config_notifications, 1);
	virtio_config_read(f->driver.vdev, 0, size, 4);
	assert_int_equal(load_le16(size), 80);
	assert_int_equal(load_le16(size + 2), 25);
	/* The driver cannot write it. */
	virtio_config_write(f->driver.vdev, 0, "\1\1\1\1", 4);
	virtio_config_read(f->driver.vdev, 0, size, 4);
	assert_int_equal(load_le16(size), 80);
}

static void test_not_the_console(void **state)
{
	struct fixture *f = *state;

	assert_null(fake_console.ops);
	assert_int_equal(virtio_offered_features(f->driver.vdev, 0) & 0xffffff, 0);
	start(f, 0);
	add(f, RECEIVE, BUFFER_GPA, 64);
	fake_driver_kick(&f->driver, RECEIVE);
	assert_false(take_used(f, RECEIVE));
	print(f, "nobody hears it");
	assert_true(take_used(f, TRANSMIT));
	assert_int_equal(fake_console.output_bytes, 0);
	assert_int_equal(metric(f, "bytes_dropped"), 15);
}

static void test_create_refuses(void **state)
{
	struct fixture *f = *state;
	struct device *device = NULL;

	console_attach(f->vm.console, NULL, NULL);
	fake_transport.fail_create = -ENOSPC;
	assert_int_equal(virtio_console_class.create(&f->vm, &f->config, &device, NULL), -ENOSPC);
	assert_null(device);
	assert_null(fake_console.ops);
	virtio_console_class.destroy(NULL);
}

/* Without input the receive queue is not looked at. */
static void type_something(void)
{
	fake_console_type("x", 1);
}

static void test_hostile_chains(void **state)
{
	struct fixture *f = *state;

	f->driver.before_hostile_kick = type_something;
	for (unsigned int queue = 0; queue < 2; queue++)
		assert_int_equal(fake_driver_run_hostile_chains(&f->driver, SIZE, queue, BUFFER_GPA,
		                                                RAM_BYTES),
		                 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_output),
		TEST(test_output_is_bounded),
		TEST(test_output_comes_in_turns),
		TEST(test_a_chain_comes_in_turns),
		TEST(test_a_slow_reader_holds_the_chain_alone),
		TEST(test_memory_changes_under_a_chain),
		TEST(test_reset_keeps_what_waits_for_the_reader),
		TEST(test_reset_forgets_a_chain),
		TEST(test_a_stopped_queue_forgets_a_chain),
		TEST(test_input),
		TEST(test_input_is_never_lost),
		TEST(test_input_buffers_of_nothing),
		TEST(test_a_drivers_reset_keeps_input),
		TEST(test_the_machines_reset_forgets_input),
		TEST(test_size),
		TEST(test_create_refuses),
		TEST(test_hostile_chains),
		cmocka_unit_test_setup_teardown(test_not_the_console, set_up_serial, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
