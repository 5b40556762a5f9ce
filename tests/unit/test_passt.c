/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_child_process */
/* passt's start, what it is told, its words and its end, with a program that the test plays. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../devices/net/net_backend.h"
#include "ebb/log.h"
#include "ebb/vm.h"
#include "fake_child_process.h"

static const struct device_option options[] = {
	{ .key = "mac", .help = "", .type = DEVICE_OPTION_STRING },
	{ .key = "mtu", .help = "", .type = DEVICE_OPTION_UINT },
	{ .key = "forward", .help = "", .type = DEVICE_OPTION_STRING, .repeatable = true },
};

static const struct device_class class = { .name = "virtio-net",
	                                   .options = options,
	                                   .option_count = ARRAY_SIZE(options) };

static struct vm_config vm_config;
static struct device_config config;
static struct vm vm;
static struct net_backend *backend;
static struct error err;
static int log_fds[2];

/* Its first frame: whatever it is, it shows that passt is up. */
static void answer(void)
{
	uint8_t frame[4 + 42] = { 0, 0, 0, 42 };

	assert_int_equal(send(fake_child_process.kept_fd, frame, sizeof(frame), 0), sizeof(frame));
}

static void say(const char *text)
{
	assert_int_equal(write(fake_child_process.error_fd, text, strlen(text)), strlen(text));
}

static void say_and_end(void)
{
	say("Failed to send 47 bytes to syslog\nFailed to bind port 80 (Permission denied)\n\n");
	fake_child_process_close();
}

