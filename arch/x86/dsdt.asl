/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the machine does not change from VM to VM, for the guest's ACPI. (ACPI 6.5.)
 *
 * Passes the C preprocessor first: addresses, ports and GSIs are layout.h's. What differs (virtio-mmio slots, the 64-bit
 * PCI window) is in the SSDT that acpi.c writes.
 */
#include "layout.h"
#include "ebb/acpi_pm.h"

/* Four interrupt pins of one slot, swizzled over four GSIs. */
#define ROUTE(slot, pin, line) Package () { ((slot << 16) | 0xFFFF), pin, 0, (X86_GSI_PCI_INTX + line) }
#define SLOT0(slot) ROUTE (slot, 0, 0), ROUTE (slot, 1, 1), ROUTE (slot, 2, 2), ROUTE (slot, 3, 3)
#define SLOT1(slot) ROUTE (slot, 0, 1), ROUTE (slot, 1, 2), ROUTE (slot, 2, 3), ROUTE (slot, 3, 0)
#define SLOT2(slot) ROUTE (slot, 0, 2), ROUTE (slot, 1, 3), ROUTE (slot, 2, 0), ROUTE (slot, 3, 1)
#define SLOT3(slot) ROUTE (slot, 0, 3), ROUTE (slot, 1, 0), ROUTE (slot, 2, 1), ROUTE (slot, 3, 2)
#define SLOTS(s0, s1, s2, s3) SLOT0 (s0), SLOT1 (s1), SLOT2 (s2), SLOT3 (s3)

DefinitionBlock ("dsdt.aml", "DSDT", 2, "EBB   ", "EBBX86  ", 1)
{
	External (\EPCI, IntObj) /* 1: there is a PCI host bridge */
	External (\EMMB, IntObj) /* base of the 64-bit PCI window */
	External (\EMML, IntObj) /* its length; 0: none */

	Name (\_S5, Package () { ACPI_PM_SLP_TYP_S5, ACPI_PM_SLP_TYP_S5, 0, 0 })

	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A08"))
			Name (_CID, EisaId ("PNP0A03"))
			Name (_UID, 0)
			Name (_SEG, 0)
			Name (_BBN, 0)

			Method (_STA, 0, NotSerialized)
			{
				If (\EPCI)
				{
					Return (0x0F)
				}
				Return (0)
			}

			Name (CR32, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
				IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, X86_PCI_IO_PORT, X86_PCI_IO_LAST_PORT, 0,
					X86_PCI_IO_PORTS)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
					0, X86_PCI_MMIO32_GPA, X86_PCI_MMIO32_LAST_GPA, 0,
					X86_PCI_MMIO32_BYTES)
			})

			Name (CR64, ResourceTemplate ()
			{
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
					0, 0x0, 0x0, 0, 0x1, , , W64)
			})

			Method (_CRS, 0, Serialized)
			{
				If (!\EMML)
				{
					Return (CR32)
				}
				CreateQWordField (CR64, \_SB.PCI0.W64._MIN, WMIN)
				CreateQWordField (CR64, \_SB.PCI0.W64._MAX, WMAX)
				CreateQWordField (CR64, \_SB.PCI0.W64._LEN, WLEN)
				WMIN = \EMMB
				WMAX = \EMMB + \EMML - 1
				WLEN = \EMML
				Return (ConcatenateResTemplate (CR32, CR64))
			}

			Name (_PRT, Package ()
			{
				SLOTS (0, 1, 2, 3), SLOTS (4, 5, 6, 7), SLOTS (8, 9, 10, 11), SLOTS (12, 13, 14, 15),
				SLOTS (16, 17, 18, 19), SLOTS (20, 21, 22, 23), SLOTS (24, 25, 26, 27),
				SLOTS (28, 29, 30, 31)
			})
		}

		/* Reserves what belongs to no device, so that nothing else is put there. */
		Device (MBRD)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadWrite, X86_PCI_ECAM_GPA, X86_PCI_ECAM_BYTES)
				IO (Decode16, X86_PORT_ACPI_PM, X86_PORT_ACPI_PM, 1, ACPI_PM_BLOCK_BYTES)
			})
		}

		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, X86_PORT_SERIAL, X86_PORT_SERIAL, 1, 8)
				IRQNoFlags () { X86_GSI_SERIAL }
			})
		}

		Device (RTC)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x70, 0x70, 1, 2)
				IRQNoFlags () { X86_GSI_RTC }
			})
		}

		Device (PVPN)
		{
			Name (_HID, "QEMU0001")
			Name (_STA, 0x0F)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, X86_PORT_PVPANIC, X86_PORT_PVPANIC, 1, 1)
			})
		}
	}
}
