/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of virtio over PCI, of every device (VIRTIO 1.2, section 4.1). */
#include "mmio.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include "virtio.h"
#include <linux/virtio_pci.h>

#define REVISION 0x08

static uint16_t common16(struct virtio_device *vdev, unsigned int reg)
{
	return mmio_read16(vdev->common_gpa + reg);
}

static void test_identity(struct virtio_device *vdev)
{
	CHECK("device id of the modern range", pci_read(vdev->bdf, PCI_REG_DEVICE, 2) >= 0x1040);
	CHECK("revision is 1 or more", pci_read(vdev->bdf, REVISION, 1) >= 1);
	CHECK("header type 0", (pci_read(vdev->bdf, PCI_REG_HEADER_TYPE, 1) & 0x7f) == 0);
	CHECK("MSI-X with a vector for each queue and one for configuration",
	      vdev->has_msix &&
	              vdev->msix.vector_count >= 1u + common16(vdev, VIRTIO_PCI_COMMON_NUMQ));
	CHECK("an interrupt pin, for the fall-back",
	      pci_read(vdev->bdf, PCI_REG_INTERRUPT_PIN, 1) == 1);
}

/* Every structure lies in a memory BAR of the device and is as large as section 4.1.4 asks. */
static void test_capabilities(struct virtio_device *vdev)
{
	static const uint32_t sizes_min[] = { 0, 56, 2, 1, 1, 0 };
	unsigned int seen = 0, cap = 0;

	while ((cap = pci_find_capability(vdev->bdf, PCI_CAP_VENDOR, cap))) {
		uint32_t type = pci_read(vdev->bdf, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1);
		uint32_t bar = pci_read(vdev->bdf, cap + VIRTIO_PCI_CAP_BAR, 1);
		uint64_t end = (uint64_t)pci_read(vdev->bdf, cap + VIRTIO_PCI_CAP_OFFSET, 4) +
		               pci_read(vdev->bdf, cap + VIRTIO_PCI_CAP_LENGTH, 4);

		EXPECT("capabilities", pci_read(vdev->bdf, cap + VIRTIO_PCI_CAP_LEN, 1) >= 16);
		if (type < 1 || type > 5)
			continue;
		seen |= 1u << type;
		if (type == VIRTIO_PCI_CAP_PCI_CFG)
			continue;
		EXPECT("capabilities",
		       bar < 6 && pci_bar(vdev->bdf, bar).present && !pci_bar(vdev->bdf, bar).io);
		EXPECT("capabilities", end <= pci_bar(vdev->bdf, bar).size_bytes);
		EXPECT("capabilities",
		       pci_read(vdev->bdf, cap + VIRTIO_PCI_CAP_LENGTH, 4) >= sizes_min[type]);
	}
	report_section("capabilities lie in their BARs");
	CHECK("common, notify, ISR and PCI access structures are there", (seen & 0x2e) == 0x2e);
	CHECK("notify multiplier is 0 or a power of two",
	      !(vdev->notify_multiplier & (vdev->notify_multiplier - 1)) &&
	              vdev->notify_multiplier != 1);
}

static void test_common(struct virtio_device *vdev)
{
	uint64_t common = vdev->common_gpa;
	uint16_t queues = common16(vdev, VIRTIO_PCI_COMMON_NUMQ);

	virtio_begin(vdev);
	mmio_write32(common + VIRTIO_PCI_COMMON_DFSELECT, 2);
	CHECK_EQUAL("no device features behind bit 63", mmio_read32(common + VIRTIO_PCI_COMMON_DF),
	            0);
	CHECK_EQUAL("select reads back", mmio_read32(common + VIRTIO_PCI_COMMON_DFSELECT), 2);
	mmio_write32(common + VIRTIO_PCI_COMMON_DFSELECT, 0);
	mmio_write32(common + VIRTIO_PCI_COMMON_DF, 0);
	CHECK_EQUAL("device features are read-only", mmio_read32(common + VIRTIO_PCI_COMMON_DF),
	            (uint32_t)vdev->device_features);
	mmio_write16(common + VIRTIO_PCI_COMMON_NUMQ, 0);
	CHECK_EQUAL("the number of queues is read-only", common16(vdev, VIRTIO_PCI_COMMON_NUMQ),
	            queues);
	CHECK("there are queues", queues > 0);
	mmio_write16(common + VIRTIO_PCI_COMMON_Q_SELECT, queues);
	CHECK_EQUAL("size of the queue behind the last is 0",
	            common16(vdev, VIRTIO_PCI_COMMON_Q_SIZE), 0);
}

