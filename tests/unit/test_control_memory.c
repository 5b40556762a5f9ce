/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: control_guest fake_vm fake_balloon fake_reclaim fake_kvm fake_arch */
/* fakes: fake_device_table control_calls */
/* Memory devices as QMP: QEMU's names and fields, properties, figures. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "control_calls.h"
#include "control_guest.h"

static struct control_guest guest;
static struct control_shared shared;
static struct control_session session;

static int set_up(void **state)
{
	(void)state;
	control_guest_create(&guest);
	control_guest_add_memory(&guest, "vm0");
	control_guest_add_memory(&guest, "vm1");
	guest.memory_devices[0].status.requested_bytes = GIB;
	guest.memory_devices[0].status.plugged_bytes = 80 * MIB;
	guest.memory_devices[0].status.usable_bytes = 1280 * MIB;
	guest.memory_devices[1].status.plugged_bytes = 6 * MIB;
	shared = (struct control_shared){ .vm = &guest.vm };
	session = (struct control_session){ .shared = &shared };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	control_guest_destroy(&guest);
	return 0;
}

static void answers(const char *name, const char *arguments, const char *expected)
{
	assert_control_answers(&session, name, arguments, expected);
}

static void fails(const char *name, const char *arguments, const char *class, const char *message)
{
	assert_control_fails(&session, name, arguments, class, message);
}

static void devices_are_described_as_qemu_does(void **state)
{
	(void)state;
	answers("query-memory-devices", "{}",
	        "[{\"type\": \"virtio-mem\", \"data\": {\"id\": \"vm0\", \"memaddr\": 4294967296, "
	        "\"requested-size\": 1073741824, \"size\": 83886080, \"max-size\": 8589934592, "
	        "\"block-size\": 2097152, \"node\": 0, \"memdev\": \"/objects/vm0\"}}, "
	        "{\"type\": \"virtio-mem\", \"data\": {\"id\": \"vm1\", \"memaddr\": 8589934592, "
	        "\"requested-size\": 0, \"size\": 6291456, \"max-size\": 8589934592, "
	        "\"block-size\": 2097152, \"node\": 1, \"memdev\": \"/objects/vm1\"}}]");
	answers("query-memory-size-summary", "{}",
	        "{\"base-memory\": 67108864, \"plugged-memory\": 90177536}");
	guest.memory_device_count = 0;
	answers("query-memory-devices", "{}", "[]");
	answers("query-memory-size-summary", "{}",
	        "{\"base-memory\": 67108864, \"plugged-memory\": 0}");
}

#define GET(path, property) "{\"path\": \"" path "\", \"property\": \"" property "\"}"
#define SET(path, value) \
	"{\"path\": \"" path "\", \"property\": \"requested-size\", \"value\": " value "}"

static void properties_are_read(void **state)
{
	(void)state;
	answers("qom-get", GET("vm0", "requested-size"), "1073741824");
	answers("qom-get", GET("/machine/peripheral/vm0", "size"), "83886080");
	answers("qom-get", GET("vm0", "usable-region-size"), "1342177280");
	answers("qom-get", GET("vm0", "block-size"), "2097152");
	answers("qom-get", GET("vm1", "node"), "1");
	answers("qom-get", GET("vm1", "memaddr"), "8589934592");
	answers("qom-get", GET("vm1", "id"), "\"vm1\"");
	fails("qom-get", GET("vm0", "color"), "GenericError",
	      "vm0 has no property 'color' (it has requested-size, which can be set, and id, size, "
	      "max-size, block-size, usable-region-size, memaddr, node and memdev)");
	fails("qom-get", GET("vm2", "size"), "DeviceNotFound",
	      "vm2: there is no such object (there is the balloon as "
	      "/machine/peripheral/balloon0, vm0, vm1)");
	guest.vm.balloon = NULL;
	fails("qom-get", GET("/machine/peripheral/balloon0", "guest-stats"), "DeviceNotFound",
	      "/machine/peripheral/balloon0: there is no such object (there is vm0, vm1)");
}

static void the_requested_size_is_set(void **state)
{
	(void)state;
	answers("qom-set", SET("vm1", "2097152"), "{}");
	assert_int_equal(guest.memory_devices[1].status.requested_bytes, 2 * MIB);
	assert_int_equal(guest.memory_devices[0].status.requested_bytes, GIB);
	answers("qom-set", SET("/machine/peripheral/vm0", "0"), "{}");
	assert_int_equal(guest.memory_devices[0].status.requested_bytes, 0);
	fails("qom-set", SET("vm1", "1048576"), "GenericError", "the fake memory device refuses");
	fails("qom-set", SET("vm1", "-2097152"), "GenericError",
	      "requested-size: not a size (give a whole number of bytes)");
	fails("qom-set", SET("vm1", "\"1G\""), "GenericError",
	      "requested-size: not a size (give a whole number of bytes)");
	fails("qom-set", "{\"path\": \"vm1\", \"property\": \"size\", \"value\": 0}",
	      "GenericError", "size can only be read");
	fails("qom-set", "{\"path\": \"vm1\", \"property\": \"color\", \"value\": 0}",
	      "GenericError",
	      "vm1 has no property 'color' (it has requested-size, which can be set, and id, size, "
	      "max-size, block-size, usable-region-size, memaddr, node and memdev)");
	assert_int_equal(guest.memory_devices[1].status.requested_bytes, 2 * MIB);
}

static void plugged_memory_is_the_balloons_too(void **state)
{
	struct control_failure failure;
	json_t *stat;

	(void)state;
	guest.balloon.ram_bytes = 0; /* its own bound is the device's business */
	answers("query-balloon", "{}", "{\"actual\": 157286400}");
	guest.balloon.status.actual_bytes = 100 * MIB;
	answers("query-balloon", "{}", "{\"actual\": 52428800}");
	answers("balloon", "{\"value\": 52428800}", "{}");
	assert_int_equal(guest.balloon.status.target_bytes, 100 * MIB);
	stat = control_call(&session, "x-ebb-query-stat", "{}", &failure);
	assert_int_equal(json_integer_value(
				 json_object_get(json_object_get(stat, "memory"), "plugged_bytes")),
	                 86 * MIB);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(stat, "memory"), "ram_bytes")),
		64 * MIB);
	json_decref(stat);
}

