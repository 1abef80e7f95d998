/*
 * errno: error numbers, as Linux' generic table has them (riscv64 and x86-64 agree).
 *
 * Names that another header has already given are left alone, so that a hosted file may include
 * <errno.h> too; the check at the end refuses a C library whose numbers differ from Linux'.
 */
#ifndef UAPI_ERRNO_H
#define UAPI_ERRNO_H

#ifndef EPERM
#define EPERM 1 /* operation not permitted */
#endif
#ifndef ENOENT
#define ENOENT 2 /* no such file or directory */
#endif
#ifndef ESRCH
#define ESRCH 3 /* no such process */
#endif
#ifndef EINTR
#define EINTR 4 /* interrupted */
#endif
#ifndef EIO
#define EIO 5 /* input/output error */
#endif
#ifndef ENXIO
#define ENXIO 6 /* no such device or address */
#endif
#ifndef E2BIG
#define E2BIG 7 /* argument list too long */
#endif
#ifndef ENOEXEC
#define ENOEXEC 8 /* not a program image */
#endif
#ifndef EBADF
#define EBADF 9 /* bad descriptor */
#endif
#ifndef ECHILD
#define ECHILD 10 /* no child processes */
#endif
#ifndef EAGAIN
#define EAGAIN 11 /* try again */
#endif
#ifndef ENOMEM
#define ENOMEM 12 /* out of memory */
#endif
#ifndef EACCES
#define EACCES 13 /* permission denied */
#endif
#ifndef EFAULT
#define EFAULT 14 /* bad address */
#endif
#ifndef ENOTBLK
#define ENOTBLK 15 /* block device required */
#endif
#ifndef EBUSY
#define EBUSY 16 /* busy */
#endif
#ifndef EEXIST
#define EEXIST 17 /* exists */
#endif
#ifndef EXDEV
#define EXDEV 18 /* cross-device link */
#endif
#ifndef ENODEV
#define ENODEV 19 /* no such device */
#endif
#ifndef ENOTDIR
#define ENOTDIR 20 /* not a directory */
#endif
#ifndef EISDIR
#define EISDIR 21 /* is a directory */
#endif
#ifndef EINVAL
#define EINVAL 22 /* invalid argument */
#endif
#ifndef ENFILE
#define ENFILE 23 /* file table full */
#endif
#ifndef EMFILE
#define EMFILE 24 /* too many open files */
#endif
#ifndef ENOTTY
#define ENOTTY 25 /* not a terminal */
#endif
#ifndef ETXTBSY
#define ETXTBSY 26 /* text file busy */
#endif
#ifndef EFBIG
#define EFBIG 27 /* file too large */
#endif
#ifndef ENOSPC
#define ENOSPC 28 /* no space left */
#endif
#ifndef ESPIPE
#define ESPIPE 29 /* illegal seek */
#endif
#ifndef EROFS
#define EROFS 30 /* read-only */
#endif
#ifndef EMLINK
#define EMLINK 31 /* too many links */
#endif
#ifndef EPIPE
#define EPIPE 32 /* broken pipe */
#endif
#ifndef EDOM
#define EDOM 33 /* outside the function's domain */
#endif
#ifndef ERANGE
#define ERANGE 34 /* result not representable */
#endif
#ifndef EDEADLK
#define EDEADLK 35 /* would deadlock */
#endif
#ifndef ENAMETOOLONG
#define ENAMETOOLONG 36 /* name too long */
#endif
#ifndef ENOLCK
#define ENOLCK 37 /* no locks available */
#endif
#ifndef ENOSYS
#define ENOSYS 38 /* no such system call */
#endif
#ifndef ENOTEMPTY
#define ENOTEMPTY 39 /* directory not empty */
#endif
#ifndef ELOOP
#define ELOOP 40 /* too many symbolic links */
#endif
#ifndef ENOMSG
#define ENOMSG 42 /* no message of that type */
#endif
#ifndef EIDRM
#define EIDRM 43 /* identifier removed */
#endif
#ifndef EBADR
#define EBADR 53 /* invalid request descriptor */
#endif
#ifndef ENODATA
#define ENODATA 61 /* no data available */
#endif
#ifndef ETIME
#define ETIME 62 /* timer expired */
#endif
#ifndef ENONET
#define ENONET 64 /* machine is not on the network */
#endif
#ifndef EPROTO
#define EPROTO 71 /* protocol error */
#endif
#ifndef EBADMSG
#define EBADMSG 74 /* not a data message */
#endif
#ifndef EOVERFLOW
#define EOVERFLOW 75 /* value too large */
#endif
#ifndef EBADFD
#define EBADFD 77 /* descriptor in a bad state */
#endif
#ifndef EILSEQ
#define EILSEQ 84 /* illegal byte sequence */
#endif
#ifndef EUSERS
#define EUSERS 87 /* too many users */
#endif
#ifndef ENOTSOCK
#define ENOTSOCK 88 /* not a socket */
#endif
#ifndef EDESTADDRREQ
#define EDESTADDRREQ 89 /* destination address required */
#endif
#ifndef EMSGSIZE
#define EMSGSIZE 90 /* message too long */
#endif
#ifndef EPROTOTYPE
#define EPROTOTYPE 91 /* wrong protocol type for the socket */
#endif
#ifndef ENOPROTOOPT
#define ENOPROTOOPT 92 /* no such option */
#endif
#ifndef EPROTONOSUPPORT
#define EPROTONOSUPPORT 93 /* protocol not supported */
#endif
#ifndef ESOCKTNOSUPPORT
#define ESOCKTNOSUPPORT 94 /* socket type not supported */
#endif
#ifndef EOPNOTSUPP
#define EOPNOTSUPP 95 /* operation not supported */
#endif
#ifndef EPFNOSUPPORT
#define EPFNOSUPPORT 96 /* protocol family not supported */
#endif
#ifndef EAFNOSUPPORT
#define EAFNOSUPPORT 97 /* address family not supported */
#endif
#ifndef EADDRINUSE
#define EADDRINUSE 98 /* address in use */
#endif
#ifndef EADDRNOTAVAIL
#define EADDRNOTAVAIL 99 /* address not available */
#endif
#ifndef ENETDOWN
#define ENETDOWN 100 /* network is down */
#endif
#ifndef ENETUNREACH
#define ENETUNREACH 101 /* network unreachable */
#endif
#ifndef ENETRESET
#define ENETRESET 102 /* connection dropped by network reset */
#endif
#ifndef ECONNABORTED
#define ECONNABORTED 103 /* connection aborted */
#endif
#ifndef ECONNRESET
#define ECONNRESET 104 /* connection reset by peer */
#endif
#ifndef ENOBUFS
#define ENOBUFS 105 /* no buffer space */
#endif
#ifndef EISCONN
#define EISCONN 106 /* is connected */
#endif
#ifndef ENOTCONN
#define ENOTCONN 107 /* is not connected */
#endif
#ifndef ESHUTDOWN
#define ESHUTDOWN 108 /* send after shutdown */
#endif
#ifndef ETOOMANYREFS
#define ETOOMANYREFS 109 /* too many references */
#endif
#ifndef ETIMEDOUT
#define ETIMEDOUT 110 /* timed out */
#endif
#ifndef ECONNREFUSED
#define ECONNREFUSED 111 /* connection refused */
#endif
#ifndef EHOSTDOWN
#define EHOSTDOWN 112 /* host is down */
#endif
#ifndef EHOSTUNREACH
#define EHOSTUNREACH 113 /* no route to host */
#endif
#ifndef EALREADY
#define EALREADY 114 /* already in progress */
#endif
#ifndef EINPROGRESS
#define EINPROGRESS 115 /* in progress */
#endif
#ifndef ESTALE
#define ESTALE 116 /* stale handle */
#endif
#ifndef EDQUOT
#define EDQUOT 122 /* quota exceeded */
#endif
#ifndef ENOMEDIUM
#define ENOMEDIUM 123 /* no medium */
#endif
#ifndef ECANCELED
#define ECANCELED 125 /* cancelled */
#endif
#ifndef EOWNERDEAD
#define EOWNERDEAD 130 /* owner died */
#endif
#ifndef ENOTRECOVERABLE
#define ENOTRECOVERABLE 131 /* state not recoverable */
#endif
#ifndef EWOULDBLOCK
#define EWOULDBLOCK EAGAIN
#endif
#ifndef ENOTSUP
#define ENOTSUP EOPNOTSUPP
#endif

/* a result in -ERRNO_MAX .. -1 is an error, everything else a value */
#define ERRNO_MAX 4095

#if EDEADLK != 35 || ENOSYS != 38 || ETIME != 62 || EOVERFLOW != 75 || ENOTSUP != 95 ||           \
	ETIMEDOUT != 110 || ECANCELED != 125
#error "a C library's own errno numbers were included before uapi/errno.h"
#endif

#endif /* UAPI_ERRNO_H */
