/* SPDX-License-Identifier: Apache-2.0 */
/* What a VM knows about itself, as JSON: `ebb stat`, the accounting, KVM's binary statistics. */
/* Syscalls: main: pread */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control_private.h"
#include "ebb/arch.h"
#include "ebb/balloon.h"
#include "ebb/bus.h"
#include "ebb/device.h"
#include "ebb/event_loop.h"
#include "ebb/kvm.h"
#include "ebb/reclaim.h"
#include "ebb/vcpu.h"

/* KVM has some 60 statistics of 48 bytes of name; this is many times what they take. */
#define KVM_STATS_FILE_MAX_BYTES (256 * KIB)

/* JSON's integers are signed here: what does not fit (nothing that counts does) is cut. */
static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)min_u64(value, INT64_MAX));
}

static void add_number(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, number(value));
}

/* --- KVM's binary statistics --- */

static bool is_wanted(const json_t *names, const char *name)
{
	size_t i;
	json_t *wanted;

	if (!names)
		return true;
	json_array_foreach(names, i, wanted)
	{
		const char *text = json_string_value(wanted);

		if (text && strcmp(text, name) == 0)
			return true;
	}
	return false;
}

static json_t *kvm_stat_item(const struct kvm_stats_desc *descriptor, const uint8_t *data)
{
	uint64_t value;

	memcpy(&value, data, sizeof(value));
	if ((descriptor->flags & KVM_STATS_UNIT_MASK) == KVM_STATS_UNIT_BOOLEAN)
		return json_boolean(value != 0);
	return number(value);
}

static json_t *kvm_stat_value(const struct kvm_stats_desc *descriptor, const uint8_t *data)
{
	uint32_t type = descriptor->flags & KVM_STATS_TYPE_MASK;
	json_t *list;

	if (type != KVM_STATS_TYPE_LINEAR_HIST && type != KVM_STATS_TYPE_LOG_HIST)
		return kvm_stat_item(descriptor, data);
	list = json_array();
	for (size_t i = 0; list && i < descriptor->size; i++)
		json_array_append_new(list, kvm_stat_item(descriptor, data + i * sizeof(uint64_t)));
	return list;
}

json_t *control_parse_kvm_stats(const uint8_t *data, size_t size_bytes, const json_t *names)
{
	struct kvm_stats_header header;
	size_t row_bytes;
	json_t *list;

	if (size_bytes < sizeof(header))
		return NULL;
	memcpy(&header, data, sizeof(header));
	row_bytes = sizeof(struct kvm_stats_desc) + header.name_size;
	if (!header.name_size || header.name_size > size_bytes || header.num_desc > size_bytes ||
	    !range_contains(0, size_bytes, header.desc_offset, row_bytes * header.num_desc) ||
	    header.data_offset > size_bytes)
		return NULL;
	list = json_array();
	for (uint32_t i = 0; list && i < header.num_desc; i++) {
		const uint8_t *row = data + header.desc_offset + i * row_bytes;
		const char *name = (const char *)row + sizeof(struct kvm_stats_desc);
		struct kvm_stats_desc descriptor;

		memcpy(&descriptor, row, sizeof(descriptor));
		if (!memchr(name, '\0', header.name_size) || !descriptor.size ||
		    !range_contains(header.data_offset, size_bytes - header.data_offset,
		                    header.data_offset + (uint64_t)descriptor.offset,
		                    descriptor.size * sizeof(uint64_t))) {
			json_decref(list);
			return NULL;
		}
		if (is_wanted(names, name))
			json_array_append_new(
				list,
				json_pack("{s:s, s:o}", "name", name, "value",
			                  kvm_stat_value(&descriptor, data + header.data_offset +
			                                                      descriptor.offset)));
	}
	return list;
}