static void test_msix_registers(struct virtio_device *vdev)
{
	uint64_t common = vdev->common_gpa;

	virtio_begin(vdev);
	mmio_write16(common + VIRTIO_PCI_COMMON_Q_SELECT, 0);
	CHECK_EQUAL("vectors: none after reset", common16(vdev, VIRTIO_PCI_COMMON_MSIX),
	            VIRTIO_NO_VECTOR);
	CHECK_EQUAL("vectors: none for queue 0 after reset",
	            common16(vdev, VIRTIO_PCI_COMMON_Q_MSIX), VIRTIO_NO_VECTOR);
	mmio_write16(common + VIRTIO_PCI_COMMON_MSIX, 0);
	mmio_write16(common + VIRTIO_PCI_COMMON_Q_MSIX, 1);
	CHECK_EQUAL("vectors: configuration reads back", common16(vdev, VIRTIO_PCI_COMMON_MSIX), 0);
	CHECK_EQUAL("vectors: queue 0 reads back", common16(vdev, VIRTIO_PCI_COMMON_Q_MSIX), 1);
	mmio_write16(common + VIRTIO_PCI_COMMON_MSIX, (uint16_t)vdev->msix.vector_count);
	CHECK_EQUAL("vectors: one too many is refused", common16(vdev, VIRTIO_PCI_COMMON_MSIX),
	            VIRTIO_NO_VECTOR);
	mmio_write16(common + VIRTIO_PCI_COMMON_Q_MSIX, 0x7000);
	CHECK_EQUAL("vectors: a wild one is refused", common16(vdev, VIRTIO_PCI_COMMON_Q_MSIX),
	            VIRTIO_NO_VECTOR);
}

static void test_queue_registers(struct virtio_device *vdev)
{
	uint64_t common = vdev->common_gpa;
	uint16_t max;

	virtio_begin(vdev);
	virtio_negotiate(vdev, 0);
	mmio_write16(common + VIRTIO_PCI_COMMON_Q_SELECT, 0);
	max = common16(vdev, VIRTIO_PCI_COMMON_Q_SIZE);
	CHECK_EQUAL("queue: not enabled at first", common16(vdev, VIRTIO_PCI_COMMON_Q_ENABLE), 0);
	mmio_write16(common + VIRTIO_PCI_COMMON_Q_SIZE, max / 2);
	CHECK_EQUAL("queue: a smaller size reads back", common16(vdev, VIRTIO_PCI_COMMON_Q_SIZE),
	            max / 2);
	mmio_write32(common + VIRTIO_PCI_COMMON_Q_DESCLO, 0x12345000);
	mmio_write32(common + VIRTIO_PCI_COMMON_Q_DESCHI, 1);
	CHECK_EQUAL("queue: address reads back, low",
	            mmio_read32(common + VIRTIO_PCI_COMMON_Q_DESCLO), 0x12345000);
	CHECK_EQUAL("queue: address reads back, high",
	            mmio_read32(common + VIRTIO_PCI_COMMON_Q_DESCHI), 1);
	virtio_begin(vdev);
	virtio_negotiate(vdev, 0);
	virtio_queue_setup(vdev, 0, 0);
	CHECK_EQUAL("queue: enabled", common16(vdev, VIRTIO_PCI_COMMON_Q_ENABLE), 1);
	virtio_reset(vdev);
	mmio_write16(common + VIRTIO_PCI_COMMON_Q_SELECT, 0);
	CHECK_EQUAL("queue: not enabled after reset", common16(vdev, VIRTIO_PCI_COMMON_Q_ENABLE),
	            0);
	CHECK_EQUAL("queue: size is the maximum after reset",
	            common16(vdev, VIRTIO_PCI_COMMON_Q_SIZE), max);
}

/* A size that is no power of two or too large, and rings outside RAM: the device may do what it
 * likes, but it comes back. */
