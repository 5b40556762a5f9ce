/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm fake_arch */
/* Interrupts: shared lines, MSI vectors masked and not, the routing table, every KVM call failing.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/irq.h"
#include "ebb/vm.h"

#include "fake_arch.h"
#include "fake_kvm.h"

static const struct msi_message message_a = { .address = 0xfee00000, .data = 0x41 };
static const struct msi_message message_b = { .address = 0xfee01000, .data = 0x42 };

static int set_up(void **state)
{
	static struct vm vm;

	fake_kvm_reset();
	fake_arch_reset();
	memset(&vm, 0, sizeof(vm));
	vm.kvm = fake_kvm_open();
	vm.kvm_vm = fake_kvm_vm(vm.kvm);
	assert_int_equal(irq_router_create(&vm, FAKE_ARCH_PINS, &vm.irq, NULL), 0);
	*state = &vm;
	return 0;
}

static int tear_down(void **state)
{
	struct vm *vm = *state;

	irq_router_destroy(vm->irq);
	kvm_vm_destroy(vm->kvm_vm);
	kvm_close(vm->kvm);
	assert_int_equal(fake_kvm_open_objects(), 0);
	assert_int_equal(fake_kvm_irqfd_count(), 0);
	return 0;
}

static void test_router(void **state)
{
	struct vm *vm = *state;
	struct irq_router *router = NULL;
	struct error err = ERROR_INIT;

	assert_int_equal(irq_router_create(vm, IRQ_GSIS_MAX, &router, &err), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_null(router);
	irq_router_destroy(NULL);
	irq_line_destroy(NULL);
	irq_vector_destroy(NULL);
	/* Creating one costs KVM nothing. */
	assert_int_equal(fake_kvm_call_count(), 0);
}

static void test_lines_share(void **state)
{
	struct vm *vm = *state;
	struct irq_line *a = NULL, *b = NULL, *other = NULL;

	assert_int_equal(irq_line_create(vm->irq, FAKE_ARCH_PINS, &a), -EINVAL);
	assert_null(a);
	assert_int_equal(irq_line_create(vm->irq, 16, &a), 0);
	assert_int_equal(irq_line_create(vm->irq, 16, &b), 0);
	assert_int_equal(irq_line_create(vm->irq, 23, &other), 0);
	irq_line_set(a, true);
	irq_line_set(a, true);
	irq_line_set(b, true);
	assert_true(fake_arch_level(16));
	assert_int_equal(fake_arch_level_sets(16), 1);
	irq_line_set(a, false);
	irq_line_set(a, false);
	assert_true(fake_arch_level(16)); /* b's share */
	assert_int_equal(fake_arch_level_sets(16), 1);
	irq_line_set(b, false);
	assert_false(fake_arch_level(16));
	assert_int_equal(fake_arch_level_sets(16), 2);
	assert_int_equal(fake_arch_level_sets(23), 0);

	irq_line_set(other, true);
	irq_line_set(other, false);
	assert_int_equal(fake_arch_level_sets(23), 2);
	assert_false(fake_arch_level(23));

	/* Who goes takes its level along. */
	irq_line_set(a, true);
	irq_line_set(b, true);
	irq_line_destroy(a);
	assert_true(fake_arch_level(16));
	irq_line_destroy(b);
	assert_false(fake_arch_level(16));
	irq_line_destroy(other);
}

