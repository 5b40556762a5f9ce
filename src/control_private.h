/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the control socket: names (control_name.c), framing (control_framer.c), QMP
 * sessions (control_qmp.c), clients (control_client.c), the commands (control_commands.c,
 * control_memory.c, control_reclaim.c, control_stats.c), and the server that joins them
 * (control.c). Main thread throughout.
 */
#ifndef CONTROL_PRIVATE_H
#define CONTROL_PRIVATE_H

#include <assert.h>

#include "ebb/control.h"
#include "ebb/vm.h"

struct json_t;

/* --- control_name.c --- */

/* Makes the folder where it is missing. A descriptor; errors as of control_check_folder. */
EBB_MUST_CHECK int control_open_folder(const char *folder, struct error *err);
const char *control_name_socket_path(const struct control_name *name);

/* --- control_framer.c: a stream of bytes to JSON texts --- */

/*
 * Finds the end of one object or list by its brackets, strings skipped. Bytes outside of any,
 * and one that cannot be JSON (a line end inside a string), make a frame of what is there up to the
 * line's end, which then fails to parse: the next line is a new start.
 */
struct control_framer {
	char *buffer;      /* CONTROL_REQUEST_MAX_BYTES */
	size_t size_bytes; /* what is in it */
	size_t start;      /* before it all is consumed */
	size_t scanned;    /* before it all has been looked at */
	unsigned int depth;
	bool in_string, escaped, garbage;
};

enum control_frame {
	CONTROL_FRAME_NONE,     /* more bytes are needed */
	CONTROL_FRAME_COMPLETE, /* one text */
	CONTROL_FRAME_TOO_LONG, /* CONTROL_REQUEST_MAX_BYTES without an end: the stream is lost */
	CONTROL_FRAME_TOO_DEEP, /* CONTROL_DEPTH_MAX: likewise */
};

EBB_MUST_CHECK int control_framer_init(struct control_framer *framer);
void control_framer_fini(struct control_framer *framer);

/* Where the next bytes go, and how many at most: never 0 after control_framer_next said NONE. */
char *control_framer_space(struct control_framer *framer, size_t *ret_size_bytes);
void control_framer_added(struct control_framer *framer, size_t size_bytes);

/* The next text, valid until the next call of any of these. */
enum control_frame control_framer_next(struct control_framer *framer, const char **ret_text,
                                       size_t *ret_size_bytes);

/* --- control_qmp.c: one client's conversation --- */

struct control_shared { /* by all sessions of a VM */
	struct vm *vm;
	bool reset_asked, quit_asked; /* by a client: what events name as their reason */
	int *vcpu_stats_fds; /* one a vCPU, or the -errno of its opening; NULL: not opened */
};

/* --- control_fds.c: descriptors that a client passed --- */

#define CONTROL_FDS_MAX        4
#define CONTROL_FD_NAME_MAX    32
#define CONTROL_PASSED_FDS_MAX 4 /* with one read; the kernel closes others */
static_assert(CONTROL_CLIENTS_MAX * (1 + CONTROL_FDS_MAX + 1) + CONTROL_PASSED_FDS_MAX ==
                      CONTROL_DESCRIPTORS_MAX,
              "include/ebb/control.h");

struct control_fds {
	int passed; /* came last, and has no name yet; -1: none */
	struct control_named_fd {
		char name[CONTROL_FD_NAME_MAX];
		int fd; /* -1: free */
	} named[CONTROL_FDS_MAX];
};

void control_fds_init(struct control_fds *fds);
void control_fds_fini(struct control_fds *fds);

/* Takes fd, in place of an earlier one. */
void control_fds_pass(struct control_fds *fds, int fd);

/* The session's own, or -ENOENT. */
int control_fds_find(struct control_fds *fds, const char *name);

