/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_vhost.h. */
#include "fake_vhost.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fake_vhost fake_vhost;

void fake_vhost_clear(void)
{
	memset(&fake_vhost, 0, sizeof(fake_vhost));
	fake_vhost.fail_create = fake_vhost.fail_start = FAKE_VHOST_NONE;
	for (unsigned int i = 0; i < FAKE_VHOSTS_MAX; i++)
		for (unsigned int queue = 0; queue < VHOST_QUEUES_MAX; queue++)
			fake_vhost.tap_fds[i][queue] = -1;
}

unsigned int fake_vhost_started_count(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < FAKE_VHOSTS_MAX; i++)
		count += fake_vhost.vhosts[i] && fake_vhost.vhosts[i]->started;
	return count;
}

int vhost_create(const struct vhost_setup *setup, struct vhost **ret_vhost, struct error *err)
{
	struct vhost *vhost;

	if (fake_vhost.created == fake_vhost.fail_create)
		return error_set(err, fake_vhost.fail_code, "%s: the fake's", setup->path);
	vhost = calloc(1, sizeof(*vhost));
	if (!vhost)
		return error_set_errno(err, -ENOMEM, "%s", setup->path);
	vhost->setup = *setup;
	vhost->number = fake_vhost.created++ % FAKE_VHOSTS_MAX;
	fake_vhost.vhosts[vhost->number] = vhost;
	*ret_vhost = vhost;
	return 0;
}

void vhost_destroy(struct vhost *vhost)
{
	if (!vhost)
		return;
	vhost_stop(vhost);
	fake_vhost.destroyed++;
	fake_vhost.vhosts[vhost->number] = NULL;
	free(vhost);
}

uint64_t vhost_features(const struct vhost *vhost)
{
	(void)vhost;
	return fake_vhost.features;
}

int vhost_fd(const struct vhost *vhost)
{
	return FAKE_VHOST_FD + (int)vhost->number;
}

int vhost_start(struct vhost *vhost, uint64_t features, struct error *err)
{
	const struct vhost_setup *setup = &vhost->setup;

	if (vhost->number == fake_vhost.fail_start)
		return error_set(err, fake_vhost.fail_code, "%s: the fake's", setup->path);
	fake_vhost.start_features = features;
	for (unsigned int i = 0; i < setup->queue_count; i++) {
		int result = setup->set_backend(setup->ctx, vhost_fd(vhost), i, true);

		if (result < 0)
			return error_set(err, result, "%s: back end", setup->path);
	}
	vhost->started = true;
	return 0;
}

void vhost_stop(struct vhost *vhost)
{
	if (!vhost->started)
		return;
	for (unsigned int i = 0; i < vhost->setup.queue_count; i++)
		(void)vhost->setup.set_backend(vhost->setup.ctx, vhost_fd(vhost), i, false);
	vhost->started = false;
}

bool vhost_is_started(const struct vhost *vhost)
{
	return vhost->started;
}

void vhost_stop_queue(struct vhost *vhost, unsigned int queue)
{
	fake_vhost.queue_stopped[vhost->number][queue] = true;
}

int vhost_net_set_backend(int vhost_fd, unsigned int queue, int tap_fd)
{
	fake_vhost.tap_fds[vhost_fd - FAKE_VHOST_FD][queue] = tap_fd;
	return 0;
}

int vhost_vsock_set_running(int vhost_fd, bool running)
{
	(void)vhost_fd;
	fake_vhost.running = running;
	return 0;
}

int vhost_vsock_set_guest_cid(int vhost_fd, uint64_t cid)
{
	(void)vhost_fd;
	fake_vhost.cid = cid;
	return fake_vhost.cid_result;
}