static int set_up(void **state)
{
	(void)state;
	fake_child_process_clear();
	fake_child_process.started = answer;
	err = (struct error)ERROR_INIT;
	memset(&config, 0, sizeof(config));
	config.class = &class;
	strcpy(config.id, "net0");
	strcpy(vm_config.name, "guest");
	memset(&vm, 0, sizeof(vm));
	vm.config = &vm_config;
	backend = NULL;
	assert_int_equal(pipe2(log_fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(log_create(log_fds[1], LOG_INFO, &vm.log), 0);
	assert_int_equal(event_loop_create(NULL, &vm.main_loop, NULL), 0);
	return event_loop_create("io", &vm.io_loop, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	if (backend)
		backend->ops->destroy(backend);
	event_loop_destroy(vm.io_loop);
	event_loop_destroy(vm.main_loop);
	log_destroy(vm.log);
	close(log_fds[0]);
	close(log_fds[1]);
	assert_false(fake_child_process.runs);
	fake_child_process_clear();
	return 0;
}

static void open_it(void)
{
	int ret = passt_open(&vm, &config, &backend, &err);

	assert_string_equal(err.message, "");
	assert_int_equal(ret, 0);
}

static const char *log_text(void)
{
	static char text[4096];
	ssize_t got = read(log_fds[0], text, sizeof(text) - 1);

	text[got > 0 ? got : 0] = '\0';
	return text;
}

static void expect_words(const char *const *words)
{
	unsigned int count = 0;

	for (; words[count]; count++)
		if (strcmp(words[count], "*") != 0)
			assert_string_equal(fake_child_process.words[count], words[count]);
	assert_int_equal(fake_child_process.word_count, count);
}

static void it_is_told_what_to_do(void **state)
{
	static const char *const plain[] = { "passt", "--foreground", "--quiet", "--fd",
		                             "*",     "--mtu",        "65520",   "-t",
		                             "none",  "-u",           "none",    NULL };
	static const char *const forwards[] = {
		"passt", "--foreground", "--quiet", "--fd",    "*",  "--mtu",   "1500",
		"-t",    "2222:22",      "-u",      "53:5353", "-t", "8080:80", NULL
	};

	(void)state;
	open_it();
	expect_words(plain);
	assert_int_equal(atoi(fake_child_process.words[4]), fake_child_process.setup.kept_fd);
	assert_ptr_equal(fake_child_process.setup.loop, vm.main_loop);
	assert_int_equal(backend->features, 0);
	assert_int_equal(backend->queue_pairs, 1);
	assert_int_equal(backend->mtu, 65520);
	assert_string_equal(backend->name, "passt");
	assert_int_equal(backend->ops->vhost_fd(backend, 0), -ENOTSUP);
	assert_int_equal(backend->ops->set_offloads(backend, 0), 0);
	assert_int_equal(backend->ops->set_queue_pairs(backend, 1), 0);
	assert_int_equal(backend->ops->set_queue_pairs(backend, 2), -EINVAL);
	backend->ops->destroy(backend);
	backend = NULL;
	assert_int_equal(fake_child_process.stops, 1);
	assert_int_equal(device_config_add_string(&config, "forward", "2222:22"), 0);
	assert_int_equal(device_config_add_string(&config, "forward", "udp:53:5353"), 0);
	assert_int_equal(device_config_add_string(&config, "forward", "tcp:8080:80"), 0);
	device_config_set_number(&config, "mtu", 1500);
	open_it();
	expect_words(forwards);
}

/* The question: an ARP request from the guest's address. */
static void it_is_asked(void **state)
{
	static const uint8_t mac[] = { 0x52, 0x54, 0, 0, 0, 0x2a };
	uint8_t frame[4 + 60];

	(void)state;
	device_config_set_string(&config, "mac", "52:54:00:00:00:2a");
	open_it();
	assert_int_equal(recv(fake_child_process.kept_fd, frame, sizeof(frame), MSG_DONTWAIT),
	                 sizeof(frame));
	assert_int_equal(frame[3], 60);
	assert_memory_equal(frame + 4 + 6, mac, 6); /* from */
	assert_int_equal(frame[4 + 12], 0x08);      /* ARP */
	assert_int_equal(frame[4 + 13], 0x06);
	assert_int_equal(frame[4 + 21], 1);          /* a request */
	assert_memory_equal(frame + 4 + 22, mac, 6); /* by whom */
}

static void frames_go_both_ways(void **state)
{
	uint8_t bytes[12 + 60] = { 0 }, in[128];
	struct iovec segment = { bytes, sizeof(bytes) };
	struct net_frame frame = { &segment, 1, 0 };

	(void)state;
	open_it();
	/* Its answer was not for the guest. */
	assert_int_equal(backend->ops->receive(backend, 0, &frame, 1), 0);
	(void)!recv(fake_child_process.kept_fd, in, sizeof(in), MSG_DONTWAIT);
	assert_int_equal(backend->ops->send(backend, 0, &frame, 1), 1);
	assert_int_equal(recv(fake_child_process.kept_fd, in, sizeof(in), MSG_DONTWAIT), 64);
	answer();
	assert_int_equal(backend->ops->receive(backend, 0, &frame, 1), 1);
	assert_int_equal(frame.result, 12 + 42);
	assert_true(backend->syscall_count >= 3);
	assert_true(backend->ops->poll_fd(backend, 0) >= 0);
}

struct flood {
	struct iovec segment;
	size_t frames; /* dealt with until one was not */
};

static void flood(void *ctx)
{
	struct flood *work = ctx;

	for (;;) {
		struct net_frame frame = { &work->segment, 1, 0 };
		int dealt = backend->ops->send(backend, 0, &frame, 1);

		assert_in_range(dealt, 0, 1);
		if (!dealt)
			return;
		work->frames++;
	}
}

/* The rest of a frame goes as soon as there is room, with nobody else to ask for it. */
static void a_frame_that_was_cut_is_finished(void **state)
{
	static uint8_t bytes[12 + 65000], in[65536];
	struct flood work = { { bytes, sizeof(bytes) }, 0 };

	(void)state;
	open_it();
	assert_int_equal(recv(fake_child_process.kept_fd, in, 64, MSG_WAITALL), 64);
	event_loop_call(vm.io_loop, flood, &work); /* as the device does */
	assert_true(work.frames > 1);
	for (size_t left = work.frames * 65004; left;) {
		ssize_t part = recv(fake_child_process.kept_fd, in, sizeof(in), 0);

		assert_true(part > 0 && (size_t)part <= left);
		left -= (size_t)part;
	}
}

static void what_does_not_start_says_why(void **state)
{
	(void)state;
	fake_child_process.start_result = -ENOENT;
	assert_int_equal(passt_open(&vm, &config, &backend, &err), -ENOENT);
	assert_string_equal(err.message, "passt: not found (install the Debian package passt, or "
	                                 "give --network tap)");
	fake_child_process.start_result = -EACCES;
	assert_int_equal(passt_open(&vm, &config, &backend, &err), -EACCES);
	assert_string_equal(err.message, "passt: Permission denied");
	fake_child_process.start_result = 0;
	fake_child_process.started = say_and_end;
	assert_int_equal(passt_open(&vm, &config, &backend, &err), -EIO);
	assert_string_equal(err.message, "passt ended at once: Failed to bind port 80 (Permission "
	                                 "denied) (see passt(1))");
	fake_child_process.started = fake_child_process_close;
	assert_int_equal(passt_open(&vm, &config, &backend, &err), -EIO);
	assert_string_equal(err.message, "passt ended at once: it did not say why (see passt(1))");
	assert_null(backend);
	assert_int_equal(fake_child_process.starts, fake_child_process.stops);
}

static void stop_loop(void *ctx)
{
	event_loop_stop(ctx);
}

static void its_words_and_its_end_are_logged(void **state)
{
	struct iovec segment = { 0 };
	struct net_frame frame = { &segment, 0, 0 };
	struct event_timer *timer;
	const char *text;

	(void)state;
	open_it();
	assert_int_equal(event_timer_create(vm.main_loop, stop_loop, vm.main_loop, &timer), 0);
	say("Failed to send 5 bytes to syslog\nno more sock\033ets\nand so on\nhalf a l");
	event_timer_set(timer, 20 * NS_PER_MS, 0);
	assert_int_equal(event_loop_run(vm.main_loop), 0);
	text = log_text();
	assert_non_null(strstr(text, "ebb: net0: passt: no more sock"));
	assert_null(strstr(text, "\033"));
	assert_null(strstr(text, "syslog"));
	assert_null(strstr(text, "and so on")); /* one line a second */
	assert_null(strstr(text, "half"));
	fake_child_process_end(1 << 8);
	assert_non_null(strstr(log_text(), "net0: passt ended with status 1: the network is gone"));
	fake_child_process_end(9);
	assert_non_null(strstr(log_text(), "net0: passt ended by signal 9: the network is gone"));
	/* The loop does not spin at the end of its words. */
	event_timer_set(timer, 20 * NS_PER_MS, 0);
	assert_int_equal(event_loop_run(vm.main_loop), 0);
	assert_int_equal(backend->ops->receive(backend, 0, &frame, 1), -ECONNRESET);
	event_timer_destroy(timer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_is_told_what_to_do, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_is_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(frames_go_both_ways, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_frame_that_was_cut_is_finished, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(what_does_not_start_says_why, set_up, tear_down),
		cmocka_unit_test_setup_teardown(its_words_and_its_end_are_logged, set_up,
		                                tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
