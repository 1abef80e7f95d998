/*
 * probe: finds the devices of the machine in the device tree and gives each to its driver and its
 * core (drivers.h).
 *
 * Devices are recognised by what they say they are, never by their slot. Boot core, once, before
 * the other cores run.
 */
#include <libfdt.h>

#include "base/print.h"
#include "drivers/virtio/mmio.h"
#include "drivers/virtio/uart16550.h"
#include "mm/frames.h"
#include "uapi/errno.h"

struct node {
	paddr_t base;
	uint32_t irq; /* 0: none */
};

/* `reg` with the parent's cell counts; the first cell of `interrupts` is the source number for
 * APLIC and PLIC alike (RISC-V AIA 1.0, and the PLIC's and APLIC's device-tree bindings). */
static bool node_read(const void *fdt, int at, struct node *n)
{
	int parent = fdt_parent_offset(fdt, at), len;
	int cells = parent < 0 ? 2 : fdt_address_cells(fdt, parent);
	const fdt32_t *reg = fdt_getprop(fdt, at, "reg", &len);
	const fdt32_t *irq;

	if (!reg || cells < 1 || cells > 2 || len < 4 * cells)
		return false;
	n->base = fdt32_to_cpu(*reg);
	if (cells == 2)
		n->base = n->base << 32 | fdt32_to_cpu(reg[1]);
	irq = fdt_getprop(fdt, at, "interrupts", &len);
	n->irq = irq && len >= 4 ? fdt32_to_cpu(*irq) : 0;
	return true;
}

static uint32_t node_u32(const void *fdt, int at, const char *name, uint32_t absent)
{
	int len;
	const fdt32_t *cell = fdt_getprop(fdt, at, name, &len);

	return cell && len >= 4 ? fdt32_to_cpu(*cell) : absent;
}

/* The first core with the role, or the first that serves at all. */
static uint32_t owner(uint32_t role)
{
	struct core *c = core_with_role(role);

	if (!c)
		c = core_with_role(ROLE_SERVES);
	return c ? c->index : 0;
}

static void probe_uart(const void *fdt)
{
	int at = fdt_node_offset_by_compatible(fdt, -1, "ns16550a");
	struct node n;

	if (at >= 0 && node_read(fdt, at, &n))
		uart_probe(n.base, node_u32(fdt, at, "reg-shift", 0), n.irq, owner(ROLE_SERVES));
}

static int probe_virtio(struct vdev *v)
{
	switch (v->id) {
	case VIRTIO_ID_BLK:
		return vblk_probe(v, owner(ROLE_IO));
	case VIRTIO_ID_NET:
		return vnet_probe(v, owner(ROLE_NET));
	case VIRTIO_ID_RNG:
		return vrng_probe(v, owner(ROLE_SERVES));
	case VIRTIO_ID_CONSOLE:
		return vcon_probe(v, owner(ROLE_SERVES));
	}
	kprint("virtio: device %u at %#llx left alone: no driver for it\n", v->id,
	       (unsigned long long)v->base);
	return -ENODEV;
}

static void probe_slots(const void *fdt)
{
	int at = fdt_node_offset_by_compatible(fdt, -1, "virtio,mmio");

	for (; at >= 0; at = fdt_node_offset_by_compatible(fdt, at, "virtio,mmio")) {
		struct vdev found = {0}, *v;
		struct node n;

		if (!node_read(fdt, at, &n) || vdev_open(&found, n.base, n.irq) || !found.id)
			continue;
		v = frames_boot_alloc(sizeof(*v));
		*v = found;
		(void)!probe_virtio(v); /* refusals have been printed */
	}
}

void drivers_init(void)
{
	const void *fdt = arch_boot.fdt;

	if (!fdt) {
		kprint("drivers: no device tree, no devices\n");
		return;
	}
	probe_uart(fdt);
	probe_slots(fdt);
}
