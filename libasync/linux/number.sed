# uapi/syscall.h -> number.h: a row of call.c's table for each system call whose arguments mean the
# same on x86-64. Run as sed -nf.
/SYS_\(NUMBERS\|fstat\|newfstatat\|epoll_ctl\|epoll_pwait2*\|semctl\|msgctl\|shmctl\|clone\|rt_sigaction\|rt_sigreturn\)\b/d
s/^#define SYS_\([a-z0-9_]*\) .*/#ifdef __NR_\1\n[SYS_\1] = __NR_\1 + 1,\n#endif/p