static void test_vector_delivers(void **state)
{
	struct vm *vm = *state;
	struct irq_vector *vector = NULL;
	unsigned int gsi = 0;

	assert_int_equal(irq_vector_create(vm->irq, &vector), 0);
	assert_false(irq_vector_is_pending(vector));
	assert_int_equal(irq_vector_configure(vector, NULL, true), 0); /* no message yet */
	assert_int_equal(fake_kvm_call_count(), 0);
	assert_int_equal(irq_vector_configure(vector, &message_a, true), 0);
	assert_true(fake_kvm_irqfd(irq_vector_fd(vector), &gsi));
	assert_true(gsi >= FAKE_ARCH_PINS);
	assert_int_equal(fake_kvm_route(gsi)->u.msi.data, message_a.data);
	assert_int_equal(fake_kvm_route(gsi)->u.msi.address_lo, message_a.address);
	/* The pins come along with the first table. */
	assert_int_equal(fake_kvm_routing()->nr, FAKE_ARCH_PINS + 1);
	assert_non_null(fake_kvm_route(0));
	irq_vector_trigger(vector);
	assert_int_equal(fake_kvm_interrupt_count(gsi), 1);
	assert_false(irq_vector_is_pending(vector));

	/* The same again is free. */
	unsigned int calls = fake_kvm_call_count();

	assert_int_equal(irq_vector_configure(vector, &message_a, true), 0);
	assert_int_equal(irq_vector_configure(vector, NULL, true), 0);
	assert_int_equal(fake_kvm_call_count(), calls);

	/* Another message: one table, the irqfd stays. */
	assert_int_equal(irq_vector_configure(vector, &message_b, true), 0);
	assert_int_equal(fake_kvm_call_count(), calls + 1);
	assert_int_equal(fake_kvm_route(gsi)->u.msi.data, message_b.data);
	irq_vector_trigger(vector);
	assert_int_equal(fake_kvm_interrupt_count(gsi), 2);
	irq_vector_destroy(vector);
	assert_int_equal(fake_kvm_irqfd_count(), 0);
}

/* Before there is an eventfd, and with one: what is signalled while masked arrives later, once. */
static void test_vector_masked(void **state)
{
	struct vm *vm = *state;
	struct irq_vector *vector = NULL;
	unsigned int gsi = 0;

	assert_int_equal(irq_vector_create(vm->irq, &vector), 0);
	assert_int_equal(irq_vector_configure(vector, &message_a, false), 0);
	irq_vector_trigger(vector);
	irq_vector_trigger(vector);
	assert_true(irq_vector_is_pending(vector));
	assert_int_equal(fake_kvm_call_count(), 0);
	assert_int_equal(irq_vector_configure(vector, NULL, true), 0);
	assert_true(fake_kvm_irqfd(irq_vector_fd(vector), &gsi));
	assert_int_equal(fake_kvm_interrupt_count(gsi), 1);
	assert_false(irq_vector_is_pending(vector));

	assert_int_equal(irq_vector_configure(vector, NULL, false), 0);
	assert_int_equal(fake_kvm_irqfd_count(), 0);
	irq_vector_trigger(vector);
	assert_true(irq_vector_is_pending(vector));
	assert_int_equal(fake_kvm_interrupt_count(gsi), 1);
	/* A message that changes under the mask costs nothing until it counts. */
	unsigned int commits = fake_kvm_routing_commits();

	assert_int_equal(irq_vector_configure(vector, &message_b, false), 0);
	assert_int_equal(fake_kvm_routing_commits(), commits);
	assert_int_equal(irq_vector_configure(vector, &message_b, true), 0);
	assert_int_equal(fake_kvm_routing_commits(), commits + 1);
	assert_int_equal(fake_kvm_interrupt_count(gsi), 2);
	assert_int_equal(fake_kvm_route(gsi)->u.msi.data, message_b.data);

	/* Unmasking with the route that is there: the irqfd alone. */
	assert_int_equal(irq_vector_configure(vector, NULL, false), 0);
	assert_int_equal(irq_vector_configure(vector, NULL, true), 0);
	assert_int_equal(fake_kvm_routing_commits(), commits + 1);
	irq_vector_destroy(vector);
}

