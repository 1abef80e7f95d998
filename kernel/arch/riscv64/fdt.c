/*
 * fdt: reads the device tree once, on the boot hart, into arch_boot and the hart blocks.
 *
 * Two passes: first memory, harts and arguments; then devices, which refer to harts by phandle.
 * Bus addresses are taken as physical ones (empty `ranges`, as on QEMU's virt). Bindings:
 * Devicetree Specification 0.3 and the kernel.org bindings named at each property.
 */
#include <libfdt.h>
#include <string.h>

#include "arch/riscv64/devices.h"
#include "arch/riscv64/hart.h"
#include "base/panic.h"
#include "base/print.h"

#define IRQ_S_EXTERNAL 9 /* in interrupts-extended: the cause number of the local interrupt */

static uint64_t cells_read(const fdt32_t *p, int cells)
{
	uint64_t v = 0;

	while (cells-- > 0)
		v = v << 32 | fdt32_to_cpu(*p++);
	return v;
}

static uint64_t prop_number(const void *fdt, int node, const char *name, uint64_t absent)
{
	int len;
	const fdt32_t *p = fdt_getprop(fdt, node, name, &len);

	return p && len >= 4 ? cells_read(p, len / 4) : absent;
}

/* Range `i` of the node's reg. */
static bool reg_find(const void *fdt, int node, int i, struct arch_range *out)
{
	int len, parent = fdt_parent_offset(fdt, node);
	int na = fdt_address_cells(fdt, parent), ns = fdt_size_cells(fdt, parent);
	const fdt32_t *p = fdt_getprop(fdt, node, "reg", &len);

	if (!p || na < 0 || ns < 0 || len < (i + 1) * (na + ns) * 4)
		return false;
	p += i * (na + ns);
	out->base = cells_read(p, na);
	out->size = cells_read(p + na, ns);
	return true;
}

static bool is_okay(const void *fdt, int node)
{
	const char *status = fdt_getprop(fdt, node, "status", NULL);

	return !status || !strcmp(status, "okay") || !strcmp(status, "ok");
}

static void add_range(struct arch_range *list, unsigned *count, struct arch_range r,
		      const char *what)
{
	if (!r.size)
		return;
	if (*count == ARCH_RANGES_MAX)
		panic("device tree: more than %u %s ranges", ARCH_RANGES_MAX, what);
	list[(*count)++] = r;
}

static void scan_memory(const void *fdt, int node)
{
	struct arch_range r;

	for (int i = 0; reg_find(fdt, node, i, &r); i++) {
		if (r.base >= DIRECT_BYTES)
			continue;
		r.size = min_of(r.size, DIRECT_BYTES - r.base);
		add_range(arch_boot.memory, &arch_boot.memory_count, r, "memory");
	}
}

static void reserve(paddr_t base, uint64_t size)
{
	add_range(arch_boot.reserved, &arch_boot.reserved_count, (struct arch_range){ base, size },
		  "reserved");
}

static void scan_reserved(const void *fdt)
{
	int parent = fdt_path_offset(fdt, "/reserved-memory"), node;
	struct arch_range r;

	fdt_for_each_subnode(node, fdt, parent)
		for (int i = 0; reg_find(fdt, node, i, &r); i++)
			reserve(r.base, r.size);
	for (int i = 0; i < fdt_num_mem_rsv(fdt); i++)
		if (!fdt_get_mem_rsv(fdt, i, &r.base, &r.size))
			reserve(r.base, r.size);
	reserve(arch_direct_paddr(fdt), fdt_totalsize(fdt));
	reserve(arch_boot.initrd.base, arch_boot.initrd.size);
}

static void scan_chosen(const void *fdt)
{
	int node = fdt_path_offset(fdt, "/chosen"), len;
	const void *p;

	arch_boot.cmdline = "";
	if (node < 0)
		return;
	p = fdt_getprop(fdt, node, "bootargs", &len);
	if (p && len > 0 && ((const char *)p)[len - 1] == '\0')
		arch_boot.cmdline = p;
	arch_boot.initrd.base = prop_number(fdt, node, "linux,initrd-start", 0);
	arch_boot.initrd.size =
		prop_number(fdt, node, "linux,initrd-end", 0) - arch_boot.initrd.base;
	p = fdt_getprop(fdt, node, "rng-seed", &len);
	if (p && len > 0)
		console_set_seed(p, (size_t)len);
}

