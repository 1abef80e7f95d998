/*
 * machine: RAM, the boot record and the initrd of the hosted machine, made before the first core
 * runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/hosted/hosted.h"
#include "base/machine.h"

struct hosted_options hosted_options;

static int machine_refuse(const char *what, const char *name, int err)
{
	fprintf(stderr, "sluice: %s%s%s: %s\n", what, name ? " " : "", name ? name : "",
		strerror(err));
	return -err;
}

static int machine_make_ram(uint64_t bytes)
{
	void *at = arch_direct(HOSTED_RAM_BASE);

	hosted_ram_fd = memfd_create("sluice-ram", MFD_CLOEXEC);
	if (hosted_ram_fd < 0 || ftruncate(hosted_ram_fd, (off_t)bytes))
		return machine_refuse("cannot make RAM", NULL, errno);
	if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, hosted_ram_fd,
		 0) != at)
		return machine_refuse("cannot map RAM", NULL, errno);
	hosted_ram_bytes = bytes;
	return 0;
}

/* Reads the file into the last pages of RAM. */
static int machine_load_initrd(const char *name)
{
	struct stat st;
	uint64_t room, done = 0;
	paddr_t base;
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st))
		return machine_refuse("cannot open initrd", name, errno);
	room = align_up((uint64_t)st.st_size, PAGE_SIZE);
	if (room > hosted_ram_bytes / 2) {
		close(fd);
		return machine_refuse("initrd takes more than half of RAM:", name, ENOMEM);
	}
	base = HOSTED_RAM_BASE + hosted_ram_bytes - room;
	while (done < (uint64_t)st.st_size) {
		ssize_t n = read(fd, (char *)arch_direct(base) + done, (size_t)st.st_size - done);

		if (n <= 0) {
			int err = n < 0 ? errno : EIO;

			close(fd);
			return machine_refuse("cannot read initrd", name, err);
		}
		done += (uint64_t)n;
	}
	close(fd);
	if (!done)
		return 0;
	arch_boot.initrd = (struct arch_range){ base, done };
	arch_boot.reserved[arch_boot.reserved_count++] = (struct arch_range){ base, room };
	return 0;
}

static unsigned machine_core_index(void)
{
	return hosted_cpu_self ? (unsigned)(hosted_cpu_self - hosted_cpus) : 0;
}

static void machine_end(int status)
{
	arch_poweroff(status);
}

int hosted_machine_init(const struct hosted_options *o)
{
	int err;

	hosted_options = *o;
	base_machine.write = arch_console_write;
	base_machine.time_ns = hosted_time_ns;
	base_machine.core_index = machine_core_index;
	base_machine.stop_others = arch_stop_others;
	base_machine.end = machine_end;

	err = machine_make_ram(o->ram_bytes);
	if (err)
		return err;
	err = hosted_windows_init();
	if (err)
		return machine_refuse("cannot reserve addresses for programs", NULL, -err);
	arch_boot.memory[0] = (struct arch_range){ HOSTED_RAM_BASE, o->ram_bytes };
	arch_boot.memory_count = 1;
	arch_boot.cores = o->cores;
	arch_boot.cmdline = o->cmdline ? o->cmdline : "";
	if (o->initrd) {
		err = machine_load_initrd(o->initrd);
		if (err)
			return err;
	}
	hosted_clock_init();
	if (!hosted_sim)
		hosted_signals_init();
	return 0;
}
