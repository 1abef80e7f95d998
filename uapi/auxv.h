/*
 * auxv: the words a new program finds on its stack after argc, argv and the environment.
 *
 * At entry sp is 16-byte aligned and points at: argc (u64); argc pointers and a 0; environment
 * pointers and a 0; pairs (tag u64, value u64) ended by AT_NULL. Source: System V ABI, Linux'
 * auxvec.h; tags from 0x5100 on are ours.
 */
#ifndef UAPI_AUXV_H
#define UAPI_AUXV_H

#define AT_NULL 0
#define AT_IGNORE 1
#define AT_PHDR 3
#define AT_PHENT 4
#define AT_PHNUM 5
#define AT_PAGESZ 6
#define AT_BASE 7
#define AT_FLAGS 8
#define AT_ENTRY 9
#define AT_UID 11
#define AT_EUID 12
#define AT_GID 13
#define AT_EGID 14
#define AT_PLATFORM 15
#define AT_HWCAP 16
#define AT_CLKTCK 17
#define AT_SECURE 23
#define AT_RANDOM 25
#define AT_HWCAP2 26
#define AT_EXECFN 31
#define AT_SYSINFO_EHDR 33

/* value: user address of a struct sluice_start (uapi/sluice.h) */
#define AT_SLUICE 0x5100

#endif /* UAPI_AUXV_H */
