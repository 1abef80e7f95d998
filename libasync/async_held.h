/*
 * async_held: calls of the library by a program that async_preempt may interrupt anywhere: each
 * holds its coroutine, so that it is not interrupted in here. Included by async.h where
 * ASYNC_PREEMPT is defined; otherwise nothing of it exists. Every call of async.h that touches the
 * library's state is in the list; scripts/check knows the others.
 */
#ifndef LIBASYNC_ASYNC_HELD_H
#define LIBASYNC_ASYNC_HELD_H

static inline void async_held_end(struct async_co **co)
{
	async_no_preempt_end();
	(void)co;
}

#define ASYNC_HELD(call)                                                                          \
	({                                                                                        \
		struct async_co *held_ __attribute__((cleanup(async_held_end), unused)) =         \
			async_no_preempt_begin();                                                 \
		call;                                                                             \
	})

#define async_spawn(...) ASYNC_HELD(async_spawn(__VA_ARGS__))
#define async_join(...) ASYNC_HELD(async_join(__VA_ARGS__))
#define async_detach(...) ASYNC_HELD(async_detach(__VA_ARGS__))
#define async_cancel(...) ASYNC_HELD(async_cancel(__VA_ARGS__))
#define async_set_priority(...) ASYNC_HELD(async_set_priority(__VA_ARGS__))
#define async_wait_any(...) ASYNC_HELD(async_wait_any(__VA_ARGS__))
#define async_wait_all(...) ASYNC_HELD(async_wait_all(__VA_ARGS__))
#define async_group_init(...) ASYNC_HELD(async_group_init(__VA_ARGS__))
#define async_group_spawn(...) ASYNC_HELD(async_group_spawn(__VA_ARGS__))
#define async_group_cancel(...) ASYNC_HELD(async_group_cancel(__VA_ARGS__))
#define async_group_wait(...) ASYNC_HELD(async_group_wait(__VA_ARGS__))
#define async_wall_ns(...) ASYNC_HELD(async_wall_ns(__VA_ARGS__))
#define async_sleep(...) ASYNC_HELD(async_sleep(__VA_ARGS__))
#define async_deadline_begin(...) ASYNC_HELD(async_deadline_begin(__VA_ARGS__))
#define async_deadline_end(...) ASYNC_HELD(async_deadline_end(__VA_ARGS__))
#define async_shield_begin(...) ASYNC_HELD(async_shield_begin(__VA_ARGS__))
#define async_shield_end(...) ASYNC_HELD(async_shield_end(__VA_ARGS__))
#define async_mutex_lock(...) ASYNC_HELD(async_mutex_lock(__VA_ARGS__))
#define async_mutex_trylock(...) ASYNC_HELD(async_mutex_trylock(__VA_ARGS__))
#define async_mutex_unlock(...) ASYNC_HELD(async_mutex_unlock(__VA_ARGS__))
#define async_sem_take(...) ASYNC_HELD(async_sem_take(__VA_ARGS__))
#define async_sem_give(...) ASYNC_HELD(async_sem_give(__VA_ARGS__))
#define async_event_wait(...) ASYNC_HELD(async_event_wait(__VA_ARGS__))
#define async_event_set(...) ASYNC_HELD(async_event_set(__VA_ARGS__))
#define async_event_clear(...) ASYNC_HELD(async_event_clear(__VA_ARGS__))
#define async_chan_init(...) ASYNC_HELD(async_chan_init(__VA_ARGS__))
#define async_chan_send(...) ASYNC_HELD(async_chan_send(__VA_ARGS__))
#define async_chan_recv(...) ASYNC_HELD(async_chan_recv(__VA_ARGS__))
#define async_chan_close(...) ASYNC_HELD(async_chan_close(__VA_ARGS__))
#define async_chan_trysend(...) ASYNC_HELD(async_chan_trysend(__VA_ARGS__))
#define async_chan_tryrecv(...) ASYNC_HELD(async_chan_tryrecv(__VA_ARGS__))
#define async_readv(...) ASYNC_HELD(async_readv(__VA_ARGS__))
#define async_writev(...) ASYNC_HELD(async_writev(__VA_ARGS__))
#define async_write_all(...) ASYNC_HELD(async_write_all(__VA_ARGS__))
#define async_fsync(...) ASYNC_HELD(async_fsync(__VA_ARGS__))
#define async_fdatasync(...) ASYNC_HELD(async_fdatasync(__VA_ARGS__))
#define async_fallocate(...) ASYNC_HELD(async_fallocate(__VA_ARGS__))
#define async_openat(...) ASYNC_HELD(async_openat(__VA_ARGS__))
#define async_open(...) ASYNC_HELD(async_open(__VA_ARGS__))
#define async_close(...) ASYNC_HELD(async_close(__VA_ARGS__))
#define async_statx(...) ASYNC_HELD(async_statx(__VA_ARGS__))
#define async_pipe(...) ASYNC_HELD(async_pipe(__VA_ARGS__))
#define async_poll(...) ASYNC_HELD(async_poll(__VA_ARGS__))
#define async_socket(...) ASYNC_HELD(async_socket(__VA_ARGS__))
#define async_bind(...) ASYNC_HELD(async_bind(__VA_ARGS__))
#define async_listen(...) ASYNC_HELD(async_listen(__VA_ARGS__))
#define async_connect(...) ASYNC_HELD(async_connect(__VA_ARGS__))
#define async_accept(...) ASYNC_HELD(async_accept(__VA_ARGS__))
#define async_send_all(...) ASYNC_HELD(async_send_all(__VA_ARGS__))
#define async_recv_all(...) ASYNC_HELD(async_recv_all(__VA_ARGS__))
#define async_sendmsg(...) ASYNC_HELD(async_sendmsg(__VA_ARGS__))
#define async_recvmsg(...) ASYNC_HELD(async_recvmsg(__VA_ARGS__))
#define async_shutdown(...) ASYNC_HELD(async_shutdown(__VA_ARGS__))
#define async_setsockopt(...) ASYNC_HELD(async_setsockopt(__VA_ARGS__))
#define async_getsockopt(...) ASYNC_HELD(async_getsockopt(__VA_ARGS__))
#define async_getsockname(...) ASYNC_HELD(async_getsockname(__VA_ARGS__))
#define async_getpeername(...) ASYNC_HELD(async_getpeername(__VA_ARGS__))
#define async_listen_tcp(...) ASYNC_HELD(async_listen_tcp(__VA_ARGS__))
#define async_accept_each(...) ASYNC_HELD(async_accept_each(__VA_ARGS__))
#define async_recv_each(...) ASYNC_HELD(async_recv_each(__VA_ARGS__))
#define async_stream_next(...) ASYNC_HELD(async_stream_next(__VA_ARGS__))
#define async_stream_end(...) ASYNC_HELD(async_stream_end(__VA_ARGS__))
#define async_serve(...) ASYNC_HELD(async_serve(__VA_ARGS__))
#define async_bufs_init(...) ASYNC_HELD(async_bufs_init(__VA_ARGS__))
#define async_bufs_put(...) ASYNC_HELD(async_bufs_put(__VA_ARGS__))
#define async_bufs_fini(...) ASYNC_HELD(async_bufs_fini(__VA_ARGS__))
#define async_syscall(...) ASYNC_HELD(async_syscall(__VA_ARGS__))
#define async_pages_alloc(...) ASYNC_HELD(async_pages_alloc(__VA_ARGS__))
#define async_pages_free(...) ASYNC_HELD(async_pages_free(__VA_ARGS__))
#define async_alloc(...) ASYNC_HELD(async_alloc(__VA_ARGS__))
#define async_free(...) ASYNC_HELD(async_free(__VA_ARGS__))
#define async_printf(...) ASYNC_HELD(async_printf(__VA_ARGS__))
#define async_executors(...) ASYNC_HELD(async_executors(__VA_ARGS__))
#define async_pin(...) ASYNC_HELD(async_pin(__VA_ARGS__))
#define async_prepare(...) ASYNC_HELD(async_prepare(__VA_ARGS__))
#define async_yield(...) ASYNC_HELD(async_yield(__VA_ARGS__))
#define async_read(...) ASYNC_HELD(async_read(__VA_ARGS__))
#define async_write(...) ASYNC_HELD(async_write(__VA_ARGS__))
#define async_pread(...) ASYNC_HELD(async_pread(__VA_ARGS__))
#define async_pwrite(...) ASYNC_HELD(async_pwrite(__VA_ARGS__))
#define async_recv(...) ASYNC_HELD(async_recv(__VA_ARGS__))
#define async_send(...) ASYNC_HELD(async_send(__VA_ARGS__))
#define async_exchange(...) ASYNC_HELD(async_exchange(__VA_ARGS__))
#define async_op(...) ASYNC_HELD(async_op(__VA_ARGS__))
#define async_notices(...) ASYNC_HELD(async_notices(__VA_ARGS__))
#define async_notice_handle(...) ASYNC_HELD(async_notice_handle(__VA_ARGS__))
#define async_program_start(...) ASYNC_HELD(async_program_start(__VA_ARGS__))
#define async_program_wait(...) ASYNC_HELD(async_program_wait(__VA_ARGS__))
#define async_memfd(...) ASYNC_HELD(async_memfd(__VA_ARGS__))

#endif
