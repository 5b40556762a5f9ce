/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_device_table */
/* What goes together in one network interface, and in two. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/cmdline.h"
#include "../../src/config_private.h"
#include "ebb/device.h"

/* Two lists as `-n` takes them (b may be NULL), and the message; NULL: they are taken. */
struct row {
	const char *a, *b, *message;
};

static void check_row(const struct row *row)
{
	const struct device_class *class = device_class_find("virtio-net");
	struct error err = ERROR_INIT;
	struct vm_config config;
	char a[256], b[256];
	int ret;

	vm_config_init(&config);
	snprintf(a, sizeof(a), "%s", row->a);
	snprintf(b, sizeof(b), "%s", row->b ? row->b : "");
	assert_int_equal(cmdline_parse_device(&config, class, a, &err), 0);
	if (row->b)
		assert_int_equal(cmdline_parse_device(&config, class, b, &err), 0);
	ret = config_complete_devices(&config, &err);
	assert_string_equal(err.message, row->message ? row->message : "");
	assert_int_equal(ret, row->message ? -EINVAL : 0);
}

static void one_interface_goes_together(void **state)
{
	static const struct row rows[] = {
		{ "tap", NULL, NULL },
		{ "tap,ifname=tap0,queues=8,vhost=on,mac=52:54:00:12:34:56", NULL, NULL },
		{ "tap,ifname=fifteen-letters", NULL, NULL },
		{ "tap,fd=3,vhost=off", NULL, NULL },
		{ "user", NULL, NULL },
		{ "user,vhost=off,queues=1,forward=2222:22,forward=udp:2222:22,forward=80:80", NULL,
		  NULL },
		{ "queues=1", NULL,
		  "--network id=net0: neither tap nor user (begin with one of them)" },
		{ "tap,mac=52:54:00:12:34", NULL,
		  "--network id=net0 mac=52:54:00:12:34: no address of an interface (give one such "
		  "as 52:54:00:12:34:56)" },
		{ "user,mac=01:00:5e:00:00:01,id=lan", NULL,
		  "--network id=lan mac=01:00:5e:00:00:01: no address of an interface (give one "
		  "such as 52:54:00:12:34:56)" },
		{ "tap,ifname=tap0,fd=4", NULL,
		  "--network id=net0 ifname=tap0: fd is the interface already (leave one of them "
		  "out)" },
		{ "tap,ifname=sixteen-letters-", NULL,
		  "--network id=net0 ifname=sixteen-letters-: no name of an interface (give up to "
		  "15 characters, none of them '/', ':', '%' or blank)" },
		{ "tap,ifname=tap%d", NULL,
		  "--network id=net0 ifname=tap%d: no name of an interface (give up to 15 "
		  "characters, none of them '/', ':', '%' or blank)" },
		{ "tap,ifname=..", NULL,
		  "--network id=net0 ifname=..: no name of an interface (give up to 15 characters, "
		  "none of them '/', ':', '%' or blank)" },
		{ "tap,fd=2", NULL,
		  "--network id=net0 fd=2: a standard stream (give a descriptor of 3 or more)" },
		{ "tap,forward=2222:22", NULL,
		  "--network id=net0 forward=2222:22: goes with user alone (leave it out, or begin "
		  "with user)" },
		{ "user,ifname=tap0", NULL,
		  "--network id=net0 ifname=tap0: there is no interface with user (leave it out, "
		  "or begin with tap)" },
		{ "user,fd=5", NULL,
		  "--network id=net0 fd=5: there is no interface with user (leave it out, or begin "
		  "with tap)" },
		{ "user,vhost=on", NULL,
		  "--network id=net0 vhost=on: not with user (leave it out, or begin with tap)" },
		{ "user,queues=2", NULL,
		  "--network id=net0 queues=2: one with user (leave it out, or begin with tap)" },
		{ "user,mtu=65520", NULL, NULL },
		{ "user,mtu=65521", NULL,
		  "--network id=net0 mtu=65521: too large with user (give at most 65520)" },
		{ "user,forward=22", NULL,
		  "--network id=net0 forward=22: cannot be read (give HOSTPORT:GUESTPORT, with "
		  "tcp: or udp: before it or neither)" },
		{ "user,forward=1:1,forward=70000:22", NULL,
		  "--network id=net0 forward=70000:22: a port is out of range (give 1 to 65535)" },
		{ "user,forward=2222:22,forward=tcp:2222:23", NULL,
		  "--network id=net0 forward=tcp:2222:23: the host's port is forwarded already "
		  "(choose another)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i]);
}

static void two_interfaces_share_nothing(void **state)
{
	static const struct row rows[] = {
		{ "tap", "tap", NULL },
		{ "user", "user", NULL },
		{ "tap,ifname=tap0,mac=52:54:00:00:00:01", "tap,ifname=tap1,mac=52:54:00:00:00:02",
		  NULL },
		{ "tap,mac=52:54:00:00:00:0a", "user,mac=52-54-00-00-00-0A",
		  "--network id=net1 mac=52-54-00-00-00-0A: another interface has that address "
		  "(choose another)" },
		{ "tap,ifname=tap0", "tap,ifname=tap0",
		  "--network id=net1 ifname=tap0: another interface is on it (choose another)" },
		{ "tap,fd=4", "tap,fd=5", NULL },
		{ "tap,fd=4", "tap,fd=4",
		  "--network id=net1 fd=4: another interface is on it (choose another)" },
		{ "user,forward=2222:22", "user,forward=udp:2222:22,forward=2223:22", NULL },
		{ "user,forward=2222:22,forward=2223:22", "user,forward=2224:22,forward=2223:22",
		  "--network id=net1 forward=2223:22: the host's port is forwarded already (choose "
		  "another)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i]);
}

static void other_devices_are_nobody_s_business(void **state)
{
	struct error err = ERROR_INIT;
	struct vm_config config;
	char cid[] = "42";

	(void)state;
	vm_config_init(&config);
	assert_int_equal(
		cmdline_parse_device(&config, device_class_find("virtio-vsock"), cid, &err), 0);
	assert_int_equal(config_complete_devices(&config, &err), 0);
	/* What has no default has to be given. */
	vm_config_init(&config);
	assert_non_null(vm_config_device(&config, device_class_find("virtio-vsock")));
	assert_int_equal(config_complete_devices(&config, &err), -EINVAL);
	assert_string_equal(err.message, "--vsock: no cid (give cid=CID)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_interface_goes_together),
		cmocka_unit_test(two_interfaces_share_nothing),
		cmocka_unit_test(other_devices_are_nobody_s_business),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
