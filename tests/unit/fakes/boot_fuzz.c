/* SPDX-License-Identifier: Apache-2.0 */
/* Loads one fuzzed kernel and looks at what came of it. */
#include "boot_fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "kernel_images.h"

static const uint64_t ram_sizes[] = { MIB, 2 * MIB, 32 * MIB, 5 * GIB };

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* The ends of what is not the guest's RAM below 1 MiB, and where the tables go: all of it would
 * cost most of a run's time. */
static void check_untouched(struct boot_guest *guest)
{
	static const gpa_t places[] = { 0x9fc00, 0xe0000, 0xffc00 };
	uint8_t hidden[0x400];

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		boot_guest_read(guest, places[i], hidden, sizeof(hidden));
		for (size_t j = 0; j < sizeof(hidden); j++)
			check(!hidden[j]);
	}
}

static void check_entry(struct boot_guest *guest)
{
	/* One byte of RAM at the least; what is there is the kernel's business. */
	check(!boot_check_range(&guest->request, "the entry", guest->entry.rip, 1, NULL));
	check(guest->entry.mode == BOOT_MODE_LONG || guest->entry.rip <= UINT32_MAX);
}

void boot_fuzz(const uint8_t *input, size_t size_bytes, boot_fuzz_mend_fn mend)
{
	struct boot_guest guest;
	uint8_t *kernel;
	uint8_t choices;

	if (size_bytes < 2)
		return;
	choices = input[0];
	kernel = malloc(size_bytes - 1);
	memcpy(kernel, input + 1, size_bytes - 1);
	if (mend)
		mend(kernel, size_bytes - 1);
	boot_guest_create(&guest, ram_sizes[choices & 3]);
	boot_guest_set_kernel(&guest, kernel, size_bytes - 1);
	if (choices & 4)
		boot_guest_add_initrd(&guest, "initrd", kernel, size_bytes - 1);
	if (choices & 8)
		boot_guest_add_initrd(&guest, "second", "second", 6);
	if (choices & 16)
		guest.request.params = "some parameters";
	if (boot_guest_load(&guest))
		check(guest.err.message[0] && !strchr(guest.err.message, '\n'));
	else
		check_entry(&guest);
	check_untouched(&guest);
	boot_guest_destroy(&guest);
	free(kernel);
}