int control_stats_open(struct control_shared *shared)
{
	struct vm *vm = shared->vm;
	int *fds = calloc(vm->vcpu_count, sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		fds[i] = kvm_vcpu_stats_fd(vm->vcpus[i]->kvm);
	shared->vcpu_stats_fds = fds;
	return 0;
}

void control_stats_close(struct control_shared *shared)
{
	for (unsigned int i = 0; shared->vcpu_stats_fds && i < shared->vm->vcpu_count; i++) {
		if (shared->vcpu_stats_fds[i] >= 0)
			close(shared->vcpu_stats_fds[i]);
	}
	free(shared->vcpu_stats_fds);
	shared->vcpu_stats_fds = NULL;
}

/* fd may be the -errno of its opening. */
static json_t *read_kvm_stats(int fd, const json_t *names, struct error *err)
{
	uint8_t *data;
	ssize_t size_bytes;
	json_t *list = NULL;

	if (fd < 0) {
		error_set_errno(err, fd, "KVM's statistics");
		return NULL;
	}
	data = malloc(KVM_STATS_FILE_MAX_BYTES);
	size_bytes = data ? pread(fd, data, KVM_STATS_FILE_MAX_BYTES, 0) : -1;
	if (size_bytes >= 0)
		list = control_parse_kvm_stats(data, (size_t)size_bytes, names);
	if (!list)
		error_set(err, -EIO, "KVM's statistics cannot be read");
	free(data);
	return list;
}

/* One result, appended to results. vcpu_path NULL: the VM's. */
static int append_kvm_stats(int fd, const char *vcpu_path, const json_t *names, json_t *results,
                            struct error *err)
{
	json_t *result, *list = read_kvm_stats(fd, names, err);

	if (!list)
		return -EIO;
	result = json_pack("{s:s, s:o, s:s*}", "provider", "kvm", "stats", list, "qom-path",
	                   vcpu_path);
	return json_array_append_new(results, result) ? -ENOMEM : 0;
}

static int append_vm_stats(struct vm *vm, const json_t *names, json_t *results, struct error *err)
{
	int fd = kvm_vm_stats_fd(vm->kvm_vm);
	int ret = append_kvm_stats(fd, NULL, names, results, err);

	if (fd >= 0)
		close(fd);
	return ret;
}

/*
 * What the request's providers say: whether KVM is among them, and which names of it (NULL: all).
 * -EINVAL for what is not a list of {provider, names?}.
 */
static int check_providers(const json_t *providers, bool *ret_kvm, const json_t **ret_names,
                           struct error *err)
{
	size_t i;
	json_t *request;

	*ret_kvm = !providers;
	*ret_names = NULL;
	json_array_foreach(providers, i, request)
	{
		const char *provider = json_string_value(json_object_get(request, "provider"));
		const json_t *names = json_object_get(request, "names");

		if (!provider || (names && !json_is_array(names)))
			return error_set(err, -EINVAL,
			                 "query-stats: 'providers' must be a list of {provider, "
			                 "names?}");
		if (strcmp(provider, "kvm") != 0)
			return error_set(err, -EINVAL,
			                 "query-stats: provider '%s': unknown (give kvm)",
			                 provider);
		*ret_kvm = true;
		*ret_names = names;
	}
	return 0;
}

static bool names_vcpu(const json_t *vcpus, const char *path)
{
	size_t i;
	json_t *wanted;

	if (!vcpus)
		return true;
	json_array_foreach(vcpus, i, wanted)
	{
		const char *text = json_string_value(wanted);

		if (text && strcmp(text, path) == 0)
			return true;
	}
	return false;
}

/* Of each vCPU that vcpus names by its path (NULL: of all). */
static int append_vcpu_stats(const struct control_shared *shared, const json_t *vcpus,
                             const json_t *names, json_t *results, struct error *err)
{
	char path[32];
	int ret = 0;

	for (unsigned int i = 0; !ret && i < shared->vm->vcpu_count; i++) {
		snprintf(path, sizeof(path), CONTROL_CPU_PATH_PREFIX "%u]", i);
		if (!names_vcpu(vcpus, path))
			continue;
		ret = append_kvm_stats(shared->vcpu_stats_fds ? shared->vcpu_stats_fds[i]
		                                              : -ENOTSUP,
		                       path, names, results, err);
	}
	return ret;
}

json_t *control_query_stats(struct control_session *session, const json_t *arguments,
                            struct control_failure *failure)
{
	const char *target = json_string_value(json_object_get(arguments, "target"));
	const json_t *vcpus = json_object_get(arguments, "vcpus"), *names;
	bool wants_kvm, of_vm = strcmp(target, "vm") == 0;
	json_t *results;
	int ret;

	if (!of_vm && strcmp(target, "vcpu") != 0) {
		error_set(&failure->error, -EINVAL,
		          "query-stats: target '%s': unknown (give vm or vcpu)", target);
		return NULL;
	}
	if (of_vm && vcpus) {
		error_set(&failure->error, -EINVAL,
		          "query-stats: 'vcpus' goes with the target vcpu only");
		return NULL;
	}
	if (check_providers(json_object_get(arguments, "providers"), &wants_kvm, &names,
	                    &failure->error))
		return NULL;
	results = json_array();
	if (!results || !wants_kvm)
		return results;
	ret = of_vm ? append_vm_stats(session->shared->vm, names, results, &failure->error)
	            : append_vcpu_stats(session->shared, vcpus, names, results, &failure->error);
	if (ret) {
		json_decref(results);
		return NULL;
	}
	return results;
}

/* --- the accounting --- */

static json_t *refused_by_reason(const struct reclaim_source_stats *stats)
{
	json_t *object = json_object();

	for (size_t i = 0; i < RECLAIM_REFUSAL_COUNT; i++)
		add_number(object, reclaim_refusal_name((enum reclaim_refusal)i),
		           stats->refused[i]);
	return object;
}

static json_t *source_stats(const struct reclaim_source_stats *stats)
{
	json_t *object = json_object();

	add_number(object, "requests", stats->requests);
	add_number(object, "ranges_in", stats->ranges_in);
	add_number(object, "ranges_released", stats->ranges_released);
	add_number(object, "bytes_in", stats->bytes_in);
	add_number(object, "bytes_released", stats->bytes_released);
	add_number(object, "bytes_lazy", stats->bytes_lazy);
	add_number(object, "bytes_absent", stats->bytes_absent);
	add_number(object, "bytes_refused", stats->bytes_refused);
	json_object_set_new(object, "refused", refused_by_reason(stats));
	add_number(object, "syscalls", stats->syscalls);
	add_number(object, "errors", stats->errors);
	json_object_set_new(object, "latency_ns",
	                    json_pack("{s:o, s:o, s:o}", "p50", number(stats->latency_p50_ns),
	                              "p99", number(stats->latency_p99_ns), "max",
	                              number(stats->latency_max_ns)));
	add_number(object, "refault_bytes", stats->refault_bytes);
	return object;
}

static json_t *refill_stats(const struct reclaim_refill_stats *stats)
{
	json_t *object = json_object();

	add_number(object, "faults", stats->faults);
	add_number(object, "bytes", stats->bytes);
	add_number(object, "blocks_moved", stats->blocks_moved);
	add_number(object, "blocks_copied", stats->blocks_copied);
	add_number(object, "errors", stats->errors);
	add_number(object, "guarded_bytes", stats->guarded_bytes);
	return object;
}

static json_t *all_sources_stats(const struct reclaim_stats *stats)
{
	json_t *object = json_object();

	for (size_t source = 0; source < RECLAIM_SOURCE_COUNT; source++)
		json_object_set_new(object, reclaim_source_name((enum reclaim_source)source),
		                    source_stats(&stats->sources[source]));
	add_number(object, "deferred_bytes", stats->deferred_bytes);
	add_number(object, "refault_bytes", stats->refault_bytes);
	json_object_set_new(object, "refill", refill_stats(&stats->refill));
	json_object_set_new(object, "look",
	                    json_pack("{s:o, s:o, s:o}", "looked_bytes",
	                              number(stats->looked_bytes), "of_bytes",
	                              number(stats->total_bytes), "latency_ns",
	                              number(stats->look_ns)));
	json_object_set_new(object, "trace",
	                    json_pack("{s:b, s:o, s:o, s:o}", "active", stats->trace.active, "rows",
	                              number(stats->trace.rows), "dropped",
	                              number(stats->trace.dropped), "failed",
	                              number(stats->trace.failed)));
	return object;
}

json_t *control_query_reclaim(struct control_session *session, const json_t *arguments,
                              struct control_failure *failure)
{
	struct vm *vm = session->shared->vm;
	struct reclaim_stats stats;
	json_t *object;

	(void)arguments;
	(void)failure;
	reclaim_query(vm->reclaim, &stats);
	object = all_sources_stats(&stats);
	if (vm->balloon)
		json_object_set_new(object, "reporting", control_describe_reporting(vm->balloon));
	return object;
}

/* --- the balloon's statistics --- */

static json_t *balloon_stats(const struct balloon_status *status, bool told_only)
{
	json_t *object = json_object();

	for (unsigned int tag = 0; tag < BALLOON_STATS_MAX; tag++) {
		const char *name = balloon_stat_name(tag);
		bool told = status->stats_updated_ns && status->stats[tag] != UINT64_MAX;

		if (!name || (told_only && !told))
			continue;
		if (told)
			add_number(object, name, status->stats[tag]);
		else
			json_object_set_new(object, name, json_integer(-1));
	}
	return object;
}

/* A moment of the monotonic clock as seconds since 1970; 0 stays 0: never. */
static json_int_t wall_clock_seconds(int64_t moment_ns)
{
	struct timespec now;

	if (!moment_ns)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	return (json_int_t)now.tv_sec - (monotonic_ns() - moment_ns) / NS_PER_S;
}

json_t *control_guest_stats(struct vm *vm)
{
	struct balloon_status status;

	balloon_query(vm->balloon, &status);
	return json_pack("{s:o, s:I}", "stats", balloon_stats(&status, false), "last-update",
	                 wall_clock_seconds(status.stats_updated_ns));
}

json_t *control_free_page_hint(const struct balloon_hint_status *hint)
{
	json_t *object = json_object();

	json_object_set_new(object, "state", json_string(balloon_hint_state_name(hint->state)));
	add_number(object, "command_id", hint->command_id);
	json_object_set_new(object, "sees_writes", json_boolean(hint->sees_writes));
	add_number(object, "rounds", hint->rounds);
	add_number(object, "hinted_bytes", hint->hinted_bytes);
	add_number(object, "ignored_bytes", hint->ignored_bytes);
	add_number(object, "touched_bytes", hint->touched_bytes);
	add_number(object, "kept_bytes", hint->kept_bytes);
	add_number(object, "zero_bytes", hint->zero_bytes);
	add_number(object, "released_bytes", hint->released_bytes);
	return object;
}

/* --- ebb stat --- */

static json_t *stat_memory(struct vm *vm, const struct balloon_status *balloon,
                           const struct reclaim_stats *reclaim)
{
	json_t *object = json_object();

	add_number(object, "ram_bytes", control_boot_bytes(vm));
	add_number(object, "plugged_bytes", control_plugged_bytes(vm));
	add_number(object, "balloon_bytes", balloon->actual_bytes);
	add_number(object, "resident_bytes", reclaim->resident_bytes);
	return object;
}

static json_t *stat_balloon(const struct balloon_status *status)
{
	json_t *object = json_object(), *features = json_array();

	add_number(object, "target_bytes", status->target_bytes);
	add_number(object, "actual_bytes", status->actual_bytes);
	json_object_set_new(object, "driver_ready", json_boolean(status->driver_ready));
	for (unsigned int bit = 0; bit < 64; bit++) {
		const char *name = balloon_feature_name(bit);

		if (name && status->negotiated_features >> bit & 1)
			json_array_append_new(features, json_string(name));
	}
	json_object_set_new(object, "features", features);
	add_number(object, "poison_value", status->poison_value);
	json_object_set_new(object, "free_page_hint", control_free_page_hint(&status->hint));
	json_object_set_new(object, "guest_stats", balloon_stats(status, true));
	add_number(object, "stats_interval_s", status->stats_interval_s);
	json_object_set_new(object, "stats_last_update",
	                    json_integer(wall_clock_seconds(status->stats_updated_ns)));
	return object;
}

/* One object a vCPU, in their order: exits by reason. */
static json_t *stat_exits(struct vm *vm)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		json_t *object = json_object();

		for (size_t exit = 0; exit < VCPU_EXIT_COUNT; exit++)
			add_number(object, vcpu_exit_name((enum vcpu_exit)exit),
			           metric_read(&vm->vcpus[i]->exits[exit]));
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *stat_devices(struct vm *vm)
{
	json_t *list = json_array();

	list_for_each (node, &vm->devices) {
		const struct device *device = container_of(node, struct device, node);
		json_t *metrics = json_object();

		for (size_t i = 0; i < device->metric_count; i++)
			add_number(metrics, device->metrics[i].name,
			           metric_read(&device->metrics[i].counter));
		json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "id", device->id, "class",
		                                      device->class->name, "metrics", metrics));
	}
	return list;
}