/* One-letter extensions stand before the first underscore, behind "rv64". */
static bool hart_has_letter(const void *fdt, int node, char letter)
{
	int len;
	const char *isa = fdt_getprop(fdt, node, "riscv,isa", NULL);
	const char *list = fdt_getprop(fdt, node, "riscv,isa-extensions", &len);
	const char word[2] = { letter, '\0' };

	if (list && fdt_stringlist_contains(list, len, word))
		return true;
	for (size_t i = 4; isa && strlen(isa) > i && isa[i] != '_'; i++)
		if (isa[i] == letter)
			return true;
	return false;
}

static bool hart_has(const void *fdt, int node, const char *extension)
{
	int len;
	const char *isa = fdt_getprop(fdt, node, "riscv,isa", NULL);
	const char *list = fdt_getprop(fdt, node, "riscv,isa-extensions", &len);

	if (list && fdt_stringlist_contains(list, len, extension))
		return true;
	/* in the long string a multi-letter extension begins behind an underscore */
	isa = isa ? strchr(isa, '_') : NULL;
	for (; isa; isa = strchr(isa, '_')) {
		size_t n = strlen(extension);

		isa++;
		if (!strncmp(isa, extension, n) && (isa[n] == '_' || isa[n] == '\0'))
			return true;
	}
	return false;
}

static void scan_hart(const void *fdt, int node, uint64_t boot_hart)
{
	uint64_t id = prop_number(fdt, node, "reg", UINT64_MAX);
	unsigned index = id == boot_hart ? 0 : arch_boot.cores;
	int intc;

	if (!is_okay(fdt, node) || id == UINT64_MAX)
		return;
	if (index == CORES_MAX) {
		kprint("device tree: hart %llu is left out, %u are enough\n",
		       (unsigned long long)id, CORES_MAX);
		return;
	}
	if (index)
		arch_boot.cores++;
	harts[index].id = id;
	has_sstc &= hart_has(fdt, node, "sstc");
	arch_has_zawrs &= hart_has(fdt, node, "zawrs");
	has_hypervisor &= hart_has_letter(fdt, node, 'h');
	fdt_for_each_subnode(intc, fdt, node)
		if (fdt_getprop(fdt, intc, "interrupt-controller", NULL))
			harts[index].intc = fdt_get_phandle(fdt, intc);
}

static void scan_harts(const void *fdt, uint64_t boot_hart)
{
	int cpus = fdt_path_offset(fdt, "/cpus"), node;
	const char *type;

	ticks_hz = prop_number(fdt, cpus, "timebase-frequency", 0);
	arch_boot.cores = 1; /* core 0 is the boot hart, wherever it stands */
	has_sstc = has_hypervisor = arch_has_zawrs = true;
	fdt_for_each_subnode(node, fdt, cpus) {
		type = fdt_getprop(fdt, node, "device_type", NULL);
		if (!type || strcmp(type, "cpu"))
			continue;
		if (!ticks_hz)
			ticks_hz = prop_number(fdt, node, "timebase-frequency", 0);
		scan_hart(fdt, node, boot_hart);
	}
	if (!ticks_hz)
		panic("device tree: no timebase-frequency");
	arch_tick_ns = 1000000000 % ticks_hz ? 0 : 1000000000 / ticks_hz;
}

static struct arch_hart *hart_of_intc(uint32_t phandle)
{
	for (unsigned i = 0; i < arch_boot.cores; i++)
		if (harts[i].intc == phandle)
			return &harts[i];
	return NULL;
}

/* riscv,imsics: entry i of interrupts-extended is the hart of page i, counted through all of reg;
 * 2^guest-index-bits pages per hart. */
