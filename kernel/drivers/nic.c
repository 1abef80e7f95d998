/*
 * nic: the register of network interfaces. Filled at boot by the drivers, on the boot core; read by
 * any core afterwards.
 */
#include "drivers/nic.h"

#include "base/panic.h"

struct nic *nics[4];
unsigned nic_count;

void nic_add(struct nic *n)
{
	kassert(nic_count < array_count(nics));
	nics[nic_count++] = n;
}
