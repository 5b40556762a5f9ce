/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of vm_config_complete that have a file of their own. Pure. */
#ifndef EBB_CONFIG_PRIVATE_H
#define EBB_CONFIG_PRIVATE_H

#include "ebb/config.h"

/* config_numa.c: nodes without a gap, memory and vCPUs of each. After memory's size is known. */
EBB_MUST_CHECK int config_complete_numa(struct vm_config *config, struct error *err);

/* config_network.c: what goes together in one network interface, and in two. Once all have ids. */
EBB_MUST_CHECK int config_check_networks(const struct vm_config *config, struct error *err);

/* config_root.c: what goes with --root, and the device that it means. Before the devices. */
EBB_MUST_CHECK int config_complete_root(struct vm_config *config, struct error *err);

/* config_devices.c: ids, and what memory devices ask for. After the nodes are known. */
EBB_MUST_CHECK int config_complete_devices(struct vm_config *config, struct error *err);

#endif