static void every_figure_is_in_the_stat(void **state)
{
	struct memory_device_status *status = &guest.memory_devices[0].status;
	struct control_failure failure;
	json_t *stat;
	char *text;

	(void)state;
	guest.memory_device_count = 1;
	status->answers[MEMORY_DEVICE_PLUG][MEMORY_DEVICE_ACK] = 40;
	status->answers[MEMORY_DEVICE_PLUG][MEMORY_DEVICE_BUSY] = 2;
	status->answers[MEMORY_DEVICE_INVALID][MEMORY_DEVICE_ERROR] = 3;
	status->slots = 5;
	status->touches = 7;
	status->touched_block = 11;
	status->touched_vcpu = 1;
	stat = control_call(&session, "x-ebb-query-stat", "{}", &failure);
	text = json_dumps(json_object_get(stat, "virtio_mem"), 0);
	assert_string_equal(
		text,
		"[{\"id\": \"vm0\", \"gpa\": 4294967296, \"node\": 0, \"block_size\": 2097152, "
		"\"requested_bytes\": 1073741824, \"plugged_bytes\": 83886080, \"region_bytes\": "
		"8589934592, \"usable_bytes\": 1342177280, \"driver_ready\": true, \"slots\": 5, "
		"\"answers\": {"
		"\"plug\": {\"ack\": 40, \"nack\": 0, \"busy\": 2, \"error\": 0}, "
		"\"unplug\": {\"ack\": 0, \"nack\": 0, \"busy\": 0, \"error\": 0}, "
		"\"unplug_all\": {\"ack\": 0, \"nack\": 0, \"busy\": 0, \"error\": 0}, "
		"\"state\": {\"ack\": 0, \"nack\": 0, \"busy\": 0, \"error\": 0}, "
		"\"invalid\": {\"ack\": 0, \"nack\": 0, \"busy\": 0, \"error\": 3}}, "
		"\"touches\": 7, \"last_touch\": {\"block\": 11, \"vcpu\": 1}}]");
	free(text);
	json_decref(stat);
	status->touches = 0;
	stat = control_call(&session, "x-ebb-query-stat", "{}", &failure);
	assert_true(json_is_null(json_object_get(
		json_array_get(json_object_get(stat, "virtio_mem"), 0), "last_touch")));
	json_decref(stat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(devices_are_described_as_qemu_does), TEST(properties_are_read),
		TEST(the_requested_size_is_set),          TEST(plugged_memory_is_the_balloons_too),
		TEST(every_figure_is_in_the_stat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
