# Sluice: the one Makefile. `make help` lists the verbs.
#
# One invocation builds one configuration, MACHINE x COMPILER x SAN, into a folder of its own below
# build/. The verbs (run, test, ...) set up what they need and call this file again for each
# configuration they want. Sources are globbed; a new file needs no line here.

MACHINE  ?= riscv64
HOST_ARCH := $(shell uname -m)
ARCH     ?= $(HOST_ARCH)
COMPILER ?= gcc
SAN      ?=
COVER    ?=
ANALYZE  ?=
TIMED    ?=
DEPS     ?= .deps
SRC      ?=

ifneq ($(filter-out riscv64 hosted linux,$(MACHINE)),)
$(error MACHINE=$(MACHINE) is none of riscv64, hosted, linux)
endif
ifeq ($(MACHINE),linux)
ifneq ($(filter-out x86_64 riscv64,$(ARCH)),)
$(error ARCH=$(ARCH), the processor of MACHINE=linux, is neither x86_64 nor riscv64)
endif
endif
ifneq ($(filter-out gcc clang,$(COMPILER)),)
$(error COMPILER=$(COMPILER) is neither gcc nor clang)
endif
ifneq ($(SAN),)
ifneq ($(MACHINE),hosted)
$(error SAN= needs MACHINE=hosted: the sanitizers' runtime is a Linux library)
endif
endif
ifneq ($(COVER),)
ifneq ($(MACHINE)-$(COMPILER)-$(SAN),hosted-gcc-)
$(error COVER= needs MACHINE=hosted COMPILER=gcc SAN=: gcov counts, and writes files)
endif
endif

ifneq ($(ANALYZE),)
ifneq ($(SAN)$(COVER),)
$(error ANALYZE= needs SAN= and COVER= empty)
endif
endif

ifneq ($(TIMED),)
ifneq ($(MACHINE)-$(COMPILER)-$(SAN)$(COVER)$(ANALYZE),hosted-gcc-)
$(error TIMED= needs MACHINE=hosted COMPILER=gcc and nothing else: docs/simulator.md)
endif
endif

comma := ,
sanitizer := $(if $(findstring address,$(SAN)),-asan,$(if $(findstring thread,$(SAN)),-tsan,$(if $(SAN),-san)))
O := build/$(MACHINE)$(if $(filter linux,$(MACHINE)),-$(ARCH))$(if $(filter clang,$(COMPILER)),-clang)$(sanitizer)$(if $(COVER),-cov)$(if $(ANALYZE),-analyze)$(if $(TIMED),-timed)

SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

Q := $(if $(V),,@)
say = @printf '  %-8s %s\n' $(1) $(2)
# once NAME,COMMAND: asks a tool when first needed, then remembers.
once = $(eval $(1) := $(shell $(2)))$($(1))

.PHONY: help
help:
	@echo 'Sluice: verbs'
	@echo '  make run        set up, build, boot and start echod and nbdd; ends with Ctrl-C'
	@echo '                  SMP=n MAP=file DISK=image MEM=size MACHINE=riscv64|hosted'
	@echo '                  ECHO_PORT=n NBD_PORT=n HTTP_PORT=n RUN_SECONDS=n TOP=1 (a live table of the cores)'
	@echo '                  PROGRAM="file arguments" (a static riscv64 program of Linux, until it ends)'
	@echo '  make debug      the same, stopped at reset, with gdb attached and helpers loaded'
	@echo '  make test       all tests; the last line is "N passed, N failed"'
	@echo '  make unit | sim | abi | boot | model   one kind of test; ONLY=part-of-a-name picks some'
	@echo '  make sim SEED=n | SEEDS=n | TEST=part-of-a-name   one seed again; the first n; some of it'
	@echo '  make mutants    does the simulator campaign find mistakes put into the kernel?'
	@echo '  make soak       the simulator campaign with SEEDS=10000, JOBS= at a time; "N passed, N failed"'
	@echo '  make soak-net   its network part alone: SEEDS=10000 of mutated frames, 100,000 connections and storms'
	@echo '  make race       1,000,000 racing notices of each kind (POSTS=, RACE=part-of-a-name): is one lost?'
	@echo '  make coverage   lines of kernel/ that unit, sim and the hosted abi tests reach, per folder'
	@echo '  make tsan       the threaded unit tests and an echo load under ThreadSanitizer'
	@echo '  make bench      measure afresh into build/bench.csv'
	@echo '  make bench-gate fail if instruction counts grew against bench/baseline.csv'
	@echo '  make compare    measure beside Linux into build/report/index.html; QUICK=1, ONLY=sections'
	@echo '  make compare-repeat   its instruction rows in two runs: do they agree within 1 %?'
	@echo '  make experiment E=name   run one, most on simulated machines, into build/experiments/; E=list; SEED=n COST=file'
	@echo '  make cost-model measure what the simulated machines reckon with into build/cost.conf'
	@echo '  make peer       fetch and build what the comparison with Linux runs; SRC=folder as below'
	@echo '  make trace      record a short run into build/trace.json, for Perfetto; SMP= MAP= MACHINE='
	@echo '  make check      format, layers, analyzers of GCC and Clang, cppcheck, stack report;'
	@echo '                  a minute; DEEP=1 lets Clang look longer'
	@echo '  make format     bring long lines of C within 100 columns'
	@echo '  make install    libasync for programs of Linux: library, headers, pkg-config file, manual pages;'
	@echo '                  PREFIX=/usr/local DESTDIR= ARCH=;  make uninstall takes away what it put'
	@echo '  make man        the manual pages of libasync into build/man'
	@echo '  make sizes      what is in the images, and how big'
	@echo '  make all        build kernel and programs of one configuration'
	@echo '                  MACHINE=riscv64|hosted COMPILER=gcc|clang SAN=address,undefined V=1'
	@echo '                  MACHINE=linux ARCH=x86_64|riscv64: libasync and programs for Linux'
	@echo '  make compilers  build everything for both machines with both compilers'
	@echo '  make deps       list the packages and least versions every verb needs'
	@echo '  make sources    fetch the pinned sources now; SRC=folder takes tarballs from there'
	@echo '  make compile_commands.json     for editors and analyzers'
	@echo '  make version    print the version'
	@echo '  make clean      remove build/;  make distclean also removes the fetched sources'

# ---- version ------------------------------------------------------------------------------------

revision := $(shell git describe --always --dirty --exclude '*' 2>/dev/null)
version  := $(shell cat VERSION)$(if $(revision),+$(revision))

.PHONY: version
version:
	@echo $(version)

# ---- pinned sources -----------------------------------------------------------------------------
#
# The lists are written out, since the files are not there yet when this file is first read. They
# belong to the pinned versions.

LWIP := $(DEPS)/lwip/src
FDT  := $(DEPS)/libfdt

fdt_srcs  := fdt.c fdt_ro.c fdt_addresses.c fdt_strerror.c

pins := $(DEPS)/lwip/.pin $(DEPS)/libfdt/.pin

.PHONY: sources
sources: $(pins)

$(DEPS)/%/.pin: scripts/sources.conf
	$(Q)scripts/sources.py --deps $(DEPS) $(if $(SRC),--from $(SRC)) $*
	@touch $@

$(fdt_srcs:%=$(FDT)/%): | $(pins) ;

# ---- compilers and flags ------------------------------------------------------------------------

RISCV_CC := riscv64-unknown-elf-gcc
HOST_CC  := gcc
CLANG    := clang
OBJCOPY_riscv64 := riscv64-unknown-elf-objcopy
OBJCOPY_hosted  := objcopy
SIZE_riscv64 := riscv64-unknown-elf-size
SIZE_hosted  := size

warnings := -Wall -Wextra -Werror -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wundef \
	-Wpointer-arith -Wwrite-strings
common := -std=gnu17 -g -fno-common -fno-strict-aliasing -ffunction-sections -fdata-sections \
	-fstack-usage $(warnings)

# The compilers disagree on the spelling: GCC 12 takes CSRs and fence.i only from the two named
# extensions, Clang 14 has them in the base and refuses the names. The multilib query needs the
# plain spelling too: with the longer one GCC answers with the hard-float folder.
rv_kernel_multilib := -march=rv64imac -mabi=lp64
rv_kernel_gcc      := -march=rv64imac_zicsr_zifencei -mabi=lp64
rv_kernel_clang    := --target=riscv64-unknown-elf $(rv_kernel_multilib)
rv_user_multilib   := -march=rv64imafdc -mabi=lp64d
rv_user_gcc        := $(rv_user_multilib)
rv_user_clang      := --target=riscv64-unknown-elf $(rv_user_multilib)
# Programs without floating point (docs/abi.md): no FP registers, as in the kernel.
rv_integer_gcc     := $(rv_kernel_gcc)
rv_integer_clang   := $(rv_kernel_clang)

# picolibc's folders for a multilib, as the compiler itself names them.
pico_ask = $(RISCV_CC) -\#\#\# --specs=picolibc.specs $(1) -nostartfiles -x c /dev/null 2>&1 | tr ' ' '\n'
pico_lib = $(firstword $(shell $(call pico_ask,$(1)) | sed -n 's|^-L||p'))/libc.a
pico_include = $(call once,pico_include,$(call pico_ask) | sed -n '/^-isystem$$/{n;p;q}')
kernel_pico = $(eval kernel_pico := $(call pico_lib,$(rv_kernel_multilib)))$(kernel_pico)
user_pico   = $(eval user_pico := $(call pico_lib,$(rv_user_multilib)))$(user_pico)

# musl's folders, likewise.
MUSL_CC = $(call once,MUSL_CC,$(HOST_CC) -dumpmachine | sed 's/gnu$$/musl/;s/$$/-gcc/')
musl_include = $(call once,musl_include,$(MUSL_CC) -E -v -x c /dev/null 2>&1 | sed -n 's|^ \(/[^ ]*musl[^ ]*\)$$|\1|p' | head -n 1)
musl_folder = $(call once,musl_folder,$(MUSL_CC) -\#\#\# -x c /dev/null 2>&1 | tr ' ' '\n' | sed -n 's|^-L\(.*musl.*\)|\1|p' | head -n 1)
musl_lib = $(musl_folder)/libc.a
host_cc_include = $(call once,host_cc_include,$(host_cc) -print-file-name=include)

slirp_cflags = $(call once,slirp_cflags,pkg-config --cflags slirp glib-2.0 | sed 's/-I/-isystem /g')
slirp_libs   = $(call once,slirp_libs,pkg-config --libs slirp glib-2.0)

host_cc := $(if $(filter clang,$(COMPILER)),$(CLANG),$(HOST_CC))
rv_cc   := $(if $(filter clang,$(COMPILER)),$(CLANG),$(RISCV_CC))

includes := -iquote . -iquote kernel -iquote kernel/arch/$(MACHINE)
lwip_includes := -isystem kernel/net/lwip -isystem $(LWIP)/include
fdt_includes  := -isystem $(FDT)

ifeq ($(MACHINE),riscv64)
other    := hosted
user_isa := riscv64
rv_headers = -isystem $(pico_include) $(if $(filter clang,$(COMPILER)),-nostdlibinc)
KCC      := $(rv_cc)
kflags    = $(rv_kernel_$(COMPILER)) -mcmodel=medany -ffreestanding -fno-pic -O2 -DCONFIG_ARCH_RISCV64=1 \
	-ftls-model=local-exec $(rv_headers)
UCC      := $(rv_cc)
uabi_user     = $(rv_user_$(COMPILER))
uabi_integer  = $(rv_integer_$(COMPILER))
uflags    = -mcmodel=medany -ffreestanding -fno-pic -O2 -ftls-model=local-exec $(rv_headers)
user_ld  := $(wildcard libasync/arch/riscv64/user.ld)
uld_user      = $(rv_user_multilib)
uld_integer   = $(rv_kernel_multilib)
ULD       = $(RISCV_CC) -mcmodel=medany -static -nostdlib -nostartfiles \
	-Wl,--gc-sections -Wl,-z,max-page-size=4096 -Wl,--build-id=none $(user_ld:%=-Wl,-T,%)
ulibs_user    = $(user_pico) -lgcc
ulibs_integer = $(kernel_pico) -lgcc
else ifeq ($(MACHINE),linux)
user_isa := $(ARCH)
gnu_cc   := $(if $(filter riscv64,$(ARCH)),riscv64-linux-gnu-gcc,$(HOST_CC))
UCC      := $(if $(filter clang,$(COMPILER)),$(CLANG) --target=$(ARCH)-linux-gnu \
	$(if $(filter riscv64,$(ARCH)),-nostdlibinc -isystem /usr/riscv64-linux-gnu/include),$(gnu_cc))
uflags    = -fPIE -O2 -DASYNC_LINUX -iquote $(O)
ULD       = $(gnu_cc) -static -no-pie -Wl,--gc-sections
else
other    := riscv64
user_isa := x86_64
KCC      := $(host_cc)
kflags    = -pthread $(if $(SAN),-O1 -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all,$(if $(COVER),-O1 --coverage -DCONFIG_COVERAGE=1,-O2)) \
	-D_GNU_SOURCE -DCONFIG_ARCH_HOSTED=1 $(slirp_cflags)
UCC      := $(host_cc)
uflags    = -fPIE -ffreestanding -fno-stack-protector -fcf-protection=none -O2 \
	-nostdinc -isystem $(musl_include) -isystem $(host_cc_include)
user_ld  := $(wildcard libasync/arch/x86_64/user.ld)
ULD       = $(HOST_CC) -static-pie -nostdlib -nostartfiles -Wl,--no-dynamic-linker -Wl,-z,text \
	-Wl,--gc-sections -Wl,-z,separate-code -Wl,-z,noexecstack -Wl,--build-id=none $(user_ld:%=-Wl,-T,%)
ulibs_user = $(musl_lib) -lgcc
endif

# Looks at every path while it compiles: GCC writes its object, Clang a list of what it found. Clang's
# long way takes ten times as long (three minutes of a core): DEEP=1.
analyze_gcc   := -fanalyzer
analyze_clang := --analyze -Wno-unused-command-line-argument --analyzer-output plist-multi-file \
	-Xclang -analyzer-werror $(if $(DEEP),,-Xclang -analyzer-config -Xclang mode=shallow)
analyze := $(if $(ANALYZE),$(analyze_$(COMPILER)))

# -MD, not -MMD: the headers that lwIP asks its port for count as system headers.
compile = $(Q)mkdir -p $(@D) && $(1) $(analyze) $(2) -MD -MP -c $< -o $@

# A command line that changed rebuilds what it built.
.PHONY: FORCE
define stamp
	@mkdir -p $(@D); printf '%s\n' '$(1)' | cmp -s - $@ || printf '%s\n' '$(1)' > $@
endef
$(O)/kernel.flags: FORCE
	$(call stamp,$(KCC) $(analyze) $(kflags) $(common) $(includes))
$(O)/user.flags: FORCE
	$(call stamp,$(UCC) $(analyze) $(uabi_user) $(uabi_integer) $(uflags) $(common) / $(ULD))
$(O)/version.flags: FORCE
	$(call stamp,$(version))

# ---- kernel -------------------------------------------------------------------------------------

# What only the other machine has.
foreign := kernel/arch/$(other)/% kernel/drivers/$(if $(filter riscv64,$(MACHINE)),hosted,virtio)/%
kernel_all  := $(sort $(shell find kernel -name '*.[cS]' 2>/dev/null))
kernel_srcs := $(filter-out $(foreign) kernel/main.c,$(kernel_all))
kernel_objs := $(kernel_srcs:%=$(O)/%.o)
main_obj    := $(if $(filter kernel/main.c,$(kernel_all)),$(O)/kernel/main.c.o)

fdt_objs  := $(if $(filter riscv64,$(MACHINE)),$(fdt_srcs:%=$(O)/libfdt/%.o))
third_objs := $(fdt_objs)

$(O)/kernel/net/%: private extra = $(lwip_includes)
$(O)/kernel/arch/riscv64/%: private extra = $(fdt_includes)
$(O)/kernel/drivers/virtio/%: private extra = $(fdt_includes)
$(O)/kernel/main.c.o: private extra = -DSLUICE_VERSION='"$(version)"'
$(O)/kernel/main.c.o: $(O)/version.flags

$(O)/%.c.o: %.c $(O)/kernel.flags | $(pins)
	$(call say,CC,$<)
	$(call compile,$(KCC) $(kflags) $(common) $(includes),$(extra))
$(O)/%.S.o: %.S $(O)/kernel.flags | $(pins)
	$(call say,AS,$<)
	$(call compile,$(KCC) $(kflags) $(common) $(includes),)

# The timed simulator sees every load and store of the kernel, but for the machine's own: GCC calls a
# function for each, and tests/sim/lib/lines.c has these functions instead of a race detector.
ifneq ($(TIMED),)
seen := $(filter-out kernel/arch/% kernel/main.c,$(kernel_srcs))
$(seen:%=$(O)/%.o): private kflags += -fsanitize=thread -U__SANITIZE_THREAD__ -Wno-tsan \
	--param tsan-instrument-func-entry-exit=0
endif

# Not our code: our machine flags, no opinion on its warnings.
relaxed = $(filter-out $(warnings),$(kflags) $(common)) -w
$(O)/libfdt/%.c.o: $(FDT)/%.c $(O)/kernel.flags
	$(call say,CC,libfdt/$*.c)
	$(call compile,$(KCC) $(relaxed),$(fdt_includes))

$(O)/libkernel.a: $(kernel_objs) $(third_objs)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

build/layers.ok: scripts/check-layers $(sort $(shell find kernel uapi -name '*.[chS]' 2>/dev/null))
	$(Q)scripts/check-layers
	@mkdir -p $(@D) && touch $@

link_ld := kernel/arch/riscv64/link.ld

# Kernels with another main, which do one thing only: bench/kernel.
bare := $(sort $(basename $(notdir $(wildcard bench/kernel/*.c))))

# The kernel's thread pointer is its core pointer, so no library object may bring a thread-local in.
$(O)/kernel.elf: $(main_obj)
$(O)/kernel.elf $(bare:%=$(O)/%/kernel.elf): $(kernel_objs) $(third_objs) $(link_ld)
	$(call say,LD,$@)
	$(Q)$(RISCV_CC) $(rv_kernel_multilib) -mcmodel=medany -static -nostdlib -nostartfiles \
		-Wl,--gc-sections -Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments \
		-Wl,--defsym=vfprintf=__i_vfprintf -Wl,-Map=$(@:.elf=.map) -Wl,-T,$(link_ld) \
		$(filter %.o,$^) -Wl,--start-group $(kernel_pico) -lgcc -Wl,--end-group -o $@
	$(Q)if riscv64-unknown-elf-readelf -lW $@ | grep -q '^  TLS'; then \
		echo 'kernel.elf holds thread-local data, which would overwrite the core structure' >&2; exit 1; fi

$(O)/sluice: $(main_obj)
$(O)/sluice $(bare:%=$(O)/%/sluice): $(O)/libkernel.a
	$(call say,LD,$@)
	$(Q)$(host_cc) $(if $(SAN),-fsanitize=$(SAN)) $(if $(COVER),--coverage) -pthread $(filter %.o,$^) $(filter %.a,$^) $(slirp_libs) -o $@

bare_kernels := $(bare:%=$(O)/%/$(if $(filter riscv64,$(MACHINE)),kernel.elf,sluice))
$(bare_kernels): $(O)/%/$(if $(filter riscv64,$(MACHINE)),kernel.elf,sluice): $(O)/bench/kernel/%.c.o | $(O)/%/initrd.cpio
$(bare:%=$(O)/%/initrd.cpio): $(O)/initrd.cpio
	$(Q)mkdir -p $(@D) && ln -sfn ../initrd.cpio $@
.PHONY: bare
bare: $(bare_kernels)

.PHONY: kernel
ifeq ($(main_obj),)
kernel: $(kernel_objs) $(third_objs) build/layers.ok
	@echo 'kernel/main.c is not here: objects only'
else
kernel: $(if $(filter riscv64,$(MACHINE)),$(O)/kernel.elf,$(O)/sluice) build/layers.ok
endif

# ---- user programs ------------------------------------------------------------------------------

runtime_srcs := $(sort $(wildcard libasync/*.[cS] libasync/arch/$(user_isa)/*.[cS]))
ifeq ($(MACHINE),linux)
# How a program begins and ends, and some calls, are Linux' own; its main is taken out of a library,
# by those that bring ring_main instead.
runtime_srcs := $(filter-out libasync/crt.c libasync/native.c %/crt0.S %/relocate.c,$(runtime_srcs)) \
	$(sort $(wildcard libasync/linux/*.c))
endif
runtime_user := $(runtime_srcs:%=$(O)/user/%.o)
runtime_integer := $(runtime_srcs:%=$(O)/integer/%.o)
ifeq ($(MACHINE),linux)
$(O)/libasync.a: $(runtime_user)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(if $(filter riscv64,$(ARCH)),riscv64-linux-gnu-)ar rcs $@ $^
runtime_user := $(O)/libasync.a
# Linux' number of each system call, by ours; call.c says which are left out.
$(O)/user/libasync/linux/call.c.o: $(O)/linux/number.h
$(O)/linux/number.h: uapi/syscall.h libasync/linux/number.sed
	$(Q)mkdir -p $(@D) && sed -nf libasync/linux/number.sed $< > $@
endif
user_includes := -iquote . -iquote libasync

# uartd hashes with BLAKE3's portable C, from the package that carries it, where that is installed.
BLAKE3 := $(firstword $(wildcard /usr/share/cargo/registry/blake3-*/c))
blake3_flags := -w -DNDEBUG -DBLAKE3_NO_SSE2 -DBLAKE3_NO_SSE41 -DBLAKE3_NO_AVX2 -DBLAKE3_NO_AVX512
blake3_srcs := $(if $(BLAKE3),blake3 blake3_dispatch blake3_portable)

# $(1) an ABI: its folder of objects, and the end of its variables' names
define user_abi
$(O)/$(1)/%.c.o: %.c $(O)/user.flags
	$$(call say,CC,$$<)
	$$(call compile,$$(UCC) $$(uabi_$(1)) $$(uflags) $$(common) $$(user_includes),$$(extra))
$(O)/$(1)/%.S.o: %.S $(O)/user.flags
	$$(call say,AS,$$<)
	$$(call compile,$$(UCC) $$(uabi_$(1)) $$(uflags) $$(common) $$(user_includes),)
$(O)/$(1)/tests/abi/%: private extra = -iquote tests -iquote tests/abi
$(O)/$(1)/bench/guest/%: private extra = -iquote bench/guest
$(O)/$(1)/apps/%: private extra = -iquote apps
$(O)/$(1)/apps/uartd/%: private extra = -iquote apps $(if $(BLAKE3),-isystem $(BLAKE3) -DUARTD_BLAKE3)
$(O)/$(1)/blake3/%.o: $(BLAKE3)/%.c $(O)/user.flags
	$$(call say,CC,$$<)
	$$(call compile,$$(UCC) $$(uabi_$(1)) $$(uflags) $$(common) $(blake3_flags),)
endef
$(foreach a,user integer,$(eval $(call user_abi,$(a))))

# A program is one file, or one folder; abi tests and guest benchmarks share their folder's lib/.
apps    := $(sort $(basename $(notdir $(wildcard apps/*.c))) $(notdir $(patsubst %/,%,$(dir $(wildcard apps/*/*.c)))))
abis    := $(sort $(basename $(notdir $(wildcard tests/abi/$(if $(filter linux,$(MACHINE)),async_)*.c))))
benches := $(filter-out $(if $(filter linux,$(MACHINE)),notify steps),$(sort $(basename $(notdir $(wildcard bench/guest/*.c)))))
programs :=

# Programs that are built without floating point, where that is an ABI of its own: docs/abi.md.
integer := coretop echod hello httpd nbdd notice_pingpong uartd t_integer_% \
	$(addprefix b_,$(filter-out co moves,$(benches)))
abi_of = $(if $(filter riscv64,$(MACHINE)),$(if $(filter $(integer),$(1)),integer,user),user)

# $(1) name in the guest's /bin, $(2) sources, $(3) ABI
define program_of
programs += $(O)/apps/$(1)
$(O)/apps/$(1): $(2:%=$(O)/$(3)/%.o) $(runtime_$(3)) $(user_ld)
	$$(call say,LD,$$@)
	$$(Q)mkdir -p $$(@D) && $$(ULD) $$(uld_$(3)) $$(filter %.o %.a,$$^) -Wl,--start-group $$(ulibs_$(3)) -Wl,--end-group -o $$@
endef
program = $(call program_of,$(1),$(2),$(call abi_of,$(1)))
$(O)/apps/uartd: $(blake3_srcs:%=$(O)/$(call abi_of,uartd)/blake3/%.o)
$(foreach a,$(apps),$(eval $(call program,$(a),$(wildcard apps/$(a).c apps/$(a)/*.[cS]))))
$(foreach a,$(abis),$(eval $(call program,t_$(a),tests/abi/$(a).c $(wildcard tests/abi/lib/*.[cS]))))
$(foreach a,$(benches),$(eval $(call program,b_$(a),bench/guest/$(a).c $(wildcard bench/guest/lib/*.[cS]))))

$(O)/bin/%: $(O)/apps/%
	$(Q)mkdir -p $(@D) && $(OBJCOPY_$(MACHINE)) --strip-debug $< $@

bins := $(programs:$(O)/apps/%=$(O)/bin/%)
# What a program serves: apps/NAME/www/* is in the guest's /www.
pages := $(sort $(wildcard apps/*/www/*))
$(O)/programs.list: FORCE
	$(call stamp,$(bins) $(pages))
$(O)/initrd.cpio: scripts/mkinitrd.py $(bins) $(pages) $(O)/programs.list
	$(call say,CPIO,$@)
	$(Q)scripts/mkinitrd.py $@ $(foreach b,$(bins),bin/$(notdir $(b))=$(b)) \
		$(foreach p,$(pages),www/$(notdir $(p))=$(p))

.PHONY: apps all
apps: $(programs) $(if $(filter linux,$(MACHINE)),,$(O)/initrd.cpio)
all: $(if $(filter linux,$(MACHINE)),,kernel) apps

# What `make check` gives to the analyzers: our C but the tests, of the hosted machine only what is
# its own. lwIP is not ours, and takes GCC's longer than all the rest: it is compiled, for its stack.
analyzed := $(filter %.c.o,$(main_obj) $(kernel_objs) \
	$(patsubst %,$(O)/user/%.o,$(runtime_srcs) $(wildcard apps/*.c apps/*/*.c)))
analyzed_hosted := $(filter $(O)/kernel/arch/% $(O)/kernel/drivers/hosted/%,$(analyzed))
analyzed_clang := $(filter-out %/lwip/unity.c.o,$(analyzed))
$(O)/kernel/net/lwip/unity.c.o: private analyze =
.PHONY: analyze
analyze: $(or $(analyzed_$(MACHINE)),$(analyzed_$(COMPILER)),$(analyzed))

.PHONY: compilers
compilers:
	$(Q)scripts/packages.sh compilers
	$(Q)for machine in riscv64 hosted 'linux ARCH=x86_64' 'linux ARCH=riscv64'; do for compiler in gcc clang; do \
		echo "== $$machine with $$compiler"; \
		$(MAKE) MACHINE=$$machine COMPILER=$$compiler SAN= all || exit 1; done; done

# ---- tests and benchmarks that run on this host -------------------------------------------------

# Each .c of tests/unit and tests/sim is a program, with what is in NAME_parts/; all of a
# kind share its lib/. The simulator watches some of the kernel's functions from outside.
sim_link := -Wl,--wrap=trace_event,--wrap=op_cancel,--wrap=mailbox_post,--wrap=pin_user,--wrap=pin_copy_in,--wrap=pin_copy_out,--wrap=random_expand,--wrap=tcp_write
sim_names := $(sort $(basename $(notdir $(wildcard tests/sim/*.c))))
host_tests :=
define host_test
host_tests += $(O)/tests/$(1)/$(2)
$(1)_tests += $(O)/tests/$(1)/$(2)
$(O)/tests/$(1)/$(2): $(patsubst %,$(O)/%.o,tests/$(1)/$(2).c $(wildcard tests/$(1)/$(2)_parts/*.c tests/$(1)/lib/*.c)) $(O)/libkernel.a
	$$(call say,LD,$$@)
	$$(Q)$(host_cc) $(if $(SAN),-fsanitize=$(SAN)) $(if $(COVER),--coverage) -pthread $($(1)_link) $$^ -lcmocka $$(slirp_libs) -o $$@
endef
unit_tests :=
sim_tests :=
ifeq ($(MACHINE),hosted)
$(foreach t,$(sort $(basename $(notdir $(wildcard tests/unit/*.c)))),$(eval $(call host_test,unit,$(t))))
$(foreach t,$(filter-out $(if $(COVER),cores),$(sim_names)),$(eval $(call host_test,sim,$(t))))
endif
$(O)/tests/unit/%: private extra = -iquote tests -iquote tests/unit $(lwip_includes)
$(O)/tests/sim/%: private extra = -iquote tests -iquote tests/sim $(lwip_includes)
$(O)/tests/sim/lib/lines.c.o: private extra += $(if $(TIMED),-DCONFIG_TIMED=1)
$(O)/tests/sim/lib/sim.c.o: private extra += -DSIM_COMMIT='"$(revision)"'
$(O)/tests/sim/lib/sim.c.o: $(O)/version.flags

.PHONY: unit-programs sim-programs
unit-programs: $(unit_tests) build/layers.ok
sim-programs: $(sim_tests) build/layers.ok

-include $(shell test -d $(O) && find $(O) -name '*.d')

# ---- verbs --------------------------------------------------------------------------------------

JOBS ?= $(shell nproc 2>/dev/null || echo 1)
again = $(MAKE) $(if $(findstring j,$(filter-out --%,$(MAKEFLAGS))),,-j$(JOBS))

.PHONY: run debug
export SMP MAP DISK MEM ECHO_PORT NBD_PORT HTTP_PORT RUN_SECONDS TOP PROGRAM
run:
	$(Q)scripts/packages.sh $(if $(filter hosted,$(MACHINE)),hosted,run)
	$(Q)scripts/run --check --machine $(MACHINE) --build $(O)
	$(Q)$(again) all
	$(Q)exec scripts/run --machine $(MACHINE) --build $(O)

debug:
	$(Q)scripts/packages.sh debug
	$(Q)$(again) MACHINE=riscv64 SAN= all
	$(Q)exec scripts/run --machine riscv64 --build $(O) --debug

# The simulator with a clock per core: docs/simulator.md.
timed := MACHINE=hosted COMPILER=gcc SAN= COVER= TIMED=1
cores := build/hosted-timed/tests/sim/cores

.PHONY: test unit sim abi boot model mutants soak test-setup
export SEED SEEDS TEST
test-setup:
	$(Q)scripts/packages.sh test
unit sim: test-setup
	$(Q)$(again) MACHINE=hosted SAN=address,undefined $@-programs
	$(Q)$(if $(filter sim,$@),$(again) $(timed) $(cores))
	$(Q)scripts/test.py $@ $(addprefix build/hosted$(if $(filter clang,$(COMPILER)),-clang)-asan/tests/$@/,$(filter-out cores,$(sort $(basename $(notdir $(wildcard tests/$@/*.c)))))) \
		$(if $(filter sim,$@),$(cores)) $(wildcard tests/$@/test_*.py)
abi boot: test-setup
	$(Q)$(again) MACHINE=riscv64 SAN= all
	$(Q)$(again) MACHINE=hosted SAN= all
	$(Q)$(again) MACHINE=linux ARCH=$(HOST_ARCH) SAN= all
	$(Q)$(again) build/tests/peer/peer door-programs
	$(Q)scripts/test.py $@
model: test-setup
	$(Q)scripts/test.py $@
test: test-setup
	$(Q)scripts/test.py begin
	$(Q)status=0; for kind in unit sim abi boot model; do $(MAKE) $$kind || status=1; done; \
		scripts/test.py sum || status=1; exit $$status

# Does the campaign find a kernel's mistakes? Then: many seeds, without sanitizers, which is faster.
mutants: test-setup
	$(Q)$(again) MACHINE=hosted SAN= $(addprefix build/hosted/tests/,$(addprefix sim/,campaign moves preempt thread_move) $(addprefix unit/,sched_executor cores_balance))
	$(Q)$(again) $(timed) $(cores)
	$(Q)tests/sim/mutants.py "$(ONLY)"
soak: mutants
	$(Q)SOAK=1 CANCELS=1 JOBS=$(JOBS) SEEDS=$(or $(SEEDS),10000) nice -n 19 build/hosted/tests/sim/campaign
	$(Q)SOAK=1 JOBS=$(JOBS) SEEDS=1000 nice -n 19 build/hosted/tests/sim/moves
	$(Q)$(MAKE) soak-net

# The network's: mutated frames by seed, and the long storms through the peer. tests/README.md
.PHONY: soak-net
soak-net: test-setup
	$(Q)$(again) MACHINE=riscv64 SAN= all
	$(Q)$(again) build/tests/peer/peer
	$(Q)$(again) MACHINE=hosted SAN=address,undefined build/hosted-asan/tests/unit/net_fuzz
	$(Q)SEEDS=$(or $(SEEDS),10000) build/hosted-asan/tests/unit/net_fuzz 2>build/tests/net_fuzz.log
	$(Q)ONLY=storm scripts/test.py soak

# Notices that race with whatever their receivers do: tests/abi/race_posts.c
.PHONY: race
export POSTS RACE
race: test-setup
	$(Q)$(again) MACHINE=riscv64 SAN= all
	$(Q)PYTHONPATH=scripts:tests/boot python3 tests/boot/soak_race.py

# Line coverage: a build of its own, counted afresh. A failed test is said, and fails the verb.
.PHONY: coverage
coverage: test-setup
	$(Q)$(again) MACHINE=hosted COMPILER=gcc SAN= COVER=1 all unit-programs sim-programs
	$(Q)find build/hosted-cov -name '*.gcda' -delete
	$(Q)status=0; for kind in unit sim; do scripts/test.py $$kind \
		$$(find build/hosted-cov/tests/$$kind -maxdepth 1 -type f -perm -u+x | sort) || status=1; done; \
		ABI_BUILD=build/hosted-cov scripts/test.py abi || status=1; \
		scripts/coverage.py build/hosted-cov || status=1; exit $$status

# Clang's, since GCC 12 refuses fences under ThreadSanitizer.
.PHONY: tsan
tsan:
	$(Q)scripts/packages.sh tsan
	$(Q)$(again) MACHINE=hosted COMPILER=clang SAN=thread COVER= all unit-programs
	$(Q)$(again) build/bench/echo_client
	$(Q)scripts/tsan build/hosted-clang-tsan

# What runs on this host beside the guest: clients, opponents, and the emulator's counting plugin.
bench_hosts   := $(patsubst bench/host/%.c,build/bench/%,$(wildcard bench/host/*.c))
bench_plugins := $(patsubst bench/plugin/%.c,build/bench/%.so,$(wildcard bench/plugin/*.c))
bench_flags   := -std=gnu17 -g -O2 $(warnings) -D_GNU_SOURCE -pthread

$(bench_hosts): build/bench/%: bench/host/%.c $(wildcard bench/host/*.h)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(host_cc) $(bench_flags) $< -o $@
$(bench_plugins): build/bench/%.so: bench/plugin/%.c bench/plugin/serve.h
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(host_cc) $(bench_flags) -fPIC -fvisibility=hidden -shared $< -o $@

# The peer's own programs (bench/peer): ordinary Linux ones, all of a folder's .c one each.
PEER_CC        := riscv64-linux-gnu-gcc
peer_programs  := $(patsubst bench/peer/guest/%.c,build/peer/%,$(wildcard bench/peer/guest/*.c))

peer_headers   := $(wildcard bench/*.h bench/host/*.h bench/peer/guest/*.h)
peer_here      := $(peer_programs:build/peer/%=build/bench/linux_%)

$(peer_here): build/bench/linux_%: bench/peer/guest/%.c $(peer_headers)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(host_cc) $(bench_flags) -iquote . $< $(extra) -o $@
# The serial port's program hashes, as apps/uartd does.
build/peer/uart build/bench/linux_uart: private extra = $(if $(BLAKE3),-isystem $(BLAKE3) -DPEER_BLAKE3 $(blake3_flags) \
	$(wildcard $(addprefix $(BLAKE3)/,blake3.c blake3_dispatch.c blake3_portable.c)))
$(peer_programs): build/peer/%: bench/peer/guest/%.c $(peer_headers)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(PEER_CC) $(bench_flags) -iquote . -static $< $(extra) -o $@

# fio, statically and as it is, but for what its configure can be told: no shared memory of System V and no
# timer descriptors, which it does without, and nothing of the host it is built on. Without its source the
# comparison leaves its row out.
fio_without := shm numa rdma rados rbd http gfapi libnfs lex pmem native xnvme isal libblkio libzbc tcmalloc dfs
build/peer-fio/fio: $(DEPS)/fio/.pin
	$(call say,MAKE,$@)
	$(Q)rm -rf $(@D) && mkdir -p $(@D)
	$(Q)cd $(@D) && $(abspath $(DEPS))/fio/configure --cpu=riscv64 --cc=$(PEER_CC) --build-static \
		$(fio_without:%=--disable-%) >configure.log 2>&1 && sed -i /TIMERFD/d config-host.h config-host.mak && \
		$(MAKE) --no-print-directory fio >make.log 2>&1 && riscv64-linux-gnu-strip fio

.PHONY: peer peer-programs
peer-programs: $(peer_programs)
peer:
	$(Q)scripts/packages.sh bench peer
	$(Q)bench/peer/packages.py --deps $(DEPS) $(if $(SRC),--from $(SRC))
	$(Q)$(again) peer-programs
	$(Q)$(again) build/peer-fio/fio || echo 'peer: no fio: row 4 of the comparison is left out'
	$(Q)$(again) MACHINE=linux ARCH=riscv64 SAN= COVER= apps

# Programs of Linux that the trap door serves as they are (tests/abi/linux): each is built twice, against the
# distribution's C library and against musl, whose archive is built once.
doors    := $(sort $(basename $(notdir $(wildcard tests/abi/linux/*.c))))
musl_out := build/tests/musl/out
musl_gcc := $(PEER_CC) -nostdinc -isystem $(musl_out)/include -nostdlib -static \
	$(addprefix $(musl_out)/lib/,crt1.o crti.o)
door_flags := -std=gnu17 -g -O2 $(warnings) -pthread

$(musl_out)/lib/libc.a: $(DEPS)/musl/.pin
	$(call say,MAKE,$@)
	$(Q)rm -rf build/tests/musl && mkdir -p build/tests/musl
	$(Q)cd build/tests/musl && $(abspath $(DEPS))/musl/configure --target=riscv64-linux-gnu \
		--prefix=$(abspath $(musl_out)) --disable-shared CC=$(PEER_CC) >configure.log 2>&1 && \
		$(MAKE) --no-print-directory install-headers install-libs >make.log 2>&1
$(doors:%=build/tests/linux/%): build/tests/linux/%: tests/abi/linux/%.c $(wildcard tests/abi/linux/*.h)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(PEER_CC) $(door_flags) -static $< -o $@
$(doors:%=build/tests/musl/%): build/tests/musl/%: tests/abi/linux/%.c $(wildcard tests/abi/linux/*.h) \
		$(musl_out)/lib/libc.a
	$(call say,CC,'$< (musl)')
	$(Q)$(musl_gcc) $(door_flags) $< $(musl_out)/lib/libc.a -lgcc $(musl_out)/lib/crtn.o -o $@
.PHONY: door-programs
door-programs: $(doors:%=build/tests/linux/%) $(doors:%=build/tests/musl/%)

# The storm's peer, on the other end of the guest's cable: tests/README.md. It is lwIP, too, with
# options of its own.
peer_objs := $(patsubst tests/%.c,build/tests/%.o,$(wildcard tests/peer/*.c)) build/tests/peer/unity.o
peer_flags := -std=gnu17 -g -O2 -D_GNU_SOURCE -iquote tests -isystem tests/peer/lwip -isystem $(LWIP)/include

build/tests/peer/unity.o: kernel/net/lwip/unity.c | $(pins)
	$(call say,CC,$< '(peer)')
	$(Q)mkdir -p $(@D) && $(host_cc) $(peer_flags) -w -MD -c $< -o $@
build/tests/peer/%.o: tests/peer/%.c | $(pins)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(host_cc) $(peer_flags) $(warnings) -MD -c $< -o $@
build/tests/peer/peer: $(peer_objs)
	$(call say,LD,$@)
	$(Q)$(host_cc) $^ -o $@
-include $(peer_objs:.o=.d)

.PHONY: bench bench-programs
bench-programs: $(bench_hosts) $(bench_plugins) $(peer_here)
bench:
	$(Q)scripts/packages.sh bench
	$(Q)$(again) MACHINE=riscv64 SAN= all bare
	$(Q)$(again) MACHINE=hosted SAN= all
	$(Q)$(again) $(timed) $(cores)
	$(Q)$(again) bench-programs
	$(Q)rm -f build/bench.csv
	$(Q)bench/run

# docs/simulator.md
.PHONY: cost-model experiment
export E SEED COST
cost-model:
	$(Q)scripts/packages.sh bench
	$(Q)$(again) MACHINE=hosted SAN= all build/hosted/tests/sim/cores build/bench/lines
	$(Q)$(again) $(timed) $(cores)
	$(Q)bench/cost_model.py
emulated := notices balance dedicated
experiment:
	$(Q)scripts/packages.sh experiment $(if $(filter $(emulated),$(E)),bench)
	$(Q)$(if $(filter $(emulated),$(E)),$(again) MACHINE=riscv64 SAN= all && $(again) bench-programs \
		$(if $(wildcard $(DEPS)/peer/linux),peer-programs))
	$(Q)$(if $(filter notices,$(E)),,$(again) $(timed) $(cores))
	$(Q)bench/experiment $(or $(E),list)

.PHONY: bench-gate
bench-gate:
	$(Q)scripts/packages.sh bench
	$(Q)$(again) MACHINE=riscv64 SAN= all
	$(Q)$(again) bench-programs
	$(Q)bench/gate

# bench/compare: without the peer (no network, and it was never fetched) the rows that need none.
# compare-repeat: the instructions alone, twice; do they agree?
.PHONY: compare compare-repeat
compare:
	$(Q)scripts/packages.sh bench compare
	$(Q)$(again) MACHINE=riscv64 SAN= all bare
	$(Q)$(again) MACHINE=hosted SAN= all bare
	$(Q)$(again) bench-programs
	$(Q)if $(MAKE) peer; then bench/compare/run $(if $(QUICK),--quick) $(ONLY); else \
		echo 'compare: without Linux on the same machine'; \
		bench/compare/run --no-peer $(if $(QUICK),--quick) $(ONLY); fi
compare-repeat:
	$(Q)scripts/packages.sh bench compare
	$(Q)$(again) MACHINE=riscv64 SAN= all bare
	$(Q)$(again) bench-programs
	$(Q)$(MAKE) peer
	$(Q)bench/compare/run --instructions --out build/repeat/1 $(if $(QUICK),--quick) $(ONLY)
	$(Q)bench/compare/run --instructions --out build/repeat/2 $(if $(QUICK),--quick) $(ONLY)
	$(Q)bench/compare/repeat build/repeat/1/figures.csv build/repeat/2/figures.csv

# docs/trace.md
.PHONY: trace
trace:
	$(Q)scripts/packages.sh $(if $(filter hosted,$(MACHINE)),hosted,trace)
	$(Q)$(again) SAN= all
	$(Q)$(again) build/bench/echo_client build/bench/nbd_client
	$(Q)scripts/trace-record --machine $(MACHINE) --build $(O)

# ---- libasync for Linux, installed ---------------------------------------------------------------

PREFIX  ?= /usr/local
DESTDIR ?=
man_date = $(shell git log -1 --format=%cs -- libasync 2>/dev/null || date -r libasync/async.h +%F)
# What a program includes, and what that includes.
public_headers := $(wildcard libasync/async.h libasync/async_core.h libasync/ring.h \
	libasync/arch/*/async_arch.h libasync/linux/async_linux.h uapi/*.h)

.PHONY: man install uninstall install-files
man:
	$(Q)rm -rf build/man
	$(Q)scripts/manpages.py build/man '$(shell cat VERSION)' '$(man_date)' libasync/async.h libasync/ring.h
install:
	$(Q)scripts/packages.sh install
	$(Q)$(again) MACHINE=linux SAN= COVER= install-files
install-files: $(O)/libasync.a man
	$(Q)printf '%s\n' 'prefix=$(PREFIX)' 'includedir=$${prefix}/include/libasync' 'libdir=$${prefix}/lib' '' \
		'Name: libasync' 'Description: coroutines whose every system call is an io_uring entry' \
		'Version: $(shell cat VERSION)' 'Cflags: -I$${includedir} -DASYNC_LINUX' \
		'Libs: -L$${libdir} -lasync' > $(O)/libasync.pc
	$(Q)scripts/install.py put --destdir '$(DESTDIR)' --prefix '$(PREFIX)' libasync \
		$(O)/libasync.a=lib/libasync.a $(O)/libasync.pc=lib/pkgconfig/libasync.pc \
		LICENSE=share/doc/libasync/LICENSE \
		$(foreach h,$(public_headers),$(h)=include/libasync/$(h:libasync/%=%)) \
		$$(cd build/man && for page in *; do echo build/man/$$page=share/man/man$${page##*.}/$$page; done)
uninstall:
	$(Q)scripts/install.py remove --destdir '$(DESTDIR)' --prefix '$(PREFIX)' libasync

.PHONY: check format sizes deps
format:
	$(Q)scripts/packages.sh check
	$(Q)scripts/format $$(git ls-files '*.c' '*.h')
check:
	$(Q)scripts/packages.sh check
	$(Q)for machine in riscv64 hosted; do for compiler in gcc clang; do \
		echo "== analyzer of $$compiler, $$machine"; \
		$(again) -k MACHINE=$$machine COMPILER=$$compiler SAN= COVER= ANALYZE=1 analyze || bad=1; \
		done; done; scripts/check || bad=1; exit $${bad:-0}

sizes:
	$(Q)$(again) all
	$(Q)scripts/sizes $(O) $(SIZE_$(MACHINE))

deps:
	@scripts/packages.sh --list
	@echo
	@echo 'pinned sources:'
	@scripts/sources.py --list

compile_commands.json: $(pins)
	$(Q)$(MAKE) -B -n V=1 DEPS=$(DEPS) all | scripts/compile-commands.py > $@

.PHONY: clean distclean
clean:
	rm -rf build compile_commands.json
distclean: clean
	rm -rf $(DEPS)
