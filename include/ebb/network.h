/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a network interface is told in words: MAC addresses and forwarded ports. Pure.
 */
#ifndef EBB_NETWORK_H
#define EBB_NETWORK_H

#include "ebb/types.h"

#define MAC_BYTES    6
#define MAC_TEXT_MAX 18 /* "52:54:00:12:34:56" and NUL */

/* Six pairs of hexadecimal digits with ':' or '-' between them: one interface's (not a group's, not
 * all zero). -EINVAL; ret_mac is then untouched. */
EBB_MUST_CHECK int mac_parse(const char *text, uint8_t ret_mac[MAC_BYTES]);
const char *mac_format(const uint8_t mac[MAC_BYTES], char text[MAC_TEXT_MAX]);

/* The address of an interface that was given none: the same for the same guest's name and device's
 * id each time, locally administered. */
void mac_choose(const char *vm_name, const char *device_id, uint8_t ret_mac[MAC_BYTES]);

struct port_forward { /* from the host to the guest */
	bool udp;
	uint16_t host_port, guest_port; /* 1 to 65535 */
};

/* "[tcp:|udp:]HOSTPORT:GUESTPORT". -EINVAL: not that; -ERANGE: a port that is none. */
EBB_MUST_CHECK int port_forward_parse(const char *text, struct port_forward *ret_forward);

#endif
