/* SPDX-License-Identifier: Apache-2.0 */
/* MAC addresses and forwarded ports, in words and out of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/network.h"

static void addresses_are_read(void **state)
{
	static const char *const wrong[] = { "",
		                             "52:54:00:12:34",
		                             "52:54:00:12:34:5",
		                             "52:54:00:12:34:567",
		                             "52:54:00:12:34:56:78",
		                             "52.54.00.12.34.56",
		                             "525400123456",
		                             "52:54:00:12:34:5g",
		                             "52:54:00:12:34:56:",
		                             " 2:54:00:12:34:56",
		                             "00:00:00:00:00:00",
		                             "01:00:5e:00:00:01",
		                             "ff:ff:ff:ff:ff:ff" };
	const uint8_t expected[MAC_BYTES] = { 0x52, 0x54, 0x00, 0xab, 0xCD, 0x9f };
	uint8_t mac[MAC_BYTES] = { 1, 2, 3, 4, 5, 6 };
	char text[MAC_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_equal(mac_parse(wrong[i], mac), -EINVAL);
		assert_int_equal(mac[0], 1);
	}
	assert_int_equal(mac_parse("52:54:00:aB:Cd:9F", mac), 0);
	assert_memory_equal(mac, expected, MAC_BYTES);
	assert_string_equal(mac_format(mac, text), "52:54:00:ab:cd:9f");
	assert_int_equal(mac_parse("00-00-00-00-00-01", mac), 0);
	assert_int_equal(mac[5], 1);
}

static void chosen_addresses_differ_and_stay(void **state)
{
	static const char *const names[][2] = { { "a", "net0" },      { "a", "net1" },
		                                { "b", "net0" },      { "an", "et0" },
		                                { "", "anet0" },      { "anet0", "" },
		                                { "ebb-41", "net0" }, { "ebb-42", "net0" } };
	uint8_t macs[ARRAY_SIZE(names)][MAC_BYTES], again[MAC_BYTES];
	char text[MAC_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		mac_choose(names[i][0], names[i][1], macs[i]);
		mac_choose(names[i][0], names[i][1], again);
		assert_memory_equal(macs[i], again, MAC_BYTES);
		assert_int_equal(macs[i][0] & 3, 2); /* local, and one interface's */
		assert_int_equal(mac_parse(mac_format(macs[i], text), again), 0);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(macs[i], macs[j], MAC_BYTES);
	}
}

static void forwards_are_read(void **state)
{
	static const struct {
		const char *text;
		int ret;
		struct port_forward forward;
	} rows[] = {
		{ "2222:22", 0, { false, 2222, 22 } },
		{ "tcp:65535:1", 0, { false, 65535, 1 } },
		{ "udp:53:5353", 0, { true, 53, 5353 } },
		{ "00080:8", 0, { false, 80, 8 } },
		{ "65536:1", -ERANGE, { 0 } },
		{ "1:65536", -ERANGE, { 0 } },
		{ "99999999999999999999999:1", -ERANGE, { 0 } },
		{ "0:22", -ERANGE, { 0 } },
		{ "22:0", -ERANGE, { 0 } },
		{ "22", -EINVAL, { 0 } },
		{ "22:", -EINVAL, { 0 } },
		{ ":22", -EINVAL, { 0 } },
		{ "1:2:3", -EINVAL, { 0 } },
		{ "sctp:1:2", -EINVAL, { 0 } },
		{ "tcp:1", -EINVAL, { 0 } },
		{ "tcp:udp:1:2", -EINVAL, { 0 } },
		{ "-1:2", -EINVAL, { 0 } },
		{ "1: 2", -EINVAL, { 0 } },
		{ "", -EINVAL, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct port_forward forward = { 0 };

		assert_int_equal(port_forward_parse(rows[i].text, &forward), rows[i].ret);
		assert_int_equal(forward.udp, rows[i].forward.udp);
		assert_int_equal(forward.host_port, rows[i].forward.host_port);
		assert_int_equal(forward.guest_port, rows[i].forward.guest_port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read),
		cmocka_unit_test(chosen_addresses_differ_and_stay),
		cmocka_unit_test(forwards_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