static bool scan_imsic(const void *fdt, int node)
{
	uint64_t stride = PAGE_SIZE << prop_number(fdt, node, "riscv,guest-index-bits", 0);
	int len;
	const fdt32_t *p = fdt_getprop(fdt, node, "interrupts-extended", &len);

	if (!p || len < 8 || fdt32_to_cpu(p[1]) != IRQ_S_EXTERNAL)
		return false;
	/* identities 1 to N, 64 in each register: also where N + 1 is a multiple */
	imsic_words = (uint32_t)(prop_number(fdt, node, "riscv,num-ids", 63) / 64 + 1);
	for (int i = 0; i < len / 8; i++) {
		struct arch_hart *h = hart_of_intc(fdt32_to_cpu(p[2 * i]));
		uint64_t at = (uint64_t)i * stride;
		struct arch_range r;

		for (int k = 0; h && reg_find(fdt, node, k, &r); at -= r.size, k++) {
			if (at >= r.size)
				continue;
			h->imsic = arch_direct(r.base + at);
			h->imsic_index = (uint32_t)i;
			break;
		}
	}
	return true;
}

static void scan_plic(const void *fdt, int node)
{
	int len;
	const fdt32_t *p = fdt_getprop(fdt, node, "interrupts-extended", &len);
	struct arch_range r;

	if (!p || !reg_find(fdt, node, 0, &r))
		return;
	for (int i = 0; i < len / 8; i++) {
		struct arch_hart *h = hart_of_intc(fdt32_to_cpu(p[2 * i]));

		if (h && fdt32_to_cpu(p[2 * i + 1]) == IRQ_S_EXTERNAL)
			h->plic_context = (uint32_t)i;
	}
	irq_set_plic(r.base, (uint32_t)prop_number(fdt, node, "riscv,ndev", 0));
}

static void scan_device(const void *fdt, int node, uint32_t *imsic)
{
	int len;
	const char *kinds = fdt_getprop(fdt, node, "compatible", &len); /* looked up once: dear */
	struct arch_range r;

	if (!kinds || !is_okay(fdt, node))
		return;
	if (fdt_stringlist_contains(kinds, len, "riscv,imsics") && scan_imsic(fdt, node))
		*imsic = fdt_get_phandle(fdt, node);
	else if (fdt_stringlist_contains(kinds, len, "riscv,plic0") ||
		 fdt_stringlist_contains(kinds, len, "sifive,plic-1.0.0"))
		scan_plic(fdt, node);
	else if (fdt_stringlist_contains(kinds, len, "ns16550a") && reg_find(fdt, node, 0, &r))
		console_set_uart(r.base);
	else if (fdt_stringlist_contains(kinds, len, "sifive,test0") && reg_find(fdt, node, 0, &r))
		console_set_finisher(r.base);
	else if (fdt_stringlist_contains(kinds, len, "google,goldfish-rtc") &&
		 reg_find(fdt, node, 0, &r))
		console_set_rtc(r.base);
}

/* The APLIC domain whose messages go to the S-level IMSICs. */
static void scan_aplic(const void *fdt, uint32_t imsic)
{
	int node = -1;
	struct arch_range r;

	while ((node = fdt_node_offset_by_compatible(fdt, node, "riscv,aplic")) >= 0)
		if (prop_number(fdt, node, "msi-parent", 0) == imsic && reg_find(fdt, node, 0, &r))
			irq_set_aia(r.base,
				    (uint32_t)prop_number(fdt, node, "riscv,num-sources", 0));
}

void fdt_scan(const void *fdt, uint64_t boot_hart)
{
	uint32_t imsic = 0;
	int node;

	if (fdt_check_header(fdt))
		panic("the firmware gave no device tree");
	arch_boot.fdt = fdt;
	harts[0].id = boot_hart;
	scan_chosen(fdt);
	scan_harts(fdt, boot_hart);
	scan_reserved(fdt);
	for (node = fdt_next_node(fdt, -1, NULL); node >= 0;
	     node = fdt_next_node(fdt, node, NULL)) {
		const char *type = fdt_getprop(fdt, node, "device_type", NULL);

		if (type && !strcmp(type, "memory"))
			scan_memory(fdt, node);
		else
			scan_device(fdt, node, &imsic);
	}
	if (imsic) {
		arch_boot.has_aia = true;
		scan_aplic(fdt, imsic);
	}
	if (!arch_boot.memory_count)
		panic("device tree: no memory");
}