static void test_vector_clear(void **state)
{
	struct vm *vm = *state;
	struct irq_vector *vector = NULL;
	unsigned int gsi = 0;

	assert_int_equal(irq_vector_create(vm->irq, &vector), 0);
	irq_vector_trigger(vector);
	irq_vector_clear(vector);
	assert_false(irq_vector_is_pending(vector));
	assert_true(irq_vector_fd(vector) >= 0);
	assert_int_equal(irq_vector_fd(vector), irq_vector_fd(vector));
	irq_vector_trigger(vector);
	assert_true(irq_vector_is_pending(vector));
	irq_vector_clear(vector);
	irq_vector_clear(vector);
	assert_false(irq_vector_is_pending(vector));
	assert_int_equal(irq_vector_configure(vector, &message_a, true), 0);
	assert_true(fake_kvm_irqfd(irq_vector_fd(vector), &gsi));
	assert_int_equal(fake_kvm_interrupt_count(gsi), 0);
	irq_vector_destroy(vector);
}

/* An eventfd that is made after a signal has that signal in it (for vhost). */
static void test_fd_inherits_pending(void **state)
{
	struct vm *vm = *state;
	struct irq_vector *vector = NULL;

	assert_int_equal(irq_vector_create(vm->irq, &vector), 0);
	irq_vector_trigger(vector);
	assert_true(irq_vector_fd(vector) >= 0);
	assert_true(irq_vector_is_pending(vector));
	irq_vector_clear(vector);
	assert_false(irq_vector_is_pending(vector));
	irq_vector_destroy(vector);
}

static void test_routes_run_out(void **state)
{
	static struct irq_vector *vectors[IRQ_GSIS_MAX];
	struct vm *vm = *state;
	size_t count = 0;
	int result = 0;

	while (!result) {
		struct msi_message message = message_a;

		message.data = (uint32_t)count;
		assert_int_equal(irq_vector_create(vm->irq, &vectors[count]), 0);
		/* Routed, and its eventfd not kept: descriptors may be few here. */
		result = irq_vector_configure(vectors[count++], &message, true);
	}
	assert_int_equal(result, -ENOSPC);
	assert_int_equal(count, IRQ_GSIS_MAX - FAKE_ARCH_PINS + 1);
	/* One goes, and the last one finds its place. */
	irq_vector_destroy(vectors[3]);
	vectors[3] = NULL;
	assert_int_equal(irq_vector_configure(vectors[count - 1], &message_b, true), 0);
	assert_int_equal(fake_kvm_route(FAKE_ARCH_PINS + 3)->u.msi.data, message_b.data);
	while (count--)
		irq_vector_destroy(vectors[count]);
}

/* KVM refuses one vector's message: that one is off, the others go on, with and without it. */
static void test_bad_message(void **state)
{
	struct vm *vm = *state;
	struct irq_vector *good = NULL, *bad = NULL;
	unsigned int gsi = 0;

	assert_int_equal(irq_vector_create(vm->irq, &good), 0);
	assert_int_equal(irq_vector_create(vm->irq, &bad), 0);
	assert_int_equal(irq_vector_configure(bad, &message_b, true), 0);
	fake_kvm_fail_nth(0, -EINVAL);
	assert_int_equal(irq_vector_configure(bad, &message_a, true), -EINVAL);
	assert_false(fake_kvm_irqfd(irq_vector_fd(bad), NULL));
	assert_int_equal(irq_vector_configure(good, &message_a, true), 0);
	assert_true(fake_kvm_irqfd(irq_vector_fd(good), &gsi));
	irq_vector_trigger(good);
	assert_int_equal(fake_kvm_interrupt_count(gsi), 1);
	/* And the refused one recovers with the next that KVM takes. */
	irq_vector_trigger(bad);
	assert_int_equal(irq_vector_configure(bad, &message_a, true), 0);
	assert_true(fake_kvm_irqfd(irq_vector_fd(bad), &gsi));
	assert_int_equal(fake_kvm_interrupt_count(gsi), 1);
	irq_vector_destroy(good);
	irq_vector_destroy(bad);
}

