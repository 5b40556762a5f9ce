/* SPDX-License-Identifier: Apache-2.0 */
/* MAC addresses and forwarded ports, read and written. Pure. */
#include "ebb/network.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmdline.h"

#define PORT_TEXT_MAX 6 /* with NUL */

static int hex_digit(char letter)
{
	if (letter >= '0' && letter <= '9')
		return letter - '0';
	letter |= 0x20;
	return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

int mac_parse(const char *text, uint8_t ret_mac[MAC_BYTES])
{
	uint8_t mac[MAC_BYTES], any = 0;

	for (size_t i = 0; i < MAC_BYTES; i++) {
		int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);

		if (low < 0)
			return -EINVAL;
		mac[i] = (uint8_t)(high << 4 | low);
		any |= mac[i];
		text += 2;
		if (i < MAC_BYTES - 1 && *text != ':' && *text != '-')
			return -EINVAL;
		text += i < MAC_BYTES - 1;
	}
	if (*text || !any || mac[0] & 1)
		return -EINVAL;
	memcpy(ret_mac, mac, MAC_BYTES);
	return 0;
}

const char *mac_format(const uint8_t mac[MAC_BYTES], char text[MAC_TEXT_MAX])
{
	snprintf(text, MAC_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
	         mac[3], mac[4], mac[5]);
	return text;
}

/* FNV-1a, with the NUL, so that "ab" "c" is not "a" "bc". */
static uint64_t hash_text(uint64_t hash, const char *text)
{
	do
		hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	while (*text++);
	return hash;
}

void mac_choose(const char *vm_name, const char *device_id, uint8_t ret_mac[MAC_BYTES])
{
	uint64_t hash = hash_text(hash_text(UINT64_C(0xcbf29ce484222325), vm_name), device_id);

	/* The upper bits take part too: the lowest ones mix the least. */
	hash ^= hash >> 40;
	for (size_t i = 0; i < MAC_BYTES; i++)
		ret_mac[i] = (uint8_t)(hash >> (8 * i));
	ret_mac[0] = (uint8_t)((ret_mac[0] & ~1U) | 2);
}

static int parse_port(const char *text, size_t length, uint16_t *ret_port)
{
	char word[PORT_TEXT_MAX];
	uint64_t port;
	int ret;

	if (!length || strspn(text, "0123456789") < length)
		return -EINVAL;
	if (length >= sizeof(word))
		return -ERANGE;
	memcpy(word, text, length);
	word[length] = '\0';
	ret = cmdline_parse_uint(word, &port);
	if (ret)
		return ret;
	if (!port || port > UINT16_MAX)
		return -ERANGE;
	*ret_port = (uint16_t)port;
	return 0;
}

int port_forward_parse(const char *text, struct port_forward *ret_forward)
{
	struct port_forward forward = { .udp = strncmp(text, "udp:", 4) == 0 };
	const char *colon;
	int ret;

	if (forward.udp || strncmp(text, "tcp:", 4) == 0)
		text += 4;
	colon = strchr(text, ':');
	if (!colon)
		return -EINVAL;
	ret = parse_port(text, (size_t)(colon - text), &forward.host_port);
	if (!ret)
		ret = parse_port(colon + 1, strlen(colon + 1), &forward.guest_port);
	if (!ret)
		*ret_forward = forward;
	return ret;
}