static void test_bad_queues(struct virtio_device *vdev)
{
	static const uint16_t sizes[] = { 0, 3, 0x7fff, 0xffff };
	uint64_t common = vdev->common_gpa;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		virtio_begin(vdev);
		virtio_negotiate(vdev, 0);
		mmio_write16(common + VIRTIO_PCI_COMMON_Q_SELECT, 0);
		mmio_write16(common + VIRTIO_PCI_COMMON_Q_SIZE, sizes[i]);
		mmio_write32(common + VIRTIO_PCI_COMMON_Q_DESCLO, 0xfffff000);
		mmio_write32(common + VIRTIO_PCI_COMMON_Q_DESCHI, 0xffffffff);
		mmio_write16(common + VIRTIO_PCI_COMMON_Q_ENABLE, 1);
		virtio_ready(vdev);
		mmio_write16(vdev->notify_gpa, 0);
		delay_us(500);
		EXPECT("bad queue sizes and addresses", virtio_reset(vdev));
	}
	EXPECT("bad queue sizes and addresses", virtio_begin(vdev) && virtio_negotiate(vdev, 0));
	report_section("bad queue sizes and addresses");
}

/* Every byte of every structure and of the space behind it may be read in every width. */
static void test_reads(struct virtio_device *vdev)
{
	uint64_t gpas[] = { vdev->common_gpa, vdev->isr_gpa, vdev->notify_gpa, vdev->config_gpa };
	unsigned int i, offset;

	virtio_reset(vdev);
	for (i = 0; i < ARRAY_SIZE(gpas); i++) {
		for (offset = 0; gpas[i] && offset < 80; offset++) {
			mmio_read8(gpas[i] + offset);
			mmio_read16(gpas[i] + offset);
			mmio_read32(gpas[i] + offset);
		}
	}
	report_pass("reads of any width and offset");
	CHECK("works after them", virtio_begin(vdev) && virtio_negotiate(vdev, 0));
}

/* The window in configuration space (section 4.1.4.9): read the status through it. */
static void test_access_window(struct virtio_device *vdev)
{
	unsigned int cap = 0, common_cap = 0;

	while ((cap = pci_find_capability(vdev->bdf, PCI_CAP_VENDOR, cap))) {
		uint32_t type = pci_read(vdev->bdf, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1);

		if (type == VIRTIO_PCI_CAP_COMMON_CFG && !common_cap)
			common_cap = cap;
		if (type == VIRTIO_PCI_CAP_PCI_CFG)
			break;
	}
	if (!cap || !common_cap)
		return;
	virtio_begin(vdev);
	pci_write(vdev->bdf, cap + VIRTIO_PCI_CAP_BAR, 1,
	          pci_read(vdev->bdf, common_cap + VIRTIO_PCI_CAP_BAR, 1));
	pci_write(vdev->bdf, cap + VIRTIO_PCI_CAP_OFFSET, 4,
	          pci_read(vdev->bdf, common_cap + VIRTIO_PCI_CAP_OFFSET, 4) +
	                  VIRTIO_PCI_COMMON_STATUS);
	pci_write(vdev->bdf, cap + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	CHECK_EQUAL("access window: status", pci_read(vdev->bdf, cap + 16, 1),
	            VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	pci_write(vdev->bdf, cap + 16, 1, 0);
	CHECK_EQUAL("access window: reset", vdev->transport->read_status(vdev), 0);
	pci_write(vdev->bdf, cap + VIRTIO_PCI_CAP_OFFSET, 4, 0xfffffff0);
	pci_write(vdev->bdf, cap + VIRTIO_PCI_CAP_LENGTH, 4, 4);
	pci_read(vdev->bdf, cap + 16, 4);
	pci_write(vdev->bdf, cap + 16, 4, 0x55);
	CHECK("access window: out of range does no harm", virtio_begin(vdev));
}

void test_main(void)
{
	struct virtio_device vdev;
	char prefix[48];
	unsigned int i;

	for (i = 0; virtio_pci_open(i, &vdev); i++) {
		string_format(prefix, sizeof(prefix), "%s: ", virtio_device_name(vdev.device_id));
		report_prefix(prefix);
		test_identity(&vdev);
		test_capabilities(&vdev);
		test_common(&vdev);
		test_msix_registers(&vdev);
		test_queue_registers(&vdev);
		test_bad_queues(&vdev);
		test_reads(&vdev);
		test_access_window(&vdev);
		virtio_reset(&vdev);
	}
	report_prefix("");
	if (!i)
		report_skip("virtio-pci", "no such device");
}