struct control_session {
	struct control_shared *shared;
	struct control_framer framer;
	struct control_fds fds;
	bool negotiated; /* qmp_capabilities was given */
	bool closing;    /* the stream is lost: send what there is and hang up */
	bool waiting;    /* an answer comes later, and until then no further request is handled */
	struct json_t *waiting_id; /* of its request, or NULL */
	uint64_t run_serial;       /* of the reclaim run whose end is that answer */
	/* Takes bytes for the client; never fails, may set closing. */
	void (*send)(struct control_session *session, const char *data, size_t size_bytes);
};

/* The caller sets send. */
EBB_MUST_CHECK int control_session_init(struct control_session *session,
                                        struct control_shared *shared);
void control_session_fini(struct control_session *session);

/* Says hello. */
void control_session_greet(struct control_session *session);

/* Handles one request that the framer holds. Whether there was one. */
bool control_session_step(struct control_session *session);

/* The answer to the request whose handler put it off, a new reference (NULL: no memory). */
void control_session_answer(struct control_session *session, struct json_t *result);

/* Tells a client that has negotiated; data is borrowed and may be NULL. */
void control_session_tell(struct control_session *session, const char *event,
                          const struct json_t *data);

/* The same of an event that its value says all about. */
void control_session_event(struct control_session *session, enum vm_event event, uint64_t value);

/* One line of why there is no conversation, before hanging up. */
void control_session_refuse(struct control_session *session, const char *reason);

/* --- control_client.c: a client's socket, its input and its output --- */

struct event_source;
struct event_work;

struct control_client {
	struct control_session session; /* first: send finds the client by it */
	struct event_work *reap;        /* posted when it is lost: it is to be freed */
	struct event_source *source;
	uint32_t watched_events;
	int fd; /* -1: lost */
	bool input_ended;
	int64_t heard_ns; /* when it came, or said something */
	char *output;     /* output_start..output_size_bytes waits to be sent */
	size_t output_start, output_size_bytes, output_capacity_bytes;
};

/* Served on the main loop from now on; it is not greeted yet. Takes fd, non-blocking: -errno with
 * it closed. shared and reap are borrowed. */
EBB_MUST_CHECK int control_client_create(struct control_shared *shared, struct event_work *reap,
                                         int fd, struct control_client **ret_client);

/* Not within a handler of its own. */
void control_client_free(struct control_client *client);

/* Hangs up now; its memory goes with reap. */
void control_client_lose(struct control_client *client);

/* Does the requests that are there, as long as the client takes the answers. */
void control_client_handle(struct control_client *client);

/* To be called once something was sent outside of its handlers: listens for what matters now. */
void control_client_update(struct control_client *client);

/* Sends what waits, as far as the socket takes it. */
void control_client_flush(struct control_client *client);

/* text, unless something else waits; what the socket does not take is lost. */
void control_client_say(struct control_client *client, const char *text);

/* --- commands: control_commands.c, control_stats.c, control_reclaim.c, control_memory.c --- */

/* Why a command failed, in QMP's terms. */
struct control_failure {
	const char *class; /* NULL: GenericError */
	bool later;        /* no failure: control_session_answer comes */
	struct error error;
};

/* A command: its result (a new reference) or NULL with failure set. arguments has only keys that
 * the command's row names, each of the right type. */
typedef struct json_t *(*control_handler)(struct control_session *session,
                                          const struct json_t *arguments,
                                          struct control_failure *failure);

/*
 * What a command takes: "value:i vcpus?a" - name, '?' if it may be missing, type: i integer, b
 * boolean, s string, a list, * anything.
 */
struct control_command {
	const char *name;
	const char *parameters;
	control_handler handler;
};

extern const struct control_command control_commands[];
extern const size_t control_command_count;

#define CONTROL_CPU_PATH_PREFIX   "/machine/cpu["
#define CONTROL_PERIPHERAL_PREFIX "/machine/peripheral/"

struct json_t *control_getfd(struct control_session *session, const struct json_t *arguments,
                             struct control_failure *failure);
struct json_t *control_closefd(struct control_session *session, const struct json_t *arguments,
                               struct control_failure *failure);