/* A first message that KVM refuses takes no GSI along. */
static void test_bad_first_message(void **state)
{
	struct irq_vector *bad = NULL, *good = NULL;
	unsigned int bad_gsi = 0, good_gsi = 0;
	struct vm *vm = *state;

	assert_int_equal(irq_vector_create(vm->irq, &bad), 0);
	assert_int_equal(irq_vector_create(vm->irq, &good), 0);
	fake_kvm_fail_nth(0, -EINVAL);
	assert_int_equal(irq_vector_configure(bad, &message_a, true), -EINVAL);
	assert_int_equal(irq_vector_configure(good, &message_b, true), 0);
	assert_int_equal(fake_kvm_routing()->nr, FAKE_ARCH_PINS + 1); /* the refused one is out */
	assert_int_equal(irq_vector_configure(bad, &message_a, true), 0);
	assert_true(fake_kvm_irqfd(irq_vector_fd(bad), &bad_gsi));
	assert_true(fake_kvm_irqfd(irq_vector_fd(good), &good_gsi));
	assert_int_not_equal(bad_gsi, good_gsi);
	assert_int_equal(fake_kvm_route(good_gsi)->u.msi.data, message_b.data);
	irq_vector_destroy(bad);
	irq_vector_destroy(good);
}

/* Each KVM call of a first enabling fails in turn. */
static void test_anomalies(void **state)
{
	struct vm *vm = *state;

	for (unsigned int n = 0;; n++) {
		struct irq_vector *vector = NULL;
		unsigned int gsi = 0;
		int result;

		assert_int_equal(irq_vector_create(vm->irq, &vector), 0);
		fake_kvm_fail_nth(n, -ENOMEM);
		result = irq_vector_configure(vector, &message_a, true);
		fake_kvm_fail_never();
		if (!fake_kvm_has_failed()) {
			assert_int_equal(result, 0);
			assert_int_equal(n, 2); /* the table and the irqfd */
			irq_vector_destroy(vector);
			break;
		}
		assert_int_equal(result, -ENOMEM);
		assert_int_equal(fake_kvm_irqfd_count(), 0);
		irq_vector_trigger(vector); /* waits */
		assert_int_equal(irq_vector_configure(vector, NULL, true), 0);
		assert_true(fake_kvm_irqfd(irq_vector_fd(vector), &gsi));
		assert_int_equal(gsi, FAKE_ARCH_PINS); /* none was lost */
		assert_int_equal(fake_kvm_interrupt_count(gsi), n + 1);
		irq_vector_destroy(vector);
	}
}

struct worker {
	struct irq_vector *vector;
	struct irq_line *line;
	int kind;
};

static void *work(void *ctx)
{
	struct worker *worker = ctx;

	for (unsigned int i = 0; i < 500; i++) {
		switch (worker->kind) {
		case 0:
			irq_vector_trigger(worker->vector);
			irq_line_set(worker->line, i & 1);
			break;
		case 1:
			assert_int_equal(irq_vector_configure(worker->vector,
			                                      i & 2 ? &message_a : &message_b,
			                                      i & 1),
			                 0);
			break;
		default:
			irq_vector_is_pending(worker->vector);
			if (i % 100 == 99)
				irq_vector_clear(worker->vector);
			break;
		}
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct vm *vm = *state;
	struct worker workers[4];
	struct irq_vector *vector = NULL;
	struct irq_line *lines[4];
	pthread_t threads[4];

	assert_int_equal(irq_vector_create(vm->irq, &vector), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(irq_line_create(vm->irq, 5, &lines[i]), 0);
		workers[i] = (struct worker){ .vector = vector, .line = lines[i], .kind = i % 3 };
		pthread_create(&threads[i], NULL, work, &workers[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 4; i++)
		irq_line_destroy(lines[i]);
	assert_false(fake_arch_level(5));
	irq_vector_destroy(vector);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_router, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lines_share, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_vector_delivers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_vector_masked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_vector_clear, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fd_inherits_pending, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_routes_run_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_message, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_first_message, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_anomalies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
