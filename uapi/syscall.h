/*
 * syscall: Linux' riscv64 system-call numbers, by name.
 *
 * Source: Linux' generic table (asm-generic/unistd.h) with the two riscv-only numbers 258 and 259.
 * On every machine of ours, hosted x86-64 included, these numbers travel in IORING_OP_SYSCALL
 * entries and at the ecall door. A number that is missing here, or that the kernel does not know,
 * is answered with -ENOSYS.
 */
#ifndef UAPI_SYSCALL_H
#define UAPI_SYSCALL_H

#if defined(SYS_read) && SYS_read != 63
#error "the host's own system-call numbers were included before uapi/syscall.h"
#endif

#ifndef SYS_getcwd
#define SYS_getcwd 17
#endif
#ifndef SYS_eventfd2
#define SYS_eventfd2 19
#endif
#ifndef SYS_epoll_create1
#define SYS_epoll_create1 20
#endif
#ifndef SYS_epoll_ctl
#define SYS_epoll_ctl 21
#endif
#ifndef SYS_epoll_pwait
#define SYS_epoll_pwait 22
#endif
#ifndef SYS_dup
#define SYS_dup 23
#endif
#ifndef SYS_dup3
#define SYS_dup3 24
#endif
#ifndef SYS_fcntl
#define SYS_fcntl 25
#endif
#ifndef SYS_ioctl
#define SYS_ioctl 29
#endif
#ifndef SYS_mkdirat
#define SYS_mkdirat 34
#endif
#ifndef SYS_unlinkat
#define SYS_unlinkat 35
#endif
#ifndef SYS_symlinkat
#define SYS_symlinkat 36
#endif
#ifndef SYS_linkat
#define SYS_linkat 37
#endif
#ifndef SYS_statfs
#define SYS_statfs 43
#endif
#ifndef SYS_fstatfs
#define SYS_fstatfs 44
#endif
#ifndef SYS_ftruncate
#define SYS_ftruncate 46
#endif
#ifndef SYS_fallocate
#define SYS_fallocate 47
#endif
#ifndef SYS_faccessat
#define SYS_faccessat 48
#endif
#ifndef SYS_chdir
#define SYS_chdir 49
#endif
#ifndef SYS_openat
#define SYS_openat 56
#endif
#ifndef SYS_close
#define SYS_close 57
#endif
#ifndef SYS_pipe2
#define SYS_pipe2 59
#endif
#ifndef SYS_getdents64
#define SYS_getdents64 61
#endif
#ifndef SYS_lseek
#define SYS_lseek 62
#endif
#ifndef SYS_read
#define SYS_read 63
#endif
#ifndef SYS_write
#define SYS_write 64
#endif
#ifndef SYS_readv
#define SYS_readv 65
#endif
#ifndef SYS_writev
#define SYS_writev 66
#endif
#ifndef SYS_pread64
#define SYS_pread64 67
#endif
#ifndef SYS_pwrite64
#define SYS_pwrite64 68
#endif
#ifndef SYS_preadv
#define SYS_preadv 69
#endif
#ifndef SYS_pwritev
#define SYS_pwritev 70
#endif
#ifndef SYS_pselect6
#define SYS_pselect6 72
#endif
#ifndef SYS_ppoll
#define SYS_ppoll 73
#endif
#ifndef SYS_signalfd4
#define SYS_signalfd4 74
#endif
#ifndef SYS_splice
#define SYS_splice 76
#endif
#ifndef SYS_readlinkat
#define SYS_readlinkat 78
#endif
#ifndef SYS_newfstatat
#define SYS_newfstatat 79
#endif
#ifndef SYS_fstat
#define SYS_fstat 80
#endif
#ifndef SYS_sync
#define SYS_sync 81
#endif
#ifndef SYS_fsync
#define SYS_fsync 82
#endif
#ifndef SYS_fdatasync
#define SYS_fdatasync 83
#endif
#ifndef SYS_sync_file_range
#define SYS_sync_file_range 84
#endif
#ifndef SYS_timerfd_create
#define SYS_timerfd_create 85
#endif
#ifndef SYS_timerfd_settime
#define SYS_timerfd_settime 86
#endif
#ifndef SYS_timerfd_gettime
#define SYS_timerfd_gettime 87
#endif
#ifndef SYS_utimensat
#define SYS_utimensat 88
#endif
#ifndef SYS_capget
#define SYS_capget 90
#endif
#ifndef SYS_exit
#define SYS_exit 93
#endif
#ifndef SYS_exit_group
#define SYS_exit_group 94
#endif
#ifndef SYS_waitid
#define SYS_waitid 95
#endif
#ifndef SYS_set_tid_address
#define SYS_set_tid_address 96
#endif
#ifndef SYS_unshare
#define SYS_unshare 97
#endif
#ifndef SYS_futex
#define SYS_futex 98
#endif
#ifndef SYS_set_robust_list
#define SYS_set_robust_list 99
#endif
#ifndef SYS_get_robust_list
#define SYS_get_robust_list 100
#endif
#ifndef SYS_nanosleep
#define SYS_nanosleep 101
#endif
#ifndef SYS_getitimer
#define SYS_getitimer 102
#endif
#ifndef SYS_setitimer
#define SYS_setitimer 103
#endif
#ifndef SYS_clock_settime
#define SYS_clock_settime 112
#endif
#ifndef SYS_clock_gettime
#define SYS_clock_gettime 113
#endif
#ifndef SYS_clock_getres
#define SYS_clock_getres 114
#endif
#ifndef SYS_clock_nanosleep
#define SYS_clock_nanosleep 115
#endif
#ifndef SYS_sched_setscheduler
#define SYS_sched_setscheduler 119
#endif
#ifndef SYS_sched_getscheduler
#define SYS_sched_getscheduler 120
#endif
#ifndef SYS_sched_getparam
#define SYS_sched_getparam 121
#endif
#ifndef SYS_sched_setaffinity
#define SYS_sched_setaffinity 122
#endif
#ifndef SYS_sched_getaffinity
#define SYS_sched_getaffinity 123
#endif
#ifndef SYS_sched_yield
#define SYS_sched_yield 124
#endif
#ifndef SYS_kill
#define SYS_kill 129
#endif
#ifndef SYS_tkill
#define SYS_tkill 130
#endif
#ifndef SYS_tgkill
#define SYS_tgkill 131
#endif
#ifndef SYS_sigaltstack
#define SYS_sigaltstack 132
#endif
#ifndef SYS_rt_sigsuspend
#define SYS_rt_sigsuspend 133
#endif
#ifndef SYS_rt_sigaction
#define SYS_rt_sigaction 134
#endif
#ifndef SYS_rt_sigprocmask
#define SYS_rt_sigprocmask 135
#endif
#ifndef SYS_rt_sigpending
#define SYS_rt_sigpending 136
#endif
#ifndef SYS_rt_sigtimedwait
#define SYS_rt_sigtimedwait 137
#endif
#ifndef SYS_rt_sigqueueinfo
#define SYS_rt_sigqueueinfo 138
#endif
#ifndef SYS_rt_sigreturn
#define SYS_rt_sigreturn 139
#endif
#ifndef SYS_setpriority
#define SYS_setpriority 140
#endif
#ifndef SYS_getpriority
#define SYS_getpriority 141
#endif
#ifndef SYS_reboot
#define SYS_reboot 142
#endif
#ifndef SYS_times
#define SYS_times 153
#endif
#ifndef SYS_setpgid
#define SYS_setpgid 154
#endif
#ifndef SYS_getpgid
#define SYS_getpgid 155
#endif
#ifndef SYS_getsid
#define SYS_getsid 156
#endif
#ifndef SYS_setsid
#define SYS_setsid 157
#endif
#ifndef SYS_uname
#define SYS_uname 160
#endif
#ifndef SYS_getrlimit
#define SYS_getrlimit 163
#endif
#ifndef SYS_setrlimit
#define SYS_setrlimit 164
#endif
#ifndef SYS_getrusage
#define SYS_getrusage 165
#endif
#ifndef SYS_umask
#define SYS_umask 166
#endif
#ifndef SYS_prctl
#define SYS_prctl 167
#endif
#ifndef SYS_getcpu
#define SYS_getcpu 168
#endif
#ifndef SYS_gettimeofday
#define SYS_gettimeofday 169
#endif
#ifndef SYS_getpid
#define SYS_getpid 172
#endif
#ifndef SYS_getppid
#define SYS_getppid 173
#endif
#ifndef SYS_getuid
#define SYS_getuid 174
#endif
#ifndef SYS_geteuid
#define SYS_geteuid 175
#endif
#ifndef SYS_getgid
#define SYS_getgid 176
#endif
#ifndef SYS_getegid
#define SYS_getegid 177
#endif
#ifndef SYS_gettid
#define SYS_gettid 178
#endif
#ifndef SYS_sysinfo
#define SYS_sysinfo 179
#endif
#ifndef SYS_shmget
#define SYS_shmget 194
#endif
#ifndef SYS_shmctl
#define SYS_shmctl 195
#endif
#ifndef SYS_shmat
#define SYS_shmat 196
#endif
#ifndef SYS_shmdt
#define SYS_shmdt 197
#endif
#ifndef SYS_socket
#define SYS_socket 198
#endif
#ifndef SYS_socketpair
#define SYS_socketpair 199
#endif
#ifndef SYS_bind
#define SYS_bind 200
#endif
#ifndef SYS_listen
#define SYS_listen 201
#endif
#ifndef SYS_accept
#define SYS_accept 202
#endif
#ifndef SYS_connect
#define SYS_connect 203
#endif
#ifndef SYS_getsockname
#define SYS_getsockname 204
#endif
#ifndef SYS_getpeername
#define SYS_getpeername 205
#endif
#ifndef SYS_sendto
#define SYS_sendto 206
#endif
#ifndef SYS_recvfrom
#define SYS_recvfrom 207
#endif
#ifndef SYS_setsockopt
#define SYS_setsockopt 208
#endif
#ifndef SYS_getsockopt
#define SYS_getsockopt 209
#endif
#ifndef SYS_shutdown
#define SYS_shutdown 210
#endif
#ifndef SYS_sendmsg
#define SYS_sendmsg 211
#endif
#ifndef SYS_recvmsg
#define SYS_recvmsg 212
#endif
#ifndef SYS_brk
#define SYS_brk 214
#endif
#ifndef SYS_munmap
#define SYS_munmap 215
#endif
#ifndef SYS_mremap
#define SYS_mremap 216
#endif
#ifndef SYS_clone
#define SYS_clone 220
#endif
#ifndef SYS_execve
#define SYS_execve 221
#endif
#ifndef SYS_mmap
#define SYS_mmap 222
#endif
#ifndef SYS_fadvise64
#define SYS_fadvise64 223
#endif
#ifndef SYS_mprotect
#define SYS_mprotect 226
#endif
#ifndef SYS_msync
#define SYS_msync 227
#endif
#ifndef SYS_mlock
#define SYS_mlock 228
#endif
#ifndef SYS_munlock
#define SYS_munlock 229
#endif
#ifndef SYS_mincore
#define SYS_mincore 232
#endif
#ifndef SYS_madvise
#define SYS_madvise 233
#endif
#ifndef SYS_accept4
#define SYS_accept4 242
#endif
#ifndef SYS_riscv_hwprobe
#define SYS_riscv_hwprobe 258
#endif
#ifndef SYS_riscv_flush_icache
#define SYS_riscv_flush_icache 259
#endif
#ifndef SYS_wait4
#define SYS_wait4 260
#endif
#ifndef SYS_prlimit64
#define SYS_prlimit64 261
#endif
#ifndef SYS_renameat2
#define SYS_renameat2 276
#endif
#ifndef SYS_getrandom
#define SYS_getrandom 278
#endif
#ifndef SYS_memfd_create
#define SYS_memfd_create 279
#endif
#ifndef SYS_execveat
#define SYS_execveat 281
#endif
#ifndef SYS_membarrier
#define SYS_membarrier 283
#endif
#ifndef SYS_copy_file_range
#define SYS_copy_file_range 285
#endif
#ifndef SYS_preadv2
#define SYS_preadv2 286
#endif
#ifndef SYS_pwritev2
#define SYS_pwritev2 287
#endif
#ifndef SYS_statx
#define SYS_statx 291
#endif
#ifndef SYS_rseq
#define SYS_rseq 293
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif
#ifndef SYS_io_uring_enter
#define SYS_io_uring_enter 426
#endif
#ifndef SYS_io_uring_register
#define SYS_io_uring_register 427
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef SYS_futex_wake
#define SYS_futex_wake 454
#endif
#ifndef SYS_futex_wait
#define SYS_futex_wait 455
#endif

/* Every number is below this; the kernel's table has that many rows */
#define SYS_NUMBERS 512

#endif /* UAPI_SYSCALL_H */