struct json_t *control_query_stats(struct control_session *session, const struct json_t *arguments,
                                   struct control_failure *failure);
struct json_t *control_query_stat(struct control_session *session, const struct json_t *arguments,
                                  struct control_failure *failure);
struct json_t *control_query_reclaim(struct control_session *session,
                                     const struct json_t *arguments,
                                     struct control_failure *failure);

/*
 * Opens each vCPU's statistics. KVM lets nobody open them while the vCPU runs (its lock is held),
 * so this comes before it starts; reading needs no lock. A host that has none is told of at a
 * query.
 */
EBB_MUST_CHECK int control_stats_open(struct control_shared *shared);
void control_stats_close(struct control_shared *shared);

/*
 * KVM's binary statistics, as read from offset 0 of their descriptor, to a list of {name, value}.
 * names: a list of the names wanted, or NULL for all. Everything is bounded by size_bytes; NULL:
 * the data contradict themselves.
 */
struct json_t *control_parse_kvm_stats(const uint8_t *data, size_t size_bytes,
                                       const struct json_t *names);

/* The balloon's guest-stats property: every tag by QEMU's name, -1 where the guest told nothing. */
struct json_t *control_guest_stats(struct vm *vm);

/* x-ebb-reclaim, x-ebb-query-reclaim-run. The first answers when its run has ended. */
struct json_t *control_reclaim(struct control_session *session, const struct json_t *arguments,
                               struct control_failure *failure);
struct json_t *control_query_reclaim_run(struct control_session *session,
                                         const struct json_t *arguments,
                                         struct control_failure *failure);

/* x-ebb-set-reporting: what is given changes; answers with what holds then. */
struct json_t *control_set_reporting(struct control_session *session,
                                     const struct json_t *arguments,
                                     struct control_failure *failure);

/* x-ebb-set-inflate: for measurements. */
struct json_t *control_set_inflate(struct control_session *session, const struct json_t *arguments,
                                   struct control_failure *failure);

/* What holds for free page reports. */
struct json_t *control_describe_reporting(struct balloon *balloon);

/* A run has ended: answers the client that waits for it. Whether this one did. */
bool control_reclaim_ended(struct control_session *session);

/* The client is gone: its run lets go. */
void control_reclaim_abandon(struct control_session *session);

/* NULL with failure set: this guest has none. */
struct balloon *control_find_balloon(struct control_session *session,
                                     struct control_failure *failure);

/* --- control_memory.c --- */

struct memory_device;
struct memory_device_status;

/* What the guest was started with, and what is plugged into it now. */
uint64_t control_boot_bytes(const struct vm *vm);
uint64_t control_plugged_bytes(struct vm *vm);

struct json_t *control_query_memory_size(struct control_session *session,
                                         const struct json_t *arguments,
                                         struct control_failure *failure);
struct json_t *control_query_memory_devices(struct control_session *session,
                                            const struct json_t *arguments,
                                            struct control_failure *failure);

/* The object at a path, "vm0" or CONTROL_PERIPHERAL_PREFIX "vm0"; NULL: none of that name. */
struct memory_device *control_find_memory_device(struct vm *vm, const char *path);

/* Its properties; arguments as of qom-get and qom-set. */
struct json_t *control_get_memory_property(struct memory_device *device,
                                           const struct json_t *arguments,
                                           struct control_failure *failure);
struct json_t *control_set_memory_property(struct memory_device *device,
                                           const struct json_t *arguments,
                                           struct control_failure *failure);

/* Data of MEMORY_DEVICE_SIZE_CHANGE. */
struct json_t *control_memory_event(const struct memory_device_status *status);

/* virtio_mem of ebb stat. */
struct json_t *control_stat_memory_devices(struct vm *vm);

/* A round of free page hinting. */
struct balloon_hint_status;
struct json_t *control_free_page_hint(const struct balloon_hint_status *hint);

struct json_t *control_query_version(struct control_session *session,
                                     const struct json_t *arguments,
                                     struct control_failure *failure);

#endif
