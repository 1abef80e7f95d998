/*
 * probe: finds the devices of the machine in the device tree and gives each to its driver and its
 * core (drivers.h).
 *
 * Devices are recognised by what they say they are, never by their slot. Boot core, once, before
 * the other cores run.
 */
#include <libfdt.h>
#include <string.h>

#include "base/print.h"
#include "drivers/virtio/mmio.h"
#include "drivers/virtio/uart16550.h"
#include "mm/frames.h"
#include "uapi/errno.h"

#define DEPTH_MAX 8
#define SLOTS_MAX 32

struct node {
	paddr_t base;
	uint32_t irq; /* 0: none */
};

/* `reg` with the parent's cell count; the first cell of `interrupts` is the source number for APLIC
 * and PLIC alike (RISC-V AIA 1.0, and the PLIC's and APLIC's device-tree bindings). */
static bool node_read(const void *fdt, int at, int cells, struct node *n)
{
	int len;
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

static void probe_slot(const struct node *n)
{
	struct vdev found = {0}, *v;

	if (vdev_open(&found, n->base, n->irq) || !found.id)
		return;
	v = frames_boot_alloc(sizeof(*v));
	*v = found;
	(void)!probe_virtio(v); /* refusals have been printed */
}

/* One walk over the tree, remembering the nodes above: libfdt would look for a node's parent by
 * walking from the root each time. The serial port is probed at once, so that the devices behind it
 * are announced on it; slots are kept in their order. */
static unsigned probe_walk(const void *fdt, struct node slots[SLOTS_MAX])
{
	int above[DEPTH_MAX + 1] = {0};
	unsigned count = 0;
	int depth = 0;

	for (int at = 0; at >= 0 && depth >= 0; at = fdt_next_node(fdt, at, &depth)) {
		const char *kind = fdt_getprop(fdt, at, "compatible", NULL);
		struct node n;
		bool uart;

		if (depth <= DEPTH_MAX)
			above[depth] = at;
		if (!kind || !depth || depth > DEPTH_MAX)
			continue;
		uart = !fdt_node_check_compatible(fdt, at, "ns16550a");
		if (!uart && strcmp(kind, "virtio,mmio"))
			continue;
		if (!node_read(fdt, at, fdt_address_cells(fdt, above[depth - 1]), &n))
			continue;
		if (uart)
			uart_probe(n.base, node_u32(fdt, at, "reg-shift", 0), n.irq,
				   owner(ROLE_SERVES));
		else if (count < SLOTS_MAX)
			slots[count++] = n;
	}
	return count;
}

void drivers_init(void)
{
	const void *fdt = arch_boot.fdt;
	struct node slots[SLOTS_MAX];
	unsigned count;

	if (!fdt) {
		kprint("drivers: no device tree, no devices\n");
		return;
	}
	count = probe_walk(fdt, slots);
	for (unsigned i = 0; i < count; i++)
		probe_slot(&slots[i]);
}