/* Accesses of addresses where nothing is, on every bus the machine has. */
static uint64_t unclaimed_accesses(const struct vm *vm)
{
	return (vm->pio ? bus_unclaimed_count(vm->pio) : 0) +
	       (vm->mmio ? bus_unclaimed_count(vm->mmio) : 0);
}

json_t *control_query_stat(struct control_session *session, const json_t *arguments,
                           struct control_failure *failure)
{
	static const char *const states[] = { [VM_STATE_PAUSED] = "paused",
		                              [VM_STATE_RUNNING] = "running",
		                              [VM_STATE_ENDED] = "ended" };
	struct vm *vm = session->shared->vm;
	struct balloon_status balloon = { 0 };
	struct reclaim_stats reclaim;

	(void)arguments;
	(void)failure;
	reclaim_query(vm->reclaim, &reclaim);
	if (vm->balloon)
		balloon_query(vm->balloon, &balloon);
	return json_pack(
		"{s:s, s:i, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "name",
		vm->config->name, "pid", (int)getpid(), "arch", arch_info.name, "state",
		states[vm_state(vm)], "uptime_ms", (json_int_t)(vm_uptime_ns(vm) / NS_PER_MS),
		"memory", stat_memory(vm, &balloon, &reclaim), "reclaim",
		all_sources_stats(&reclaim), "balloon",
		vm->balloon ? stat_balloon(&balloon) : json_null(), "virtio_mem",
		control_stat_memory_devices(vm), "exits", stat_exits(vm), "unclaimed_accesses",
		(json_int_t)unclaimed_accesses(vm), "devices", stat_devices(vm));
}
