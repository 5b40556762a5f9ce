/* SPDX-License-Identifier: Apache-2.0 */
/* A panicking guest says so to the pvpanic function on PCI. */
#include "mmio.h"
#include "pci.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define PVPANIC_VENDOR   0x1b36
#define PVPANIC_DEVICE   0x0011
#define PVPANIC_PANICKED 1

void test_main(void)
{
	struct pci_bar bar;
	uint16_t bdf;

	if (!CHECK("there is a pvpanic", pci_find(PVPANIC_VENDOR, PVPANIC_DEVICE, 0, &bdf)))
		return;
	bar = pci_bar(bdf, 0);
	if (!CHECK("it has a memory BAR", bar.present && !bar.io))
		return;
	pci_write(bdf, PCI_REG_COMMAND, 2, PCI_COMMAND_MEMORY);
	if (!CHECK("panicked is offered",
	           mmio_read8(bar.gpa) != 0xff && (mmio_read8(bar.gpa) & PVPANIC_PANICKED)))
		return;
	print("panicking\n");
	mmio_write8(bar.gpa, PVPANIC_PANICKED);
	delay_us(1000000);
	report_fail("panic", "the guest goes on");
}
