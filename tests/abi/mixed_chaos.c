/*
 * The questions of async_chaos once more, on one hart that is both user and kernel core: there
 * nobody polls the ring, and every entry goes in through the doorbell. (map: smp1.conf)
 */
#include "async_chaos.c"
