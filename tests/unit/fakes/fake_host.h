/* SPDX-License-Identifier: Apache-2.0 */
/* What a host's KVM says where fake_kvm alone says nothing (`fakes: fake_host`; one an
 * architecture). */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

/* Behind fake_kvm_reset: a host that ebb starts on. */
void fake_host(void);

#endif
