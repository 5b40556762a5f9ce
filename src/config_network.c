/* SPDX-License-Identifier: Apache-2.0 */
/* Network interfaces in a configuration: what goes together in one, and in two. Pure. */
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <string.h>

#include "config_private.h"
#include "ebb/device.h"
#include "ebb/network.h"

#define USER_MTU_MAX_BYTES 65520 /* what passt can tell a guest */

/* A mistake in a key: "--network id=net0 KEY=VALUE: WHY". */
static int wrong_text(const struct device_config *device, const char *key, const char *value,
                      const char *why, struct error *err)
{
	return error_set(err, -EINVAL, "--%s id=%s %s=%s: %s", device->class->option, device->id,
	                 key, value, why);
}

static int wrong_number(const struct device_config *device, const char *key, const char *why,
                        struct error *err)
{
	return error_set(err, -EINVAL, "--%s id=%s %s=%" PRIu64 ": %s", device->class->option,
	                 device->id, key, device_config_number(device, key), why);
}

/* What is for an interface of the host alone. */
static int check_user(const struct device_config *device, struct error *err)
{
	const char *ifname = device_config_string(device, "ifname");

	if (ifname)
		return wrong_text(device, "ifname", ifname,
		                  "there is no interface with user (leave it out, or begin with "
		                  "tap)",
		                  err);
	if (device_config_given(device, "fd"))
		return wrong_number(device, "fd",
		                    "there is no interface with user (leave it out, or begin with "
		                    "tap)",
		                    err);
	if (device_config_given(device, "vhost") && device_config_bool(device, "vhost"))
		return wrong_text(device, "vhost", "on",
		                  "not with user (leave it out, or begin with tap)", err);
	if (device_config_number(device, "queues") > 1)
		return wrong_number(device, "queues",
		                    "one with user (leave it out, or begin with tap)", err);
	if (device_config_given(device, "mtu") &&
	    device_config_number(device, "mtu") > USER_MTU_MAX_BYTES)
		return wrong_number(device, "mtu", "too large with user (give at most 65520)", err);
	return 0;
}

/* A name that the kernel takes as it is: a '%' would be a pattern to it. */
static bool is_ifname(const char *name)
{
	return strlen(name) < IFNAMSIZ && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       !name[strcspn(name, "/:% \t\n\v\f\r")];
}

static int check_tap(const struct device_config *device, struct error *err)
{
	const char *ifname = device_config_string(device, "ifname");
	const char *forward = device_config_string_at(device, "forward", 0);

	if (forward)
		return wrong_text(device, "forward", forward,
		                  "goes with user alone (leave it out, or begin with user)", err);
	if (ifname && device_config_given(device, "fd"))
		return wrong_text(device, "ifname", ifname,
		                  "fd is the interface already (leave one of them out)", err);
	if (ifname && !is_ifname(ifname))
		return wrong_text(device, "ifname", ifname,
		                  "no name of an interface (give up to 15 characters, none of "
		                  "them '/', ':', '%' or blank)",
		                  err);
	if (device_config_given(device, "fd") && device_config_number(device, "fd") <= 2)
		return wrong_number(device, "fd",
		                    "a standard stream (give a descriptor of 3 or more)", err);
	return 0;
}

static int check_forwards(const struct device_config *device, struct error *err)
{
	const char *text;

	for (size_t i = 0; (text = device_config_string_at(device, "forward", i)); i++) {
		struct port_forward forward;
		int ret = port_forward_parse(text, &forward);

		if (ret == -ERANGE)
			return wrong_text(device, "forward", text,
			                  "a port is out of range (give 1 to 65535)", err);
		if (ret)
			return wrong_text(device, "forward", text,
			                  "cannot be read (give HOSTPORT:GUESTPORT, with tcp: or "
			                  "udp: before it or neither)",
			                  err);
	}
	return 0;
}

static int check_network(const struct device_config *device, struct error *err)
{
	const char *kind = device_config_string(device, "kind");
	const char *mac = device_config_string(device, "mac");
	uint8_t bytes[MAC_BYTES];
	int ret;

	if (!kind)
		return error_set(err, -EINVAL,
		                 "--%s id=%s: neither tap nor user (begin with one of them)",
		                 device->class->option, device->id);
	if (mac && mac_parse(mac, bytes))
		return wrong_text(device, "mac", mac,
		                  "no address of an interface (give one such as "
		                  "52:54:00:12:34:56)",
		                  err);
	ret = strcmp(kind, "user") == 0 ? check_user(device, err) : check_tap(device, err);
	return ret ? ret : check_forwards(device, err);
}

static bool same_macs(const char *a, const char *b)
{
	uint8_t a_bytes[MAC_BYTES], b_bytes[MAC_BYTES];

	return !mac_parse(a, a_bytes) && !mac_parse(b, b_bytes) &&
	       memcmp(a_bytes, b_bytes, MAC_BYTES) == 0;
}

/* A port of the host's that both would listen on; NULL: none. a may be b: in itself. */
static const char *shared_port(const struct device_config *a, const struct device_config *b)
{
	const char *a_text, *b_text;

	for (size_t i = 0; (a_text = device_config_string_at(a, "forward", i)); i++) {
		for (size_t j = 0; (b_text = device_config_string_at(b, "forward", j)); j++) {
			struct port_forward a_port, b_port;

			if (a == b && i <= j)
				break;
			if (!port_forward_parse(a_text, &a_port) &&
			    !port_forward_parse(b_text, &b_port) && a_port.udp == b_port.udp &&
			    a_port.host_port == b_port.host_port)
				return a_text;
		}
	}
	return NULL;
}

/* What two interfaces cannot share; other comes before device, or is the same. */
static int check_pair(const struct device_config *other, const struct device_config *device,
                      struct error *err)
{
	const char *mac = device_config_string(device, "mac");
	const char *other_mac = device_config_string(other, "mac");
	const char *ifname = device_config_string(device, "ifname");
	const char *other_ifname = device_config_string(other, "ifname");
	const char *port = shared_port(device, other);

	if (port)
		return wrong_text(device, "forward", port,
		                  "the host's port is forwarded already (choose another)", err);
	if (other == device)
		return 0;
	if (mac && other_mac && same_macs(mac, other_mac))
		return wrong_text(device, "mac", mac,
		                  "another interface has that address (choose another)", err);
	if (ifname && other_ifname && strcmp(ifname, other_ifname) == 0)
		return wrong_text(device, "ifname", ifname,
		                  "another interface is on it (choose another)", err);
	if (device_config_given(device, "fd") && device_config_given(other, "fd") &&
	    device_config_number(device, "fd") == device_config_number(other, "fd"))
		return wrong_number(device, "fd", "another interface is on it (choose another)",
		                    err);
	return 0;
}

int config_check_networks(const struct vm_config *config, struct error *err)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < config->device_count; i++) {
		if (!config->devices[i].class->is_network)
			continue;
		ret = check_network(&config->devices[i], err);
		for (size_t j = 0; !ret && j <= i; j++)
			if (config->devices[j].class->is_network)
				ret = check_pair(&config->devices[j], &config->devices[i], err);
	}
	return ret;
}
